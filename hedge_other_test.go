package tlstfo

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/tfo"
)

// TestHedgeOlder: a server without TLS 1.3 behind such a path is dialled through
// crypto/tls as soon as the hedge was told, and plainly.
func TestHedgeOlder(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{ca.issue(nil, "test.example")}, MaxVersion: tls.VersionTLS12}
	for _, std := range []bool{false, true} {
		var conns atomic.Int32
		addr := rawServer(t, func(conn net.Conn) {
			if conns.Add(1) == 1 {
				io.Copy(io.Discard, conn)
				return
			}
			echo(tls.Server(conn, config))
		})
		d := &Dialer{TLSConfig: &tls.Config{RootCAs: ca.pool, ServerName: "test.example"}, testAcked: true}
		want := int32(3)
		if std {
			d.TLSConfig.MaxVersion, want = tls.VersionTLS12, 2
		}
		c, err := d.dial(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if c.Info().FastOpen.Attempts[0].Way == tfo.WayFastOpen && !c.Info().Hedged {
			t.Skip("no Fast Open here")
		}
		exchange(t, c, "hello")
		if info := c.Info(); !info.Hedged || info.Redials != int(want)-1 || info.Std == "" || conns.Load() != want || info.FastOpen.Way != tfo.WayPlain {
			t.Errorf("std %v: %d connections, %+v", std, conns.Load(), info)
		}
		c.Close()
		if c, err = d.dial(t.Context(), "tcp", addr); err != nil {
			t.Fatal(err)
		}
		if info := c.Info(); info.Hedged || info.Redials != 0 || info.FastOpen.Why != tfo.ReasonAvoided {
			t.Errorf("std %v: afterwards %+v", std, info)
		}
		c.Close()
	}
}

// TestHedgeOlderInVain: crypto/tls goes on with the first if that is answered first, or if the hedge fails.
func TestHedgeOlderInVain(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{ca.issue(nil, "test.example")}}
	for _, fails := range []bool{false, true} {
		var conns atomic.Int32
		second, closed := make(chan struct{}), make(chan struct{})
		addr := rawServer(t, func(conn net.Conn) {
			if conns.Add(1) == 1 {
				<-second
				echo(tls.Server(conn, config))
				return
			}
			close(second)
			io.Copy(io.Discard, conn)
			close(closed)
		})
		d := &Dialer{TLSConfig: &tls.Config{RootCAs: ca.pool, ServerName: "test.example", MaxVersion: tls.VersionTLS12}, testAcked: true}
		if fails {
			d.NetDialer = &net.Dialer{Control: nth(2, func() error { close(second); close(closed); return errors.New("no second one") })}
		}
		c, err := d.dial(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		exchange(t, c, "hello")
		<-closed
		if info := c.Info(); !info.Hedged || info.Redials != 0 || info.FastOpen.Won.Way != tfo.WayFastOpen {
			t.Errorf("%+v", info)
		}
		c.Close()
	}
}

// TestHedgeGivenUp: contexts, Close and Timeout end a dial with a hedge at every stage, and leave
// nothing behind.
func TestHedgeGivenUp(t *testing.T) {
	noLeak(t)
	o := newOrigin(t)
	cause := errors.New("enough")
	for _, stage := range []string{"before", "dialling", "both wait"} {
		for _, std := range []bool{false, true} {
			for _, how := range []string{"context", "Close", "Timeout"} {
				if how == "Timeout" && stage != "both wait" {
					continue
				}
				d := o.suspect(t)
				if std {
					d = &Dialer{TLSConfig: o.config(), Early: all, testAcked: true}
					d.TLSConfig.MaxVersion = tls.VersionTLS12
				}
				reached := make(chan struct{})
				var calls atomic.Int32
				d.NetDialer = &net.Dialer{ControlContext: func(ctx context.Context, _, _ string, _ syscall.RawConn) error {
					if calls.Add(1) == 2 && stage == "dialling" {
						close(reached)
						<-ctx.Done()
						return ctx.Err()
					}
					return nil
				}}
				holes := make(chan struct{}, 10)
				o.script(func(n int, conn net.Conn) net.Conn {
					if stage == "before" && n == 1 || stage == "both wait" && n == 2 {
						close(reached)
					}
					holes <- struct{}{}
					return &hole{Conn: conn}
				})
				if how == "Timeout" {
					d.Timeout = 2 * time.Second
				}
				ended := make(chan error, 1)
				ctx, cancel := context.WithCancelCause(t.Context())
				var c *Conn
				if how == "context" {
					go func() { _, err := d.dial(ctx, "tcp", o.addr); ended <- err }()
				} else {
					c, _ = d.DialDeferred(ctx, "tcp", o.addr)
					io.WriteString(c, "message")
					go func() { ended <- c.Handshake() }()
				}
				select {
				case <-reached:
				case <-time.After(10 * time.Second):
					t.Fatalf("%s, std %v: not reached", stage, std)
				}
				want := ErrTimeout
				switch how {
				case "context":
					cancel(cause)
					want = cause
				case "Close":
					c.SetLinger(0)
					c.Close()
					want = net.ErrClosed
				}
				select {
				case err := <-ended:
					if !errors.Is(err, want) {
						t.Errorf("%s, std %v, %s: %v", stage, std, how, err)
					}
				case <-time.After(10 * time.Second):
					t.Fatalf("%s, std %v, %s: not ended", stage, std, how)
				}
				cancel(nil)
				if c != nil {
					c.Close()
				}
				for len(holes) > 0 {
					<-holes
					select {
					case <-o.failed: // the server's end was closed, too
					case <-time.After(10 * time.Second):
						t.Fatalf("%s, std %v, %s: a connection stays open", stage, std, how)
					}
				}
			}
		}
	}
	o.Close()
}
