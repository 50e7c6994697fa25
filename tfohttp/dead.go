package tfohttp

import (
	"errors"
	"net"
	"os"

	"github.com/tlstfo/tlstfo"
)

// A spare may have been closed by the server while nobody read from it. net/http starts a request over for which it had an idle
// connection that was closed so, but takes a spare for a new connection, to which that cannot happen: call.again sees to it.

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
