package tlstfo

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tlstfo/tlstfo/tfo"
)

// TestGivenUpUnheard: a dial into a hole that is given up, before its hedge was answered, marks the way as one whose hedge was: or else a caller whose
// time is too short for a hedge would fail for ever, where a plain dial succeeds.
func TestGivenUpUnheard(t *testing.T) {
	t.Parallel()
	for _, std := range []bool{false, true} {
		for _, how := range []string{"deadline", "cancel", "Close"} {
			t.Run(fmt.Sprintf("%s, std %v", how, std), func(t *testing.T) {
				t.Parallel()
				o := newOrigin(t)
				d := o.suspect(t)
				if std {
					d = &Dialer{TLSConfig: o.config(), Early: all, seen: seen{acked: true}}
					d.TLSConfig.MaxVersion = tls.VersionTLS12
				}
				var dials atomic.Int32
				hedged := make(chan struct{})
				d.NetDialer = &net.Dialer{ControlContext: func(ctx context.Context, _, _ string, _ syscall.RawConn) error {
					if dials.Add(1) == 2 { // the hedge's own SYN is lost
						close(hedged)
						<-ctx.Done()
					}
					return ctx.Err()
				}}
				o.script(func(n int, conn net.Conn) net.Conn { return &hole{Conn: conn} })
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if how == "deadline" {
					ctx, cancel = context.WithTimeout(ctx, 600*time.Millisecond)
					defer cancel()
				}
				if how == "cancel" {
					go func() { <-hedged; cancel() }()
				}
				var info ConnInfo
				if how == "Close" {
					c, err := d.DialDeferred(ctx, "tcp", o.addr)
					if err != nil {
						t.Fatal(err)
					}
					io.WriteString(c, "message")
					<-hedged
					c.SetLinger(0)
					c.Close()
					<-c.HandshakeDone()
					info = c.Info()
				} else {
					_, err := d.dial(ctx, "tcp", o.addr)
					var e *Error
					if !errors.As(err, &e) || !errors.Is(err, ctx.Err()) {
						t.Fatal(err)
					}
					info = e.Info
				}
				wantStalled(t, d, info)
			})
		}
	}
}

// wantStalled checks that d remembers a stall after a dial.
func wantStalled(t *testing.T, d *Dialer, info ConnInfo) {
	t.Helper()
	s := d.fastOpen().Snapshot()
	if stalled := len(s) == 1 && s[0].Why == tfo.FailureStalled; stalled != hasFastOpen(info) {
		t.Errorf("remembered: %v, want a stall; %+v", s, info)
	}
}

// TestUnheard: who gives up early, or heard something, blames nobody.
func TestUnheard(t *testing.T) {
	ago := time.Now().Add(-time.Second)
	for _, k := range []struct {
		s    shaking
		want bool
	}{
		{shaking{began: ago, patience: hedgeMin}, true},
		{shaking{began: ago, patience: hedgeMin, heard: true}, false},
		{shaking{began: ago, patience: time.Hour}, false},
		{shaking{began: ago, patience: hedgeMin, pair: &pair{}}, true},           // there was no hedge yet
		{shaking{began: ago, patience: hedgeMin, pair: &pair{left: ago}}, false}, // nor did a plain connection hear anything
		{shaking{began: ago, patience: hedgeMin, pair: &pair{left: time.Now().Add(time.Hour)}}, true},
		{shaking{}, false}, // its SYN had no data that was acknowledged, or its flight did not leave
	} {
		if got := k.s.unheard(); got != k.want {
			t.Errorf("%+v: %v", &k.s, got)
		}
	}
}

