package tfohttp

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http/httptrace"
	"time"

	"github.com/tlstfo/tlstfo"
)

// admit is the gate: it returns when the call's request may be written to the connection. A request that is *replayable* may go at
// once into the first flight of a Conn that has not dialled, if no other does. Any other waits for the handshake, and for
// the first flight only where that has no body. The error is the connection's.
func (x *Conn) admit(c *call) error {
	if x.ready.Load() != nil {
		return nil
	}
	for {
		x.mu.Lock()
		if x.phase == fresh {
			if !x.t.hosts.hasSpare(x.host, x.proto) && c.mayFill() {
				x.phase, x.carrier = gathering, c
				x.mu.Unlock()
				return nil
			}
			x.dial(c.ctx, false)
		}
		if x.phase == gathering && hasBody(x.carrier.req) {
			x.dial(x.carrier.ctx, false) // the body may take its time, and is not for others to wait for
		}
		turn := x.turn
		x.mu.Unlock()
		select {
		case <-x.done:
			return x.failure()
		case <-turn:
		case <-c.ctx.Done():
			return nil // net/http sees that too; what it may write before waits in Write
		//lint:ignore SA1019 deprecated for users, and still obeyed
		case <-c.req.Cancel:
			return nil
		}
	}
}

// release ends the turn of a call that was to fill the first flight. If it did not, the next call has its turn.
func (x *Conn) release(c *call) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.phase == gathering && x.carrier == c {
		x.phase, x.carrier = fresh, nil
		close(x.turn)
		x.turn = make(chan struct{})
	}
}

// dial starts the dial; early says that the first flight is *replayable*. The dial has the values of the context alone: what ends
// a request need not end the connection. The caller holds mu, and the Conn has not dialled.
func (x *Conn) dial(ctx context.Context, early bool) {
	x.phase, x.early = dialling, early
	ctx, x.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	go x.run(ctx, x.cancel)
}

// run dials and completes the handshake. The first flight is sent early if it is *replayable*.
func (x *Conn) run(ctx context.Context, cancel context.CancelCauseFunc) {
	defer cancel(nil)
	err := x.establish(ctx)
	if err == nil && !x.early {
		err = x.deliver()
	}
	if err != nil && x.conn == nil {
		close(x.up)
	}
	x.settle(err)
}

// establish sees to a connection whose handshake is complete. The first flight left with it, if it is *replayable*.
func (x *Conn) establish(ctx context.Context) error {
	if x.takeSpare() {
		return nil
	}
	if err := x.connect(ctx); err != nil {
		return err
	}
	return x.handshake(ctx)
}

// takeSpare takes a connection that is there already, if the first flight need not be early.
func (x *Conn) takeSpare() bool {
	if x.early {
		return false
	}
	conn, unread := x.t.hosts.takeSpare(x.host, x.proto)
	if conn != nil {
		x.mu.Lock()
		x.old, x.unread = true, unread
		x.mu.Unlock()
		x.publish(conn)
	}
	return conn != nil
}

// publish says that the connection is up.
func (x *Conn) publish(conn *tlstfo.Conn) {
	x.mu.Lock()
	x.conn = conn
	x.mu.Unlock()
	close(x.up)
}

// connect dials. Early bytes are *replayable*, and left when it returns.
func (x *Conn) connect(ctx context.Context) error {
	var conn *tlstfo.Conn
	var err error
	switch {
	case !x.early:
		conn, err = x.dialer.DialEarly(ctx, "tcp", x.addr, nil) // the hello alone
	case x.proto == protoHTTP1:
		conn, err = x.dialer.DialEarlyAs(ctx, "tcp", x.addr, x.first, protoHTTP1, "") // "": a server without ALPN
	default:
		conn, err = x.dialer.DialEarlyAs(ctx, "tcp", x.addr, x.first, x.proto)
	}
	if err != nil {
		return err
	}
	x.publish(conn)
	return nil
}

// handshake completes the handshake, within TLSHandshakeTimeout.
func (x *Conn) handshake(ctx context.Context) error {
	trace := httptrace.ContextClientTrace(ctx)
	if trace != nil && trace.TLSHandshakeStart != nil {
		trace.TLSHandshakeStart()
	}
	if limit := orDefault(x.t.TLSHandshakeTimeout, 10*time.Second); limit > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, limit, errHandshakeTimeout)
		defer stop()
	}
	err := x.conn.HandshakeContext(ctx)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		x.conn.Close()
	}
	state := tls.ConnectionState{}
	if err == nil {
		state = x.conn.ConnectionState()
	}
	if trace != nil && trace.TLSHandshakeDone != nil {
		trace.TLSHandshakeDone(state, err)
	}
	if err == nil && x.dialer == x.t.direct { // else the server had no choice
		x.t.hosts.learn(x.host, protocol(state.NegotiatedProtocol))
	}
	return err
}

// deliver writes the first flight where it was not early. A connection with another protocol is for others.
func (x *Conn) deliver() error {
	if chosen := protocol(x.conn.ConnectionState().NegotiatedProtocol); chosen != x.proto {
		x.t.hosts.putSpare(x.host, chosen, x.conn)
		return errOtherProtocol
	}
	if len(x.first) == 0 {
		return nil
	}
	_, err := x.writeTo(x.conn, x.first)
	if err != nil {
		x.conn.Close()
	}
	return err
}

// settle says that the handshake is complete, or why it never will be.
func (x *Conn) settle(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.early && earlyLeft(x.conn, err) {
		x.carrier.leftEarly()
	}
	x.phase, x.first, x.carrier, x.cancel = settled, nil, nil, nil // the connection may live long, and is to hold no request of its youth
	switch conn := x.conn; {
	case err != nil && x.closed:
		x.err = net.ErrClosed // whatever came of that
	case err != nil:
		x.err = err
	default:
		state := conn.ConnectionState()
		x.state = &state
		if x.deadline != [2]time.Time{} {
			x.applyDeadlines(conn)
		}
		x.ready.Store(conn)
		if x.closed { // in the meantime
			go conn.Close()
		}
	}
	close(x.done)
}

// earlyLeft tells whether *replayable* bytes left as early data, of a connection or of one that failed.
func earlyLeft(conn *tlstfo.Conn, err error) bool {
	var info tlstfo.EarlyInfo
	var failed *tlstfo.Error
	switch {
	case errors.As(err, &failed):
		info = failed.Info.Early
	case conn != nil:
		info = conn.Info().Early
	}
	return info.Bytes > 0 || info.Broken > 0
}

// errHandshakeTimeout is a net.Error, as that of net/http.
var errHandshakeTimeout error = handshakeTimeout{}

type handshakeTimeout struct{}

func (handshakeTimeout) Error() string {
	return "tfohttp: TLS handshake timeout (see Transport.TLSHandshakeTimeout)"
}
func (handshakeTimeout) Timeout() bool   { return true }
func (handshakeTimeout) Temporary() bool { return true }
