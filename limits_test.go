package tlstfo

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/handshake"
	"github.com/tlstfo/tlstfo/internal/testpeer"
)

// left tells how many tickets a Dialer has for the origin.
func (o *origin) left(d *Dialer) int {
	return d.own.(sessionCounter).Len(sessionKey("", o.addr, d.TLSConfig))
}

// TestPauseEnds: a server on which a dial with early data broke is spared it for 5 minutes, and then no longer.
func TestPauseEnds(t *testing.T) {
	o := newOrigin(t)
	d := o.dialer()
	o.prime(t, d)
	o.knobsFor(testpeer.Knobs{CloseAfterRead: 1})
	dial := func() EarlyInfo {
		t.Helper()
		c, err := d.DialEarly(t.Context(), "tcp", o.addr, []byte("GET"))
		if err != nil {
			t.Fatal(err)
		}
		finish(t, c, "GET")
		d.Flush(t.Context())
		o.visit(t)
		return c.Info().Early
	}
	if early := dial(); early.Broken == 0 {
		t.Fatalf("%+v", early)
	}
	for _, k := range []struct {
		after time.Duration
		want  EarlyReason
	}{{5*time.Minute - 20*time.Second, EarlyPaused}, {5*time.Minute + 20*time.Second, EarlyAccepted}} {
		d.later(k.after)
		for o.left(d) > 0 { // the server does not know of the time that went by
			d.own.Take(sessionKey("", o.addr, d.TLSConfig))
		}
		o.prime(t, d)
		if early := dial(); early.Reason != k.want {
			t.Errorf("after %v: %+v", k.after, early)
		}
	}
}

// TestSilence: the watchdog's patience is 10 round trips, but at least 1 s and at most 10 s.
func TestSilence(t *testing.T) {
	for rtt, want := range map[time.Duration]time.Duration{
		0:                       time.Second,
		20 * time.Millisecond:   time.Second,
		150 * time.Millisecond:  1500 * time.Millisecond,
		999 * time.Millisecond:  9990 * time.Millisecond,
		1001 * time.Millisecond: 10 * time.Second,
		time.Hour:               10 * time.Second,
	} {
		if got := silence(rtt); got != want {
			t.Errorf("round-trip time %v: %v, want %v", rtt, got, want)
		}
	}
}