// TestHungServer: a server that says nothing to a plain connection either is no sign against Fast Open, wherever its dial was given up.
func TestHungServer(t *testing.T) {
	t.Parallel()
	for _, most := range []uint16{tls.VersionTLS12, 0} {
		t.Run(fmt.Sprintf("MaxVersion %x", most), func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var conns atomic.Int32
			addr := rawServer(t, func(conn net.Conn) {
				if conns.Add(1) == 2 {
					time.AfterFunc(5*hedgeMin, cancel)
				}
				io.Copy(io.Discard, conn)
			})
			d := &Dialer{TLSConfig: &tls.Config{ServerName: "test.example", MaxVersion: most}, seen: seen{acked: true}}
			_, err := d.dial(ctx, "tcp", addr)
			var e *Error
			if !errors.As(err, &e) || !errors.Is(err, context.Canceled) || !e.Info.Hedged {
				t.Fatal(err)
			}
			if s := d.fastOpen().Snapshot(); len(s) != 0 {
				t.Errorf("remembered: %v", s)
			}
		})
	}
}

// TestNoHedge: where a hedge cannot be dialled, because something forbids it or the local port is the caller's and taken by the first connection, the
// watchdog ends the wait, and a plain dial follows.
func TestNoHedge(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	for _, port := range []bool{false, true} {
		for _, most := range []uint16{tls.VersionTLS12, 0} {
			t.Run(fmt.Sprintf("one port %v, MaxVersion %x", port, most), func(t *testing.T) {
				t.Parallel()
				config := &tls.Config{Certificates: []tls.Certificate{ca.issue(nil, "test.example")}}
				var conns atomic.Int32
				addr := rawServer(t, func(conn net.Conn) {
					if conns.Add(1) == 1 {
						io.Copy(io.Discard, conn)
						return
					}
					echo(tls.Server(conn, config))
				})
				d := &Dialer{TLSConfig: &tls.Config{RootCAs: ca.pool, ServerName: "test.example", MaxVersion: most}, seen: seen{acked: true}}
				d.NetDialer = &net.Dialer{Control: nth(2, func() error { return errors.New("no second one") })}
				local := &net.TCPAddr{}
				if port {
					local = freePort(t)
					d.NetDialer = &net.Dialer{LocalAddr: local}
				}
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // what hangs must end
				defer cancel()
				c, err := d.dial(ctx, "tcp", addr)
				if err != nil {
					t.Fatal(err)
				}
				exchange(t, c, "hello")
				if info := c.Info(); info.Hedged == port || info.Redials != 1 || info.Redial != errSilence.Error() || (info.CryptoTLS != "") != (most > 0) || conns.Load() != 2 {
					t.Errorf("%d connections, %+v", conns.Load(), info)
				}
				c.Close()
				d.NetDialer = &net.Dialer{LocalAddr: &net.TCPAddr{IP: local.IP}}
				if c, err = d.dial(ctx, "tcp", addr); err != nil {
					t.Fatal(err)
				}
				if info := c.Info(); info.Redials != 0 || hasFastOpen(info) && info.FastOpen.Why != tfo.ReasonAvoided {
					t.Errorf("afterwards %+v", info)
				}
				c.Close()
			})
		}
	}
}

// freePort returns a local address with a port that nobody uses now, and hardly anybody will: where the system allows, the address is not that of the other tests.
func freePort(t *testing.T) *net.TCPAddr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr)
}

// TestHedgeFits: a hedge is so early that its two round trips fit before a deadline, if that leaves the server a round trip.
func TestHedgeFits(t *testing.T) {
	const ms = time.Millisecond
	for _, k := range []struct{ rtt, left, want time.Duration }{
		{200 * ms, 0, 400 * ms},
		{200 * ms, 10 * time.Second, 400 * ms},
		{200 * ms, 1200 * ms, 400 * ms},
		{200 * ms, 1050 * ms, 350 * ms}, // a third
		{200 * ms, 700 * ms, 200 * ms},
		{200 * ms, 300 * ms, 200 * ms}, // it does not fit
		{100 * ms, 400 * ms, 400 * ms / 3},
		{100 * ms, 360 * ms, 110 * ms},
		{0, 90 * ms, 30 * ms},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx := t.Context()
			if k.left > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, k.left)
				defer cancel()
			}
			if got := hedgeDelay(ctx, k.rtt, 0); got != k.want {
				t.Errorf("%+v: %v", k, got)
			}
		})
	}
}
