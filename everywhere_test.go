package tlstfo

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// everywhere are servers with handshakes of every kind, and how many of their connections it takes.
var everywhere = map[string]struct {
	conns  int32
	change func(*tls.Config)
}{
	"TLS 1.3":            {1, func(*tls.Config) {}},
	"HelloRetryRequest":  {1, func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP521} }},
	"client certificate": {1, func(c *tls.Config) { c.ClientAuth = tls.RequestClientCert }},
	"TLS 1.2":            {2, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }},
}

// eachCut runs dial against each kind of server, whose last connection goes over what wrap makes of it, until the handshake is
// complete. dial returns its error. The cuts become fewer as they go on.
func eachCut(t *testing.T, wrap func(conn net.Conn, cut int) net.Conn, dial func(t *testing.T, d *Dialer, addr string, cut int) error) {
	if testing.Short() {
		t.Skip("hundreds of handshakes")
	}
	noLeak(t)
	ca := newAuthority(t)
	for name, k := range everywhere {
		config := &tls.Config{Certificates: []tls.Certificate{ca.issue(nil, "test.example")}, SessionTicketsDisabled: true}
		k.change(config)
		var conns, cut atomic.Int32
		addr := rawServer(t, func(conn net.Conn) {
			if conns.Add(1) >= k.conns {
				conn = wrap(conn, int(cut.Load()))
			}
			s := tls.Server(conn, config)
			s.Handshake()
			io.Copy(io.Discard, s)
		})
		complete := false
		for at := 0; !complete && at < 5000; at += 1 + at/8 {
			conns.Store(0)
			cut.Store(int32(at))
			d := &Dialer{TLSConfig: &tls.Config{RootCAs: ca.pool, ServerName: "test.example"}}
			start := time.Now()
			err := dial(t, d, addr, at)
			if took := time.Since(start); took > 8*time.Second { // rawServer gives up after 10 s
				t.Errorf("%s, %d bytes: after %v", name, at, took)
			}
			if e := (*Error)(nil); err != nil && !errors.As(err, &e) {
				t.Errorf("%s, %d bytes: %T: %v", name, at, err, err)
			}
			complete = err == nil
		}
		if !complete {
			t.Errorf("%s: never complete", name)
		}
	}
}

// TestCutEverywhere: wherever a server's answer ends, the dial does with a typed error.
func TestCutEverywhere(t *testing.T) {
	eachCut(t, func(conn net.Conn, cut int) net.Conn { return &cutConn{conn, cut} },
		func(t *testing.T, d *Dialer, addr string, cut int) error {
			c, err := d.dial(t.Context(), "tcp", addr)
			if err == nil {
				c.Close()
				return nil
			}
			if !brokeOff(err) && !errors.Is(err, net.ErrClosed) {
				t.Errorf("%d bytes: %v", cut, err)
			}
			return err
		})
}

// stalledConn takes so many bytes, and tells when it takes no more.
type stalledConn struct {
	net.Conn
	left    int
	stalled func()
}

func (c *stalledConn) Write(p []byte) (int, error) {
	if c.left < 0 {
		return len(p), nil
	}
	n := min(len(p), c.left)
	c.left -= n
	c.Conn.Write(p[:n])
	if n < len(p) {
		c.left = -1
		c.stalled()
	}
	return len(p), nil
}

// TestCancelEverywhere: wherever a server falls silent, the end of the context ends the dial with its cause, and that of HandshakeContext's
// the Conn, for every later call.
func TestCancelEverywhere(t *testing.T) {
	why := errors.New("why")
	for _, deferred := range []bool{false, true} {
		var mu sync.Mutex
		var cancel context.CancelCauseFunc
		eachCut(t, func(conn net.Conn, cut int) net.Conn {
			return &stalledConn{conn, cut, func() {
				mu.Lock()
				defer mu.Unlock()
				cancel(why)
			}}
		}, func(t *testing.T, d *Dialer, addr string, cut int) error {
			ctx, cancelThis := context.WithCancelCause(t.Context())
			defer cancelThis(nil)
			mu.Lock()
			cancel = cancelThis
			mu.Unlock()
			if !deferred {
				c, err := d.dial(ctx, "tcp", addr)
				if err != nil && !errors.Is(err, why) {
					t.Errorf("%d bytes: %v", cut, err)
				}
				if c != nil {
					c.Close()
				}
				return err
			}
			c, err := d.DialDeferred(t.Context(), "tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetLinger(0)
			if err = c.HandshakeContext(ctx); err == nil {
				return nil
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%d bytes: %v", cut, err)
			}
			_, err = c.Write([]byte("x"))
			if _, again := c.Read(make([]byte, 1)); again != err || !errors.Is(err, why) {
				t.Errorf("%d bytes: Write: %v, Read: %v", cut, err, again)
			}
			return err
		})
	}
}
