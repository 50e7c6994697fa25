package tlstfo

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
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
		d := &Dialer{TLSConfig: &tls.Config{RootCAs: ca.pool, ServerName: "test.example"}, seen: seen{acked: true}}
		want := int32(3)
		if std {
			d.TLSConfig.MaxVersion, want = tls.VersionTLS12, 2
		}
		c, err := d.dial(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		exchange(t, c, "hello")
		if info := c.Info(); !info.Hedged || info.Redials != int(want)-1 || info.CryptoTLS == "" || conns.Load() != want || info.FastOpen.Way != tfo.WayPlain {
			t.Errorf("std %v: %d connections, %+v", std, conns.Load(), info)
		}
		c.Close()
		if c, err = d.dial(t.Context(), "tcp", addr); err != nil {
			t.Fatal(err)
		}
		if info := c.Info(); info.Hedged || info.Redials != 0 || hasFastOpen(info) && info.FastOpen.Why != tfo.ReasonAvoided {
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
		d := &Dialer{TLSConfig: &tls.Config{RootCAs: ca.pool, ServerName: "test.example", MaxVersion: tls.VersionTLS12}, seen: seen{acked: true}}
		if fails {
			d.NetDialer = &net.Dialer{Control: nth(2, func() error { close(second); close(closed); return errors.New("no second one") })}
		}
		c, err := d.dial(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		exchange(t, c, "hello")
		<-closed
		if info := c.Info(); !info.Hedged || info.Redials != 0 || info.FastOpen.Why == tfo.ReasonDisabled {
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
					d = &Dialer{TLSConfig: o.config(), Early: all, seen: seen{acked: true}}
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

// TestHedgeStorm: whoever wins, at whatever moment a dial is given up, nothing reaches the
// application twice, early data that was asked for aside, and nothing is left behind.
func TestHedgeStorm(t *testing.T) {
	noLeak(t)
	var storm sync.WaitGroup
	var won [2]atomic.Int32
	for worker := range 8 {
		o := newOrigin(t)
		d := o.suspect(t)
		rng := rand.New(rand.NewPCG(uint64(worker), 0))
		storm.Go(func() {
			least, most := map[string]int{}, map[string]int{"": 100}
			for i := range 8 {
				message := fmt.Sprintf("%d-%d", worker, i)
				least[message], most[message] = stormDial(t, o, d, rng, message, &won)
				d = &Dialer{TLSConfig: d.TLSConfig, Early: all, seen: seen{acked: true}, Sessions: cmp.Or(d.Sessions, d.own)}
			}
			o.Close() // waits until the application has seen everything
			seen := map[string]int{}
			for len(o.visits) > 0 {
				seen[(<-o.visits).data]++
			}
			for message, n := range seen {
				if n > most[message] {
					t.Errorf("%q reached the application %d times", message, n)
				}
			}
			for message, n := range least {
				if seen[message] < n {
					t.Errorf("%q reached the application %d times", message, seen[message])
				}
			}
		})
	}
	storm.Wait()
	t.Logf("the first won %d times, the hedge %d times", won[0].Load(), won[1].Load())
}

// stormDial dials a server that answers on two connections at nearly the same moment, and may give that up then. It returns how
// often the application may see the message.
func stormDial(t *testing.T, o *origin, d *Dialer, rng *rand.Rand, message string, won *[2]atomic.Int32) (least, most int) {
	early, giveUp := rng.IntN(2) == 0, rng.IntN(3) == 0
	jitter, patience := time.Duration(rng.IntN(3000))*time.Microsecond, time.Duration(rng.IntN(4000))*time.Microsecond
	open, second := make(chan struct{}), make(chan struct{})
	o.script(func(n int, conn net.Conn) net.Conn {
		switch n {
		case 1:
			return slowConn{conn, open}
		case 2:
			time.AfterFunc(jitter, func() { close(open) })
			close(second)
		}
		return conn
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	send := ways[0].send
	if early {
		send = ways[1].send
	}
	go func() {
		select {
		case <-second:
		case <-ctx.Done():
		}
		if giveUp {
			time.Sleep(patience)
			cancel()
		}
	}()
	c, err := send(ctx, d, o.addr, message)
	switch {
	case err == nil && early && giveUp:
		c.HandshakeContext(ctx)
		c.SetLinger(0)
		c.Close()
	case err == nil:
		got := make([]byte, len(message))
		if _, err := io.ReadFull(c, got); err != nil || string(got) != message {
			t.Errorf("%s: echo %q, %v", message, got, err)
		}
		won[c.Info().Redials].Add(1)
		c.Close()
	case !giveUp:
		t.Errorf("%s: %v", message, err)
	}
	cancel()
	<-second
	least, most = 1, 1
	if giveUp {
		least = 0
	}
	if early {
		most = 2
	}
	return least, most
}
