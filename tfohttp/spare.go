package tfohttp

import (
	"errors"
	"os"
	"time"

	"github.com/tlstfo/tlstfo"
)

const (
	// spareFor is how long a connection is kept that was dialled to learn its protocol. It is taken at once as a rule.
	spareFor = 5 * time.Second

	// maxUnread is how much a server may say on a spare, in bytes, before that is read no further.
	maxUnread = 4 << 10
)

type spareKey struct{ host, proto string }

// A spare is an established connection that nobody has yet. It is read from meanwhile: who takes it does not get one that the server has
// closed. net/http would take that for a new connection, and not start a request over on another.
type spare struct {
	conn   *tlstfo.Conn
	expiry *time.Timer

	watched chan struct{} // closed when it is read from no more; then, and only then:
	unread  []byte        // what the server said
	err     error         // why the connection is of no use
}

// putSpare keeps a connection for the next who wants one of its protocol.
func (h *hosts) putSpare(host, proto string, conn *tlstfo.Conn) {
	s, key := &spare{conn: conn, watched: make(chan struct{})}, spareKey{host, proto}
	h.mu.Lock()
	older := h.spares[key]
	if h.spares == nil {
		h.spares = make(map[spareKey]*spare)
	}
	h.spares[key] = s
	s.expiry = time.AfterFunc(spareFor, func() { h.dropSpare(key, s) })
	h.mu.Unlock()
	if older != nil {
		older.close()
	}
	go func() {
		s.watch()
		if s.err != nil {
			h.dropSpare(key, s)
		}
	}()
}

// watch reads until the connection ends, or stop.
func (s *spare) watch() {
	defer close(s.watched)
	buf := make([]byte, maxUnread)
	for n := 0; n < len(buf); {
		m, err := s.conn.Read(buf[n:])
		n += m
		s.unread = buf[:n]
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if err != nil {
			s.err = err
			return
		}
	}
}

// stop ends the watch, and tells whether the connection is of use.
func (s *spare) stop() bool {
	s.conn.SetReadDeadline(time.Unix(1, 0)) // long ago
	<-s.watched
	return s.err == nil && s.conn.SetReadDeadline(time.Time{}) == nil
}

// hasSpare tells whether takeSpare would return one.
func (h *hosts) hasSpare(host, proto string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.spares[spareKey{host, proto}] != nil
}

// takeSpare returns a connection that putSpare kept and what was read from it, or nil.
func (h *hosts) takeSpare(host, proto string) (*tlstfo.Conn, []byte) {
	key := spareKey{host, proto}
	h.mu.Lock()
	s := h.spares[key]
	delete(h.spares, key)
	h.mu.Unlock()
	switch {
	case s == nil:
		return nil, nil
	case !s.stop():
		s.close()
		return nil, nil
	}
	s.expiry.Stop()
	return s.conn, s.unread
}

func (h *hosts) dropSpare(key spareKey, s *spare) {
	h.mu.Lock()
	there := h.spares[key] == s
	if there {
		delete(h.spares, key)
	}
	h.mu.Unlock()
	if there {
		s.close()
	}
}

// closeSpares closes what nobody took.
func (h *hosts) closeSpares() {
	h.mu.Lock()
	all := h.spares
	h.spares = nil
	h.mu.Unlock()
	for _, s := range all {
		s.close()
	}
}

func (s *spare) close() {
	s.expiry.Stop()
	s.conn.Close()
}
