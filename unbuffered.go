package tlstfo

import (
	"net"
	"sync"
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
		defer close(sent)
		<-before
		err := errEnded
		defer func() { u.fail(err) }()
		if err = u.failure(); err == nil {
			_, err = u.Conn.Write(flight)
		}
	}()
	return nil
}

// fail notes why a flight was not written; nil if it was.
func (u *unbuffered) fail(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err == nil || u.err != nil {
		return
	}
	u.err = err
	if !u.complete {
		u.Conn.Close()
	}
}

// failure says why a flight was not written, if so.
func (u *unbuffered) failure() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

// busy tells whether a flight is still being written. It may be called on nil.
func (u *unbuffered) busy() bool {
	if u == nil {
		return false
	}
	select {
	case <-u.flights():
		return false
	default:
		return true
	}
}

func (u *unbuffered) flights() <-chan struct{} {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.sent
}

// wait waits until the flights are written.
func (u *unbuffered) wait() error {
	<-u.flights()
	return u.failure()
}

// Write writes what follows the flights.
func (u *unbuffered) Write(p []byte) (int, error) {
	if err := u.wait(); err != nil {
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
