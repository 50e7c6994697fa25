package tfohttp

import (
	"errors"
	"net"
	"os"

	"github.com/tlstfo/tlstfo"
)

// A spare may be closed by the server at the moment when it is taken. net/http starts a request over for which it had an idle
// connection that was closed so, but takes a spare for a new connection, to which that cannot happen: call.again sees to it.

// readOld reads what was read from the connection while it was a spare.
func (x *Conn) readOld(p []byte) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := copy(p, x.unread)
	if x.unread = x.unread[n:]; len(x.unread) == 0 {
		x.unread = nil
	}
	return n
}

// ended keeps in mind that the connection ended, unless it was closed here or a deadline passed.
func (x *Conn) ended(err error) {
	if err == nil || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.broken = true
}

// writeTo writes to the connection.
func (x *Conn) writeTo(conn *tlstfo.Conn, p []byte) (int, error) {
	n, err := conn.Write(p)
	x.ended(err)
	return n, err
}

// wasDead tells whether the connection was a spare, and ended before it brought anything of a response. x may be nil.
func (x *Conn) wasDead() bool {
	if x == nil {
		return false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.old && x.broken && !x.answered
}

// gotAnswer says that the connection works. net/http calls it when a response begins.
func (c *call) gotAnswer() {
	if conn := c.last(); conn != nil {
		conn.mu.Lock()
		defer conn.mu.Unlock()
		conn.answered = true
	}
}
