package tfohttp

import (
	"context"
	"errors"
	"net"
)

// errOtherProtocol says that a server speaks another protocol than the one that a connection was wanted for.
var errOtherProtocol = errors.New("tfohttp: the server speaks another HTTP version than expected")

// dialHTTP1 is http.Transport.DialTLSContext for HTTP/1.1. It returns at once: the gate dials, where it is known which request the
// connection is for (see Conn).
func (t *Transport) dialHTTP1(ctx context.Context, _, addr string) (net.Conn, error) {
	c := callOf(ctx)
	switch {
	case c.failed() != nil:
		return nil, c.failed()
	case c.onlyHTTP1:
		return t.newConn(c, addr, protoHTTP1, t.onlyHTTP1), nil
	case t.hosts.proto(c.host) == protoHTTP2:
		return nil, errOtherProtocol
	}
	return t.newConn(c, addr, protoHTTP1, t.direct), nil
}

// dialHTTP2 is http.Transport.DialTLSContext for HTTP/2, and for servers whose protocol nobody knows. net/http calls it for each request
// that finds no connection, and keeps one of what it returns: the others were not dialled.
func (t *Transport) dialHTTP2(ctx context.Context, _, addr string) (net.Conn, error) {
	c := callOf(ctx)
	for {
		if err := c.failed(); err != nil {
			return nil, err
		}
		switch t.expect(c, addr) {
		case protoHTTP1:
			return nil, errOtherProtocol
		case protoHTTP2:
			x := t.newConn(c, addr, protoHTTP2, t.direct)
			if err := c.take(x); err != nil {
				return nil, err
			}
			return x, nil
		}
		d, begun := t.hosts.decide(c.host)
		if begun {
			t.hosts.decided(c.host, d, t.findOut(ctx, c, addr))
		}
		select {
		case <-d.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		switch {
		case !begun && errors.Is(d.err, context.Canceled): // whoever began it gave up
		case d.err != nil:
			return nil, d.err
		}
	}
}

// findOut dials a server to learn its protocol. The connection becomes a spare: the next Conn takes it instead of dialling.
func (t *Transport) findOut(ctx context.Context, c *call, addr string) error {
	x := t.newConn(c, addr, "", t.direct)
	x.mu.Lock()
	x.dial(ctx, false)
	x.mu.Unlock()
	select {
	case <-x.done:
	case <-ctx.Done():
		x.Close()
		<-x.done
	}
	switch err := x.failure(); {
	case errors.Is(err, errOtherProtocol):
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	default:
		return err
	}
}
