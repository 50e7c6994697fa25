package tlstfo

import (
	"net"
	"os"
	"sync"
	"time"
)

// unbuffered is a transport that may take a byte only when the peer reads it,
// as a pipe does. A server may answer early data before it has read all that we
// send (RFC 8446, section 2), and then waits for us to read. So the flights of
// the handshake are written beside the reads. Once the handshake is complete, a
// Write waits for its turn.
type unbuffered struct {
	net.Conn

	mu       sync.Mutex
	sent     chan struct{} // closed when every flight so far was written, or will never be
	complete bool          // the handshake: from here on a failure is for who writes next
	err      error

	deadline deadline // of Writes
}

// buffers tells whether a transport takes a flight without the peer's help.
func buffers(conn net.Conn) bool {
	switch conn.(type) {
	case *net.TCPConn, *net.UnixConn:
		return true
	}
	return false
}

func newUnbuffered(conn net.Conn) *unbuffered {
	u := &unbuffered{Conn: conn, sent: make(chan struct{})}
	close(u.sent)
	return u
}

// send writes a flight, *replayable* data included, after those before it, and
// does not wait for that. The flight is not copied. One that fails ends the
// reads, unless it is the last.
func (u *unbuffered) send(flight []byte, last bool) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.err != nil {
		return u.err
	}
	u.complete = last
	before, sent := u.sent, make(chan struct{})
	u.sent = sent
	go func() {
		<-before
		err := errEnded
		defer func() { u.end(sent, err) }()
		if err = u.failure(); err == nil {
			_, err = u.Conn.Write(flight)
		}
	}()
	return nil
}

// end notes that a flight was written, or why it was not.
func (u *unbuffered) end(sent chan struct{}, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err != nil && u.err == nil {
		u.err = err
		if !u.complete {
			u.Conn.Close()
		}
	}
	if t := u.deadline.get(); sent == u.sent && !t.IsZero() {
		u.Conn.SetWriteDeadline(t)
	}
	close(sent)
}

// failure says why a flight was not written, if so.
func (u *unbuffered) failure() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

// busy tells whether a flight is still being written. It may be called on nil.
func (u *unbuffered) busy() bool { return u != nil && !isClosed(u.flights()) }

// flights returns a channel that is closed when the flights are written, or will never be.
func (u *unbuffered) flights() <-chan struct{} {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.sent
}

// SetWriteDeadline sets the deadline of Writes, which does not bind the flights: the handshake has deadlines of its own. The
// last of them hands it on.
func (u *unbuffered) SetWriteDeadline(t time.Time) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.deadline.set(t)
	if isClosed(u.sent) {
		return u.Conn.SetWriteDeadline(t)
	}
	return nil
}

// Write writes what follows the flights.
func (u *unbuffered) Write(p []byte) (int, error) {
	if flights := u.flights(); !isClosed(flights) {
		select {
		case <-flights:
			u.deadline.stop()
		case <-u.deadline.passed():
			return 0, os.ErrDeadlineExceeded
		}
	}
	if err := u.failure(); err != nil {
		return 0, err
	}
	return u.Conn.Write(p)
}

// bare returns the transport as it was dialled or given.
func bare(conn net.Conn) net.Conn {
	if u, ok := conn.(*unbuffered); ok {
		return u.Conn
	}
	return conn
}
