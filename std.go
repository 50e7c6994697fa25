package tlstfo

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/tlstfo/tlstfo/handshake"
	"github.com/tlstfo/tlstfo/tfo"
)

// tryStd dials once, or twice where there is a hedge, and lets crypto/tls run
// the connection, with the caller's whole range of versions, so that its
// protection against downgrades holds. Its ClientHello rides in the SYN as ours
// does. Nothing is early.
func (c *Conn) tryStd(ctx context.Context, p plan) outcome {
	t := &attempt{info: p.info()}
	if t.info.Early.Reason = EarlyCryptoTLS; len(p.early) == 0 {
		t.info.Early.Reason = EarlyNotAsked
	}
	out := outcome{op: "dial"}
	var began time.Time  // when the hello had left; zero unless it was acknowledged in a SYN
	var hedged time.Time // and when that of the hedge had; zero: there is none
	var patience, took time.Duration
	var transport net.Conn = c.given
	if transport == nil {
		var beside plan
		var second attempt
		transport = &helloConn{
			ctx: ctx,
			dial: func(hello []byte) (conn net.Conn, w watchdog, err error) {
				if conn, out.synData, err = c.dialHello(ctx, p, t, hello); err != nil {
					return nil, w, err
				}
				out.op = "handshake"
				c.setTransport(conn, t)
				c.trace.handshakeStart(&t.info)
				if out.synData == nil {
					return conn, w, nil
				}
				began, patience = time.Now(), hedgeDelay(ctx, t.info.RTT, c.dialer.hosts.get(c.hostKey).slow)
				if w.alone = silence(t.info.RTT); !c.dialer.onePort() {
					w.hedge = patience
				}
				return conn, w, nil
			},
			opening: func() {
				out.hedged, t.info.Hedged = true, true
				c.setInfo(t.info)
				beside = p.beside(out.synData)
				c.trace.redial(beside.redial, true)
				second.info = beside.info()
				second.info.Early.Reason = t.info.Early.Reason
			},
			hedge: func(ctx context.Context, hello []byte) (net.Conn, error) {
				conn, _, err := c.dialHello(ctx, beside, &second, hello)
				if err == nil {
					hedged = time.Now()
				}
				return conn, err
			},
			swap: func(conn net.Conn) {
				out.stalled = true
				t.info = second.info
				c.setTransport(conn, t)
			},
			took: func(d time.Duration) { took = d },
		}
	}
	if c.given != nil {
		out.op = "handshake"
		c.trace.handshakeStart(&t.info)
	}
	config := c.config
	var chainSum []byte
	if p.brokenTo != nil {
		config = noteClientChain(config, &chainSum)
	}
	conn := tls.Client(transport, config)
	if out.err = conn.HandshakeContext(ctx); out.err == nil && p.brokenTo != nil {
		out.err = c.mayResendStd(conn, p.brokenTo, chainSum)
	}
	if out.err != nil {
		transport.Close()
		if ctx.Err() != nil {
			out.err = context.Cause(ctx)
			out.unheard = took == 0 && passed(began, patience) && !passed(hedged, patience)
		}
		c.setInfo(t.info)
		if out.op == "handshake" {
			c.trace.handshakeDone(&t.info, out.err)
		}
		return out
	}
	state := conn.ConnectionState()
	t.info.Resumed = state.DidResume
	c.dialer.hosts.change(c.hostKey, func(h *host) {
		h.stdUntil = time.Time{}
		h.noteSlow(took)
		if state.Version < tls.VersionTLS13 {
			h.stdUntil = c.dialer.clock.now().wall.Add(stdFor)
		}
	})
	c.mu.Lock()
	c.std, c.state, c.info = conn, state, t.info
	c.mu.Unlock()
	c.trace.handshakeDone(&t.info, nil)
	return out
}

// mayResendStd says why early data of a dial that broke, with a session, may not go again on
// this connection, for which the client certificate of chainSum was sent.
func (c *Conn) mayResendStd(conn *tls.Conn, before *handshake.Session, chainSum []byte) error {
	why := c.whatChanged(before, conn.ConnectionState())
	if why == "" && !bytes.Equal(chainSum, before.ClientCertificate) {
		why = "the client certificate changed"
	}
	if why != "" {
		return notAgain(why)
	}
	return nil
}

// noteClientChain returns a config with which crypto/tls does as with the given one, and that notes the ChainSum of the
// client certificate that it sends. Nothing is resumed: a session does not say whose it is.
func noteClientChain(config *tls.Config, sum *[]byte) *tls.Config {
	get, certs := config.GetClientCertificate, config.Certificates
	if get == nil {
		get = func(asked *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			for i := range certs {
				if asked.SupportsCertificate(&certs[i]) == nil {
					return &certs[i], nil
				}
			}
			return new(tls.Certificate), nil
		}
	}
	config = config.Clone()
	config.ClientSessionCache = nil
	config.GetClientCertificate = func(asked *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		cert, err := get(asked)
		if *sum = nil; cert != nil && len(cert.Certificate) > 0 {
			*sum = handshake.ChainSum(cert.Certificate)
		}
		return cert, err
	}
	return config
}

// dialHello makes the transport with crypto/tls's hello in the first flight. A
// ClientHello is harmless to repeat: it may ride in several attempts. The
// attempt is the one whose SYN carried it and was acknowledged; nil: none.
func (c *Conn) dialHello(ctx context.Context, p plan, t *attempt, hello []byte) (net.Conn, *tfo.Attempt, error) {
	t.info.HelloBytes = len(hello)
	if !overTCP(c.network) {
		conn, err := c.dialer.netDialer().DialContext(ctx, c.network, c.addr)
		if err != nil {
			return nil, nil, err
		}
		if _, err := conn.Write(hello); err != nil {
			conn.Close()
			return nil, nil, err
		}
		return conn, nil, nil
	}
	conn, info, err := c.tfoDialer(p).DialContext(ctx, c.network, cmp.Or(p.addr, c.addr),
		func(context.Context, *tfo.Attempt) (tfo.Flight, error) { return tfo.Flight{Data: hello}, nil })
	t.info.FastOpen, t.info.RTT = *info, info.ConnectTime
	if err != nil {
		return nil, nil, err
	}
	return conn, c.synData(p, info), nil
}
