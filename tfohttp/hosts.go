package tfohttp

import (
	"sync"
	"time"

	"github.com/tlstfo/tlstfo"
)

const (
	maxHosts = 4096 // hosts whose protocol is remembered

	// spareFor is how long a connection is kept that was dialled to learn its protocol. It is taken at once as a rule.
	spareFor = 5 * time.Second
)

// hosts is what is known of servers: which protocol they choose. The zero value works.
type hosts struct {
	mu        sync.Mutex
	protos    map[string]string // by host and port
	decisions map[string]*decision
	spares    map[spareKey]*spare
}

// A decision is a dial that finds out which protocol a server chooses.
type decision struct {
	done chan struct{}
	err  error // set before done is closed
}

type spareKey struct{ host, proto string }

// A spare is an established connection that nobody has yet.
type spare struct {
	conn   *tlstfo.Conn
	expiry *time.Timer
}

// proto returns the protocol that a server is known to choose, or "".
func (h *hosts) proto(host string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.protos[host]
}

// learn remembers what a server chose.
func (h *hosts) learn(host, proto string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.protos == nil {
		h.protos = make(map[string]string)
	}
	if _, known := h.protos[host]; !known && len(h.protos) >= maxHosts {
		for some := range h.protos {
			delete(h.protos, some)
			break
		}
	}
	h.protos[host] = proto
}

// decide returns the decision that is under way for a host, or begins one: then the caller is to call decided.
func (h *hosts) decide(host string) (d *decision, begun bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if d := h.decisions[host]; d != nil {
		return d, false
	}
	if h.decisions == nil {
		h.decisions = make(map[string]*decision)
	}
	d = &decision{done: make(chan struct{})}
	h.decisions[host] = d
	return d, true
}

// decided ends a decision.
func (h *hosts) decided(host string, d *decision, err error) {
	h.mu.Lock()
	delete(h.decisions, host)
	h.mu.Unlock()
	d.err = err
	close(d.done)
}

// putSpare keeps a connection for the next who wants one of its protocol.
func (h *hosts) putSpare(host, proto string, conn *tlstfo.Conn) {
	s, key := &spare{conn: conn}, spareKey{host, proto}
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
}

// hasSpare tells whether takeSpare would return one.
func (h *hosts) hasSpare(host, proto string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.spares[spareKey{host, proto}] != nil
}

// takeSpare returns a connection that putSpare kept, or nil.
func (h *hosts) takeSpare(host, proto string) *tlstfo.Conn {
	key := spareKey{host, proto}
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.spares[key]
	if s == nil {
		return nil
	}
	delete(h.spares, key)
	s.expiry.Stop()
	return s.conn
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
