package tlstfo

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/handshake"
	"github.com/tlstfo/tlstfo/tfo"
)

// suspect returns a Dialer that has tickets of the origin, and takes the data in its SYNs
// for acknowledged, as a path does that then lets nothing through.
func (o *origin) suspect(t *testing.T) *Dialer {
	t.Helper()
	o.segments.Store(nil)
	d := o.dialer()
	d.Early = all
	c, err := d.dial(t.Context(), "tcp", o.addr)
	if err != nil {
		t.Fatal(err)
	}
	exchange(t, c, "prime") // so that the tickets are read, however slow the machine is
	c.Close()
	d.Flush(t.Context())
	o.visit(t)
	d.seen.acked = true
	return d
}

// script says what becomes of the origin's next connections, numbered from 1.
func (o *origin) script(f func(n int, conn net.Conn) net.Conn) {
	before := o.accepted.Load()
	conns := segmentation(func(conn net.Conn) net.Conn { return f(int(o.accepted.Load()-before), conn) })
	o.segments.Store(&conns)
}

// hole is a connection of which the server sees nothing. It keeps what comes.
type hole struct {
	net.Conn
	came func() // nil, or called after the first bytes
	mu   sync.Mutex
	got  bytes.Buffer
}

func (h *hole) Read([]byte) (int, error) {
	for {
		var buf [4 << 10]byte
		n, err := h.Conn.Read(buf[:])
		h.mu.Lock()
		h.got.Write(buf[:n])
		h.mu.Unlock()
		if n > 0 && h.came != nil {
			h.came()
			h.came = nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// wantHello checks that a ClientHello came, and not a byte more.
func (h *hole) wantHello(t *testing.T) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.got.Bytes()
	if len(b) < 5 || b[0] != 22 || len(b) != 5+int(b[3])<<8+int(b[4]) {
		t.Errorf("%d bytes, want a ClientHello", len(b))
	}
}

// slowConn is a connection that the server sees nothing of until open is closed.
type slowConn struct {
	net.Conn
	open <-chan struct{}
}

func (c slowConn) Read(p []byte) (int, error) {
	<-c.open
	return c.Conn.Read(p)
}

// wantMark checks whether the next dial leaves Fast Open alone.
func (o *origin) wantMark(t *testing.T, d *Dialer, marked bool) {
	t.Helper()
	o.script(func(_ int, conn net.Conn) net.Conn { return conn })
	d.seen.acked = false
	c, err := d.dial(t.Context(), "tcp", o.addr)
	if err != nil {
		t.Fatal(err)
	}
	finish(t, c, "")
	o.visit(t)
	if info := c.Info(); info.Redials != 0 || info.Hedged || (info.FastOpen.Why == tfo.ReasonAvoided) != (marked && hasFastOpen(info)) {
		t.Errorf("marked: want %v; %+v", marked, info)
	}
}

// hasFastOpen tells whether a dial could have used Fast Open.
func hasFastOpen(info ConnInfo) bool { return info.FastOpen.Why != tfo.ReasonUnsupported }

// TestHedge: where nothing follows the SYN-ACK of a SYN with data, a plain connection
// joins, and gets what the application has to send, once and never early.
func TestHedge(t *testing.T) {
	for _, w := range ways[:3] {
		for _, ticket := range []bool{false, true} {
			name := w.name
			if ticket {
				name += " with a ticket"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				o := newOrigin(t)
				d := o.suspect(t)
				if !ticket {
					d.own = NewSessionCache(0)
				}
				var first *hole
				o.script(func(n int, conn net.Conn) net.Conn {
					if n == 1 {
						first = &hole{Conn: conn}
						return first
					}
					return conn
				})
				before := o.accepted.Load()
				c, err := w.send(t.Context(), d, o.addr, "message")
				if err != nil {
					t.Fatal(err)
				}
				finish(t, c, "message")
				if v := o.onlyVisit(t); v.data != "message" || v.info.EarlyBytes != 0 || v.info.State.DidResume != ticket {
					t.Errorf("the application got %q, early %q, resumed %v", v.data, v.early(), v.info.State.DidResume)
				}
				info := c.Info()
				if !info.Hedged || info.Redials != 1 || info.Redial != errSilence.Error() || info.Resumed != ticket {
					t.Errorf("%+v", info)
				}
				want := EarlyInfo{Reason: EarlyNotAsked}
				switch {
				case w.early && ticket:
					want = EarlyInfo{Reason: EarlyBroke, Broken: len("message")}
				case w.early:
					want.Reason = EarlyNoSession
				}
				if info.Early != want {
					t.Errorf("%+v, want %+v", info.Early, want)
				}
				if !w.early || !ticket {
					first.wantHello(t)
				}
				if n := o.accepted.Load() - before; n != 2 {
					t.Errorf("%d connections", n)
				}
				if c.NetConn() == nil || c.Info().FastOpen.Won.Way != tfo.WayPlain {
					t.Errorf("runs on %v", c.NetConn())
				}
				d.Flush(t.Context())
				o.wantMark(t, d, true)
			})
		}
	}
}

// TestHedgeInVain: a slow server whose answer comes after all goes on, its early data
// included. The hedge gets a ClientHello and no more. Nothing is marked, and next time
// the server is given the time that it takes.
func TestHedgeInVain(t *testing.T) {
	t.Parallel()
	for _, w := range ways[:3] {
		o := newOrigin(t)
		d := o.suspect(t)
		open := make(chan struct{})
		var second *hole
		o.script(func(n int, conn net.Conn) net.Conn {
			if n == 1 {
				return slowConn{conn, open}
			}
			second = &hole{Conn: conn, came: func() { close(open) }}
			return second
		})
		c, err := w.send(t.Context(), d, o.addr, "message")
		if err != nil {
			t.Fatal(err)
		}
		finish(t, c, "message")
		v := o.onlyVisit(t)
		if info := c.Info(); v.data != "message" || (v.early() == "message") != w.early || !info.Hedged || info.Redials != 0 || info.Early.Accepted != w.early {
			t.Errorf("%s: the application got %q, early %q; %+v", w.name, v.data, v.early(), info)
		}
		select {
		case <-o.failed: // the hedge was closed
		case <-time.After(10 * time.Second):
			t.Errorf("%s: the hedge is still open", w.name)
		}
		second.wantHello(t)
		if slow := d.hosts.get(c.hostKey).slow; slow < hedgeMin || hedgeDelay(t.Context(), 0, slow) < 2*hedgeMin {
			t.Errorf("%s: slow %v", w.name, slow)
		}
		d.Flush(t.Context())
		o.wantMark(t, d, false)
	}
}

// TestHedgeAlone: when the first fails after the hedge was opened, the hedge
// goes on; when the hedge fails, the first does, and then the watchdog.
func TestHedgeAlone(t *testing.T) {
	t.Parallel()
	t.Run("the first is reset", func(t *testing.T) {
		o := newOrigin(t)
		d := o.suspect(t)
		open := make(chan struct{})
		var first net.Conn
		o.script(func(n int, conn net.Conn) net.Conn {
			if n == 1 {
				first = conn
				return &hole{Conn: conn}
			}
			setLinger(first, 0)
			first.Close()
			time.AfterFunc(50*time.Millisecond, func() { close(open) })
			return slowConn{conn, open}
		})
		c, err := d.DialEarly(t.Context(), "tcp", o.addr, []byte("message"))
		if err != nil {
			t.Fatal(err)
		}
		finish(t, c, "message")
		if v, info := o.onlyVisit(t), c.Info(); v.data != "message" || v.info.EarlyBytes != 0 || info.Redials != 1 || info.Early.Broken != 7 {
			t.Errorf("the application got %q, early %q; %+v", v.data, v.early(), info)
		}
	})
	t.Run("the hedge fails, the first is slow", func(t *testing.T) {
		o := newOrigin(t)
		for try := 1; ; try++ {
			d := o.suspect(t)
			open := make(chan struct{})
			d.NetDialer = &net.Dialer{Control: nth(2, func() error { close(open); return errors.New("no second one") })}
			o.script(func(_ int, conn net.Conn) net.Conn { return slowConn{conn, open} })
			c, err := d.DialEarly(t.Context(), "tcp", o.addr, []byte("message"))
			if err != nil {
				t.Fatal(err)
			}
			finish(t, c, "message")
			v, info := o.visit(t), c.Info()
			if v.early() == "message" && info.Redials == 0 && info.Hedged {
				return
			}
			// The server had a second from then on. A busy machine may not give it that.
			if try == 5 {
				t.Fatalf("the application got %q, early %q; %+v", v.data, v.early(), info)
			}
			for len(o.visits) > 0 {
				<-o.visits
			}
		}
	})
	t.Run("the hedge fails, the first stays silent", func(t *testing.T) {
		o := newOrigin(t)
		d := o.suspect(t)
		d.NetDialer = &net.Dialer{Control: nth(2, func() error { return errors.New("no second one") })}
		o.script(func(n int, conn net.Conn) net.Conn {
			if n == 1 {
				return &hole{Conn: conn}
			}
			return conn
		})
		c, err := d.DialEarly(t.Context(), "tcp", o.addr, []byte("message"))
		if err != nil {
			t.Fatal(err)
		}
		finish(t, c, "message")
		if v, info := o.onlyVisit(t), c.Info(); v.data != "message" || v.info.EarlyBytes != 0 || info.Redials != 1 || !info.Hedged || info.Early.Broken != 7 {
			t.Errorf("the application got %q, early %q; %+v", v.data, v.early(), info)
		}
	})
}

// nth is a control hook of which call n fails with f's error.
func nth(n int32, f func() error) func(_, _ string, _ syscall.RawConn) error {
	var calls atomic.Int32
	return func(_, _ string, _ syscall.RawConn) error {
		if calls.Add(1) == n {
			return f()
		}
		return nil
	}
}

// TestHedgeFailOnReject: early data that left must not go again, so that
// there is no hedge, and the error is typed; without early data there is one.
func TestHedgeFailOnReject(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	d := o.suspect(t)
	d.FailOnReject = true
	before := o.accepted.Load()
	o.script(func(_ int, conn net.Conn) net.Conn { return &hole{Conn: conn} })
	c, err := d.DialEarly(t.Context(), "tcp", o.addr, []byte("message"))
	if err == nil {
		err = c.Handshake()
	}
	var e *Error
	if !errors.Is(err, ErrEarlyDataUncertain) || !errors.Is(err, errSilence) || !errors.As(err, &e) {
		t.Fatal(err)
	}
	if info := e.Info; info.Hedged || info.Redials != 0 || info.Early.Bytes != 7 || info.Early.Reason != EarlyBroke || info.FastOpen.Won == nil {
		t.Errorf("%+v", info)
	}
	if n := o.accepted.Load() - before; n != 1 {
		t.Errorf("%d connections", n)
	}
	o.wantMark(t, d, true)

	d = o.suspect(t)
	d.FailOnReject = true
	o.script(func(n int, conn net.Conn) net.Conn {
		if n == 1 {
			return &hole{Conn: conn}
		}
		return conn
	})
	if c, err = ways[0].send(t.Context(), d, o.addr, "message"); err != nil {
		t.Fatal(err)
	}
	finish(t, c, "message")
	if v, info := o.onlyVisit(t), c.Info(); v.data != "message" || !info.Hedged || info.Redials != 1 {
		t.Errorf("the application got %q; %+v", v.data, info)
	}
}

// TestHedgeTickets: a hedge takes a ticket of its own, and one that was never sent goes back.
func TestHedgeTickets(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	o.Update(func(c *handshake.ServerConfig) { c.NumTickets = 3 })
	d := o.suspect(t)
	left := func() int { return d.own.(sessionCounter).Len(sessionKey("", o.addr, o.config())) }
	before := left()
	d.NetDialer = &net.Dialer{Timeout: time.Second, Control: nth(2, func() error { return errors.New("no second one") })}
	nothing := func(_ int, conn net.Conn) net.Conn { return &hole{Conn: conn} }
	o.script(nothing)
	if c, err := d.dial(t.Context(), "tcp", o.addr); err == nil {
		t.Fatal(c.Info())
	}
	if n := left(); n != before-1 {
		t.Errorf("%d tickets of %d are left after a hedge that was never up", n, before)
	}
	d = o.suspect(t)
	d.NetDialer = &net.Dialer{Timeout: 3 * time.Second}
	before = left()
	o.script(nothing)
	var e *Error
	if _, err := d.dial(t.Context(), "tcp", o.addr); !errors.As(err, &e) || !e.Timeout() || !e.Info.Hedged {
		t.Fatalf("%v, %+v", err, e)
	}
	if n := left(); n != before-2 {
		t.Errorf("%d tickets of %d are left after a hedge", n, before)
	}
}

// TestHedgeDelay: 200 ms, more where a round trip or the server takes long, less in a hurry.
func TestHedgeDelay(t *testing.T) {
	const ms = time.Millisecond
	for _, k := range []struct{ rtt, slow, left, want time.Duration }{
		{0, 0, 0, 200 * ms},
		{40 * ms, 0, 0, 200 * ms},
		{100 * ms, 0, 0, 200 * ms},
		{300 * ms, 0, 0, 600 * ms},
		{40 * ms, 400 * ms, 0, 800 * ms},
		{40 * ms, time.Hour, 0, silenceMax},
		{40 * ms, 0, 30 * time.Second, 200 * ms},
		{40 * ms, 0, 300 * ms, 100 * ms},
		{40 * ms, 0, 90 * ms, 80 * ms},
	} {
		ctx := t.Context()
		if k.left > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, k.left)
			defer cancel()
		}
		if got := hedgeDelay(ctx, k.rtt, k.slow); got > k.want || got < k.want-5*ms && k.left == 0 {
			t.Errorf("%+v: %v", k, got)
		}
	}
	var h host
	for _, k := range []struct{ took, want time.Duration }{{time.Second, time.Second}, {0, time.Second}, {150 * ms, 150 * ms}, {90 * ms, 0}} {
		if h.noteSlow(k.took); h.slow != k.want {
			t.Errorf("after %v: slow %v, want %v", k.took, h.slow, k.want)
		}
	}
}