// TestVerifiedEnds: what once verified is believed while every certificate of the chain is valid.
func TestVerifiedEnds(t *testing.T) {
	ca := newAuthority(t)
	leaf := func(from, to time.Time) *x509.Certificate {
		cert := ca.issue(func(c *x509.Certificate) { c.NotBefore, c.NotAfter = from, to }, "test.example")
		parsed, err := x509.ParseCertificate(cert.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	start, end := ca.cert.NotBefore, ca.cert.NotAfter
	for name, k := range map[string]struct {
		leaf     *x509.Certificate
		from, to time.Time
	}{
		"the leaf": {leaf(start.Add(time.Hour), end.Add(-time.Hour)), start.Add(time.Hour), end.Add(-time.Hour)},
		"the root": {leaf(start.Add(-time.Hour), end.Add(time.Hour)), start, end},
	} {
		var v verifier
		var now time.Time
		config := &tls.Config{RootCAs: ca.pool, ServerName: "test.example", Time: func() time.Time { return now }}
		s := &handshake.Session{PeerCertificates: []*x509.Certificate{k.leaf}}
		for _, m := range []struct {
			at   time.Time
			good bool
		}{
			{k.from.Add(time.Minute), true}, // from here on it is remembered
			{k.to.Add(-time.Second), true},
			{k.to.Add(time.Second), false},
			{k.from.Add(time.Second), true},
			{k.from.Add(-time.Second), false},
		} {
			now = m.at
			if chains, err := v.verify(s, config); (err == nil) != m.good || (len(chains) > 0) != m.good {
				t.Errorf("%s, at %v of %v to %v: %v", name, m.at, k.from, k.to, err)
			}
		}
	}
}

// TestRefusedTicketIsDropped: a ticket whose identity does not hold any more is not kept for the next dial.
func TestRefusedTicketIsDropped(t *testing.T) {
	refuse := func(state tls.ConnectionState) error {
		if state.DidResume {
			return errors.New("not this one")
		}
		return nil
	}
	for name, change := range map[string]func(o *origin, d *Dialer){
		"by the chain": func(o *origin, d *Dialer) {
			key := sessionKey("", o.addr, d.TLSConfig)
			s := d.own.Take(key)
			s.hs.PeerCertificates = nil
			d.own.Put(key, s)
		},
		"by VerifyConnection": func(_ *origin, d *Dialer) {
			d.config = d.config.Clone()
			d.config.VerifyConnection = refuse
		},
	} {
		o := newOrigin(t)
		o.Update(func(c *handshake.ServerConfig) { c.NumTickets = 1 })
		d := o.dialer()
		o.prime(t, d)
		o.Update(func(c *handshake.ServerConfig) { c.NumTickets = -1 })
		if n := o.left(d); n != 1 {
			t.Fatalf("%d tickets", n)
		}
		change(o, d)
		c, err := d.DialEarly(t.Context(), "tcp", o.addr, []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		finish(t, c, "x")
		if info := c.Info(); info.Early.Reason != EarlyIdentity || info.Resumed {
			t.Errorf("%s: %+v", name, info)
		}
		d.Flush(t.Context())
		if n := o.left(d); n != 0 {
			t.Errorf("%s: the ticket is there for the next dial", name)
		}
	}
}

// TestOwnChecksOwnSessions: what VerifyPeerCertificate saw is not known to other Dialers, nor what it did not see to its own.
func TestOwnChecksOwnSessions(t *testing.T) {
	o := newOrigin(t)
	shared := NewSessionCache(0)
	dialer := func(checks bool) *Dialer {
		d := &Dialer{TLSConfig: o.config(), Sessions: shared}
		if checks {
			d.TLSConfig.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { return nil }
		}
		return d
	}
	resumed := func(d *Dialer) bool {
		t.Helper()
		c, err := d.dial(t.Context(), "tcp", o.addr)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		d.Flush(t.Context())
		o.visit(t)
		return c.Info().Resumed
	}
	own := dialer(true)
	o.prime(t, own)
	if resumed(dialer(false)) || resumed(dialer(true)) || !resumed(own) {
		t.Error("a session that VerifyPeerCertificate saw serves others, or not its own Dialer")
	}
	plain := dialer(false)
	o.prime(t, plain)
	if resumed(dialer(true)) || !resumed(dialer(false)) {
		t.Error("a session that VerifyPeerCertificate never saw passes for one that it did, or serves nobody")
	}
}

// TestHybridOnceADay: a resumption has a post-quantum key exchange again when the last one is a day old.
func TestHybridOnceADay(t *testing.T) {
	const day = 24 * time.Hour
	o := newOrigin(t)
	d := o.dialer()
	d.seen.room = func(r *room) { r.syn, r.cookie, r.budget = true, true, 1420 }
	o.prime(t, d)
	for _, k := range []struct {
		after time.Duration
		want  tls.CurveID
	}{{day - time.Minute, tls.X25519}, {day + time.Minute, tls.X25519MLKEM768}} {
		d.later(k.after)
		c, err := d.dial(t.Context(), "tcp", o.addr)
		if err != nil {
			t.Fatal(err)
		}
		exchange(t, c, "x")
		c.Close()
		d.Flush(t.Context())
		if state := o.visit(t).info.State; state.CurveID != k.want || !state.DidResume || c.Info().ClassicalOnly != (k.want == tls.X25519) {
			t.Errorf("after %v: %v, resumed %v, %+v", k.after, state.CurveID, state.DidResume, c.Info())
		}
	}
}

// TestContextValues: those of every dialling call's context reach the hooks of NetDialer, whenever the dial is.
func TestContextValues(t *testing.T) {
	type key struct{}
	o := newOrigin(t)
	for _, w := range ways[:3] {
		d := o.dialer()
		got := make(chan any, 1)
		d.NetDialer = &net.Dialer{ControlContext: func(ctx context.Context, _, _ string, _ syscall.RawConn) error {
			got <- ctx.Value(key{})
			return nil
		}}
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, w.name))
		c, err := w.send(ctx, d, o.addr, "x")
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		finish(t, c, "x")
		if v := <-got; v != w.name {
			t.Errorf("%s: %v", w.name, v)
		}
	}
}

// TestOwedGoesFirst: whoever sends close_notify, what was handed over before the handshake goes before that.
func TestOwedGoesFirst(t *testing.T) {
	ca := newAuthority(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for name, end := range map[string]func(*Conn) error{"Close": (*Conn).Close, "CloseWrite": (*Conn).CloseWrite} {
			got := make(chan string, 1)
			config := &tls.Config{Certificates: []tls.Certificate{ca.issue(nil, "test.example")}, MaxVersion: version}
			addr := stdServer(t, config, func(c *tls.Conn) {
				b, err := io.ReadAll(c)
				if err != nil {
					b = append(b, err.Error()...)
				}
				got <- string(b)
			})
			c, err := Dial("tcp", addr, &tls.Config{RootCAs: ca.pool, ServerName: "test.example", MaxVersion: version})
			if err != nil {
				t.Fatal(err)
			}
			c.first, c.owed = []byte("owed"), make(chan struct{})
			time.AfterFunc(20*time.Millisecond, c.deliver) // end is there first, or it is not: the order is the same
			if err := end(c); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if s := <-got; s != "owed" {
				t.Errorf("%x, %s: the server got %q", version, name, s)
			}
			c.Close()
		}
	}
}
