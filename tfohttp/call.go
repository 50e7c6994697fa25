package tfohttp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"

	"github.com/tlstfo/tlstfo"
)

// A call is one try of a request: what the connections that it gets must know of it.
type call struct {
	t         *Transport
	req       *http.Request // the caller's
	ctx       context.Context
	host      string // and port, as a key
	onlyHTTP1 bool   // HTTP/2 cannot carry it
	early     bool   // it is *replayable*, as somebody says whose word counts
	body      *body

	mu     sync.Mutex
	conn   *Conn // that net/http gave it last
	filled bool  // it was chosen once to fill a first flight: it is early on one dial at most
	left   bool  // a byte of it left as early data
	err    error // why the connection failed on which it waited last
	alone  bool  // its HTTP/2 connection is for no other
	own    []*Conn
	over   bool
}

type callKey struct{}

// newCall returns a try, and the request that carries it through net/http.
func (t *Transport) newCall(req *http.Request, early bool, b *body) (*call, *http.Request) {
	c := &call{t: t, req: req, host: host(req.URL), onlyHTTP1: upgrades(req), early: early, body: b}
	c.ctx = context.WithValue(req.Context(), callKey{}, c)
	c.ctx = httptrace.WithClientTrace(c.ctx, &httptrace.ClientTrace{GotConn: c.gotConn, GotFirstResponseByte: c.gotAnswer})
	r := req.WithContext(c.ctx)
	r.Body = b.next
	return c, r
}

// upgrades tells whether a request wants to leave HTTP, which HTTP/2 has no room for.
func upgrades(req *http.Request) bool { return req.Header.Get("Upgrade") != "" }

// wantsClose tells whether a request is to be the last on its connection.
func wantsClose(req *http.Request) bool {
	for _, field := range req.Header["Connection"] {
		for token := range strings.SplitSeq(field, ",") {
			if strings.EqualFold(strings.TrimSpace(token), "close") {
				return true
			}
		}
	}
	return req.Close
}

// gotConn is the gate. net/http calls it in the request's own goroutine, before a byte of the request goes to the connection.
func (c *call) gotConn(info httptrace.GotConnInfo) {
	conn, ok := info.Conn.(*Conn)
	if !ok {
		return
	}
	c.mu.Lock()
	c.conn, c.err = conn, nil // what failed before is over: net/http found another connection
	c.mu.Unlock()
	c.body.reopen()
	if err := conn.admit(c); err != nil {
		c.mu.Lock()
		c.err = err
		c.mu.Unlock()
		c.body.bar(err)
	}
}

// mayFill tells, once, whether the request may go into a first flight: whether it is *replayable* and was not early before.
func (c *call) mayFill() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := c.early && !c.filled
	c.filled = c.filled || first
	return first
}

// wasChosen tells whether the request went into a first flight, or was to.
func (c *call) wasChosen() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.filled
}

// failed returns why a connection failed on which the call waited. net/http would dial again for it.
func (c *call) failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// held tells whether the gate held back the request until the connection failed: no byte of it left, whatever became of another's early data.
func (c *call) held() bool { return c.failed() != nil }

// last returns the connection that the call got last, or nil.
func (c *call) last() *Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn
}

// finish ends the call's turn to fill a first flight, if it did not, and what it has for itself alone.
func (c *call) finish(err error) {
	if conn := c.last(); conn != nil {
		conn.release(c)
	}
	c.leave(err)
}

// cause finds out what is behind an error of net/http: the connection's own one, if it could not be set up.
func (c *call) cause(err error) error {
	if err == nil || c.req.Context().Err() != nil {
		return err
	}
	if conn := c.last(); conn != nil {
		switch failure := conn.failure(); failure {
		case nil:
		case net.ErrClosed: // by net/http, which knows why
			return err
		default:
			return failure
		}
	}
	if failed := c.failed(); failed != nil {
		return failed
	}
	return err
}

// again tells whether the request is to be started over, and whether it must not be early then.
func (c *call) again(resp *http.Response, err error) (again, noEarly bool) {
	if err == nil {
		// A 425 is for the one who sent early data, and it says that nothing was done (RFC 8470, section 5.2). Any other is the caller's.
		return resp.StatusCode == http.StatusTooEarly && c.wasEarly(), true
	}
	if c.wasEarly() && c.mustFail(err) {
		return false, false
	}
	if c.req.Context().Err() == nil && c.last().wasDead() {
		// Nobody has seen that a spare was closed. What the gate held back did not leave; what left is Safe, or is not for a second time.
		return c.held() || Safe(c.req), c.wasChosen()
	}
	switch err = c.cause(err); {
	case errors.Is(err, errOtherProtocol):
		return true, c.wasChosen()
	case errors.Is(err, tlstfo.ErrOtherProtocol), errors.Is(err, tlstfo.ErrEarlyDataRejected):
		return true, true // nothing was processed
	case errors.Is(err, tlstfo.ErrEarlyDataAccepted), errors.Is(err, tlstfo.ErrEarlyDataUncertain):
		return c.held() || Safe(c.req), true // what left may have been, and more than the method's own word is needed
	}
	return false, false
}

// mustFail tells whether the Dialer forbids to send again what left early: at all, or to a server that may be another one.
func (c *call) mustFail(err error) bool {
	d := c.t.dialer
	return d.FailOnReject || d.StrictIdentity && errors.Is(c.cause(err), tlstfo.ErrEarlyDataRejected)
}

// leftEarly says that a byte of the request left as early data. It is called before the connection brings a response, or an error.
func (c *call) leftEarly() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = true
}

// wasEarly tells whether a byte of the request left as early data.
func (c *call) wasEarly() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.left
}

// result is what RoundTrip returns.
func (c *call) result(req *http.Request, resp *http.Response, err error) (*http.Response, error) {
	if err != nil {
		err = c.cause(err)
		if c.wasEarly() && errors.Is(err, tlstfo.ErrOtherProtocol) { // and so it was not accepted (RFC 8446, section 4.2.10)
			err = fmt.Errorf("%w: %w", tlstfo.ErrEarlyDataRejected, err)
		}
		return nil, err
	}
	resp.Request = req
	if conn := c.last(); conn != nil {
		resp.TLS = conn.tlsState()
	}
	return resp, nil
}
