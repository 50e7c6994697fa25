package tlstfo

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
)

// ErrOtherProtocol says that the server chose an application protocol (RFC 7301) for which the bytes of a
// DialEarlyAs were not meant. None of them was sent under traffic keys.
var ErrOtherProtocol = errors.New("the server chose another application protocol")

// NextProto is for clients that speak one of several protocols, such as HTTP/2 and HTTP/1.1, and must know which before the first byte.
// It returns what the server chose when it gave the ticket that the next dial to addr would use: "" if it chose
// none. ok is false if there is no ticket.
func (d *Dialer) NextProto(network, addr string) (proto string, ok bool) {
	c, err := d.newConn(context.Background(), network, addr)
	if err != nil || c.sessions == nil {
		return "", false
	}
	s := c.peek()
	if s == nil {
		return "", false
	}
	return s.hs.ALPN, true
}

// peek returns the ticket that the next dial would take, and leaves it to that. A cache that cannot show one has it taken and
// put back, for a moment in which a dial may miss it.
func (c *Conn) peek() *Session {
	cache, shows := c.sessions.(sessionPeeker)
	get := c.sessions.Take
	if shows {
		get = cache.Peek
	}
	s := get(c.sessionKey)
	if s == nil || s.expired(c.dialer.clock.now()) {
		return nil
	}
	if !shows {
		c.trace.ticketTaken(s, &c.dialer.clock)
		c.giveBack(s)
	}
	return s
}

// DialEarlyAs is DialEarly for bytes of certain protocols: what is *replayable* as HTTP/2, say, is nothing to a server that
// speaks another one. So they are early only with a ticket of one of protos ("" stands for none chosen). If the server
// then chooses another, the dial or the Conn fails with ErrOtherProtocol.
func (d *Dialer) DialEarlyAs(ctx context.Context, network, addr string, early []byte, protos ...string) (*Conn, error) {
	c, err := d.DialDeferred(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c.config = onlyWith(c.config, protos)
	return c.dialEarly(ctx, early)
}

// onlyWith returns a config that refuses connections on which the server chose none of protos. It is asked before early
// data leaves, and before anything is sent under traffic keys.
func onlyWith(config *tls.Config, protos []string) *tls.Config {
	verify := config.VerifyConnection
	config = config.Clone()
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if !slices.Contains(protos, state.NegotiatedProtocol) {
			return fmt.Errorf("%w: %q", ErrOtherProtocol, state.NegotiatedProtocol)
		}
		if verify != nil {
			return verify(state)
		}
		return nil
	}
	return config
}
