package tlstfo

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"

	"github.com/tlstfo/tlstfo/tfo"
)

// tryStd dials once and lets crypto/tls run the connection, with the caller's
// whole range of versions, so that its protection against downgrades holds. Its
// ClientHello rides in the SYN as ours does. Nothing is early.
func (c *Conn) tryStd(ctx context.Context, p plan, redials int) outcome {
	t := &attempt{info: ConnInfo{Std: p.std, Redials: redials, Redial: p.redial}}
	t.info.Early.Broken = p.broken
	if t.info.Early.Reason = EarlyStd; len(p.early) == 0 {
		t.info.Early.Reason = EarlyNotAsked
	}
	out := outcome{op: "dial"}
	var transport net.Conn = c.given
	if transport == nil {
		transport = &helloConn{dial: func(hello []byte) (net.Conn, error) {
			conn, err := c.dialHello(ctx, p, t, hello)
			if err == nil {
				out.op = "handshake"
				c.setTransport(conn, t)
			}
			return conn, err
		}}
	}
	conn := tls.Client(transport, c.config)
	if out.err = conn.HandshakeContext(ctx); out.err == nil {
		out.err = c.mayResendStd(conn, p)
	}
	if out.err != nil {
		transport.Close()
		if ctx.Err() != nil {
			out.err = context.Cause(ctx)
		}
		return out
	}
	state := conn.ConnectionState()
	t.info.Resumed = state.DidResume
	c.dialer.hosts.change(c.hostKey, func(h *host) {
		h.stdUntil = time.Time{}
		if state.Version < tls.VersionTLS13 {
			h.stdUntil = c.dialer.clock.now().wall.Add(stdFor)
		}
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.std, c.info = conn, t.info
	return out
}

// mayResendStd says why early data of a dial that broke may not go again on
// this connection.
func (c *Conn) mayResendStd(conn *tls.Conn, p plan) error {
	if p.brokenTo == nil {
		return nil
	}
	if why := c.whatChanged(p.brokenTo, conn.ConnectionState()); why != "" {
		return notAgain(why)
	}
	return nil
}

// dialHello makes the transport with crypto/tls's hello in the first flight. A
// ClientHello is harmless to repeat: it may ride in several attempts.
func (c *Conn) dialHello(ctx context.Context, p plan, t *attempt, hello []byte) (net.Conn, error) {
	t.info.HelloBytes = len(hello)
	if network := c.network; len(network) < 3 || network[:3] != "tcp" {
		nd := c.dialer.NetDialer
		if nd == nil {
			nd = new(net.Dialer)
		}
		conn, err := nd.DialContext(ctx, network, c.addr)
		if err != nil {
			return nil, err
		}
		if _, err := conn.Write(hello); err != nil {
			conn.Close()
			return nil, err
		}
		return conn, nil
	}
	conn, info, err := c.tfoDialer(p).DialContext(ctx, c.network, c.addr,
		func(context.Context, *tfo.Attempt) (tfo.Flight, error) { return tfo.Flight{Data: hello}, nil })
	if err != nil {
		return nil, err
	}
	t.info.FastOpen, t.info.RTT = *info, info.ConnectTime
	return conn, nil
}

// helloConn is a net.Conn whose first Write dials, with what is written.
// crypto/tls writes before it does anything else.
type helloConn struct {
	dial func(first []byte) (net.Conn, error)

	mu     sync.Mutex
	conn   net.Conn // nil before the first Write
	closed bool
}

func (h *helloConn) Write(p []byte) (int, error) {
	if conn := h.get(); conn != nil {
		return conn.Write(p)
	}
	conn, err := h.dial(p)
	if err != nil {
		return 0, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		conn.Close()
		return 0, net.ErrClosed
	}
	h.conn = conn
	return len(p), nil
}

func (h *helloConn) get() net.Conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.conn
}

func (h *helloConn) Read(p []byte) (int, error) {
	if conn := h.get(); conn != nil {
		return conn.Read(p)
	}
	return 0, net.ErrClosed
}

func (h *helloConn) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	if h.conn != nil {
		return h.conn.Close()
	}
	return nil
}

func (h *helloConn) LocalAddr() net.Addr {
	if conn := h.get(); conn != nil {
		return conn.LocalAddr()
	}
	return &net.TCPAddr{}
}

func (h *helloConn) RemoteAddr() net.Addr {
	if conn := h.get(); conn != nil {
		return conn.RemoteAddr()
	}
	return &net.TCPAddr{}
}

func (h *helloConn) SetDeadline(t time.Time) error {
	if conn := h.get(); conn != nil {
		return conn.SetDeadline(t)
	}
	return nil
}

func (h *helloConn) SetReadDeadline(t time.Time) error {
	if conn := h.get(); conn != nil {
		return conn.SetReadDeadline(t)
	}
	return nil
}

func (h *helloConn) SetWriteDeadline(t time.Time) error {
	if conn := h.get(); conn != nil {
		return conn.SetWriteDeadline(t)
	}
	return nil
}
