package tlstfo

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/handshake"
	"github.com/tlstfo/tlstfo/internal/testpeer"
)

// TestBroken: a server that breaks on early data before its ServerHello is
// dialled once more, without early data, and is spared it for a while.
func TestBroken(t *testing.T) {
	for name, knobs := range map[string]testpeer.Knobs{
		"EOF":     {CloseAfterRead: 1},
		"reset":   {CloseAfterRead: 1, Reset: true},
		"silence": {Silent: true},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrigin(t)
			d := o.dialer()
			o.prime(t, d)
			o.knobsFor(knobs)
			c, err := d.DialEarly(t.Context(), "tcp", o.addr, []byte("GET 1"))
			if err != nil {
				t.Fatal(err)
			}
			finish(t, c, "GET 1")
			if v := o.onlyVisit(t); v.data != "GET 1" || v.info.EarlyBytes != 0 {
				t.Errorf("the application got %q, early %q", v.data, v.early())
			}
			if info := c.Info(); info.Redials != 1 || info.Early.Reason != EarlyBroke || info.Early.Broken != 5 || info.Early.Offered || info.CryptoTLS != "" {
				t.Errorf("%+v", info)
			}
			d.Flush(t.Context())
			c, err = d.DialEarly(t.Context(), "tcp", o.addr, []byte("GET 2"))
			if err != nil {
				t.Fatal(err)
			}
			finish(t, c, "GET 2")
			if info := c.Info(); info.Redials != 0 || info.Early.Reason != EarlyPaused || !info.Resumed {
				t.Errorf("afterwards: %+v", info)
			}
		})
	}
}

// TestBrokenForGood: with FailOnReject, over the caller's transport, and when the redial fails as
// well, the error says that the early data may have been processed.
func TestBrokenForGood(t *testing.T) {
	for _, w := range []way{ways[1], ways[3]} {
		o := newOrigin(t)
		d := o.dialer()
		d.Early = all
		d.FailOnReject = w.name == "DialEarly"
		prime(t, o, d, w)
		o.knobsFor(testpeer.Knobs{CloseAfterRead: 1})
		c, err := w.send(t.Context(), d, o.addr, "GET 1")
		if err == nil {
			err = c.Handshake()
			c.Close()
		}
		if !errors.Is(err, ErrEarlyDataUncertain) {
			t.Errorf("%s: %v", w.name, err)
		}
	}
	o := newOrigin(t)
	d := o.dialer()
	o.prime(t, d)
	o.Set(testpeer.Knobs{CloseAfterRead: 1})
	c, err := d.DialEarly(t.Context(), "tcp", o.addr, []byte("GET 1"))
	if err == nil {
		err = c.Handshake()
	}
	if !errors.Is(err, ErrEarlyDataUncertain) {
		t.Errorf("redial in vain: %v", err)
	}
}

// TestBrokenAfterAccept: what the server accepted is never sent again, and
// the error says that it was accepted.
func TestBrokenAfterAccept(t *testing.T) {
	o := newOrigin(t)
	d := o.dialer()
	o.prime(t, d)
	no := errors.New("not this one")
	var asked []bool
	d2 := &Dialer{TLSConfig: o.config(), Sessions: d.own}
	d2.TLSConfig.VerifyConnection = func(state tls.ConnectionState) error {
		if asked = append(asked, state.DidResume); len(asked) == 1 {
			return nil // of the predicted state
		}
		return no
	}
	c, err := d2.DialEarly(t.Context(), "tcp", o.addr, []byte("GET 1"))
	if err == nil {
		err = c.Handshake()
	}
	if !errors.Is(err, ErrEarlyDataAccepted) || !errors.Is(err, no) || !errors.Is(err, handshake.FaultCertificateRejected) {
		t.Errorf("%v", err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, no) || !c.Info().Early.Accepted {
		t.Errorf("Read: %v, %+v", err, c.Info())
	}
	if v := o.onlyVisit(t); v.data != "GET 1" || v.early() != "GET 1" {
		t.Errorf("the application got %q, early %q", v.data, v.early())
	}
	if len(asked) != 2 || !asked[0] || !asked[1] {
		t.Errorf("VerifyConnection was asked about %v", asked)
	}
}

// TestCutAnswer cuts the answer to early data at every byte: the Conn dials
// again only before the ServerHello.
func TestCutAnswer(t *testing.T) {
	o := newOrigin(t)
	d := o.dialer()
	d.TLSConfig.CurvePreferences = []tls.CurveID{tls.X25519}                   // a short ServerHello
	d.EarlyData = func(EarlyDataOffer) bool { d.hosts = hosts{}; return true } // forget the pauses
	var redialled, uncertain, done int
	for cut := 1; done == 0 && cut < 2000; cut += 1 + cut/40 {
		o.Set(testpeer.Knobs{})
		o.prime(t, d)
		o.knobsFor(testpeer.Knobs{CloseAfterWrite: cut})
		d.hosts = hosts{}
		c, err := d.DialEarly(t.Context(), "tcp", o.addr, []byte("GET 1"))
		if err == nil {
			err = c.Handshake()
		}
		switch {
		case err == nil && c.Info().Redials == 1:
			redialled++
			if uncertain > 0 {
				t.Errorf("cut at %d: dialled again after the ServerHello", cut)
			}
		case err == nil:
			done++
		case errors.Is(err, ErrEarlyDataUncertain):
			uncertain++
		default:
			t.Errorf("cut at %d: %v", cut, err)
		}
		if c != nil {
			c.Close()
		}
		for empty := false; !empty; {
			select {
			case <-o.visits:
			case <-o.failed:
			case <-time.After(5 * time.Millisecond):
				empty = true
			}
		}
	}
	if redialled == 0 || uncertain == 0 || done == 0 {
		t.Errorf("redialled %d, uncertain %d, done %d: a kind is missing", redialled, uncertain, done)
	}
}

// TestTicketGoesBack: a ticket that was never on the wire is not lost.
func TestTicketGoesBack(t *testing.T) {
	o := newOrigin(t)
	d := o.dialer()
	o.prime(t, d)
	before := d.own.(interface{ Len(string) int }).Len(sessionKey("", o.addr, o.config()))
	if before == 0 {
		t.Fatal("no ticket")
	}
	d2 := &Dialer{TLSConfig: o.config(), Sessions: d.own, NetDialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(203, 0, 113, 1)}}}
	if _, err := d2.DialEarly(t.Context(), "tcp", o.addr, []byte("x")); err == nil {
		t.Fatal("dialled from an address that is not here")
	}
	if after := d.own.(interface{ Len(string) int }).Len(sessionKey("", o.addr, o.config())); after != before {
		t.Errorf("%d tickets before, %d after", before, after)
	}
}

// TestHybridLineage: a session of a post-quantum key exchange is resumed with
// a small classical hello, which costs its early data nothing with a server
// that prefers the hybrid; and if it is refused, no application byte is sent
// under the classical key exchange.
func TestHybridLineage(t *testing.T) {
	var log recorder
	o := newOrigin(t)
	d := o.dialer()
	d.TLSConfig.KeyLogWriter = &log
	d.seen.room = func(r *room) { r.syn, r.cookie, r.budget = true, true, 1420 }
	o.prime(t, d)
	c, err := d.DialEarly(t.Context(), "tcp", o.addr, []byte("GET 1"))
	if err != nil {
		t.Fatal(err)
	}
	finish(t, c, "GET 1")
	d.Flush(t.Context())
	v := o.onlyVisit(t)
	if info := c.Info(); !info.ClassicalOnly || info.Redials != 0 || !info.Early.Accepted || info.Overflow != 0 ||
		v.early() != "GET 1" || v.info.Retried || v.info.State.CurveID != tls.X25519 {
		t.Errorf("resumed: %+v, %+v", info, v.info)
	}

	o.RotateTicketKeys(0)
	log.clear()
	c, err = d.DialEarly(t.Context(), "tcp", o.addr, []byte("GET 2"))
	if err != nil {
		t.Fatal(err)
	}
	finish(t, c, "GET 2")
	v = o.onlyVisit(t)
	if info := c.Info(); info.Redials != 1 || info.Resumed || info.Early.Broken != 5 || v.info.EarlyBytes != 0 || v.info.State.CurveID != tls.X25519MLKEM768 {
		t.Errorf("refused: %+v, %+v", info, v.info)
	}
	if n := log.count("CLIENT_TRAFFIC_SECRET_0"); n != 1 {
		t.Errorf("%d connections got application keys, want the hybrid one alone", n)
	}

	// When the lineage's last hybrid key exchange is old, the hybrid comes again.
	d.Flush(t.Context())
	d.HybridRefresh = time.Nanosecond
	c, err = d.DialEarly(t.Context(), "tcp", o.addr, []byte("GET 3"))
	if err != nil {
		t.Fatal(err)
	}
	finish(t, c, "GET 3")
	if v = o.onlyVisit(t); v.info.State.CurveID != tls.X25519MLKEM768 || v.early() != "GET 3" || !v.info.State.DidResume {
		t.Errorf("refreshed: %+v", v.info)
	}
}

// recorder is a KeyLogWriter.
type recorder struct {
	mu    sync.Mutex
	lines []string
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, string(p))
	return len(p), nil
}

func (r *recorder) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = nil
}

func (r *recorder) count(label string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, line := range r.lines {
		if len(line) > len(label) && line[:len(label)+1] == label+" " {
			n++
		}
	}
	return n
}

// TestClassicalServer: where the server passed over the hybrid, a refused
// session needs no second dial.
func TestClassicalServer(t *testing.T) {
	o := newOrigin(t)
	o.Update(func(c *handshake.ServerConfig) { c.Groups = []tls.CurveID{tls.CurveP256} })
	d := o.dialer()
	d.seen.room = func(r *room) { r.syn, r.cookie, r.budget = true, true, 1420 }
	o.prime(t, d)
	for range 2 {
		c, err := d.DialEarly(t.Context(), "tcp", o.addr, []byte("GET 1"))
		if err != nil {
			t.Fatal(err)
		}
		finish(t, c, "GET 1")
		d.Flush(t.Context())
		v := o.onlyVisit(t)
		if info := c.Info(); info.Redials != 0 || info.ClassicalOnly || info.Overflow != 0 || v.info.Retried || v.info.State.CurveID != tls.CurveP256 {
			t.Errorf("%+v, %+v", info, v.info)
		}
		o.RotateTicketKeys(0)
	}
}

// TestCookieWithoutTicket: the share that the server chose last, alone, where
// that fits the SYN.
func TestCookieWithoutTicket(t *testing.T) {
	for group, lean := range map[tls.CurveID]bool{tls.X25519MLKEM768: true, tls.X25519: false, tls.CurveP256: false, tls.CurveP384: false, tls.CurveP521: false} {
		o := newOrigin(t)
		o.Update(func(c *handshake.ServerConfig) { c.Groups, c.NumTickets = []tls.CurveID{group}, -1 })
		d := o.dialer()
		d.seen.room = func(r *room) { r.syn, r.cookie, r.budget = true, true, 1420 }
		for i := range 2 {
			conn, err := d.Dial("tcp", o.addr)
			if err != nil {
				t.Fatal(err)
			}
			c := conn.(*Conn)
			exchange(t, c, "x")
			c.Close()
			v, info := o.onlyVisit(t), c.Info()
			if i == 1 && (info.Overflow != 0 || v.info.Retried || v.info.State.CurveID != group) {
				t.Errorf("%v: %+v, %+v", group, info, v.info)
			}
			if i == 1 && lean && info.HelloBytes > 1420 {
				t.Errorf("%v: a hello of %d bytes", group, info.HelloBytes)
			}
		}
	}
}

// TestGroupRemembered: a server that once asked for another share is not made
// to ask again, without a cookie either.
func TestGroupRemembered(t *testing.T) {
	for _, group := range handshake.DefaultGroups() {
		o := newOrigin(t)
		o.Update(func(c *handshake.ServerConfig) { c.Groups, c.NumTickets = []tls.CurveID{group}, -1 })
		d := o.dialer()
		for i := range 2 {
			conn, err := d.Dial("tcp", o.addr)
			if err != nil {
				t.Fatal(err)
			}
			exchange(t, conn.(*Conn), "x")
			conn.Close()
			if v := o.onlyVisit(t); v.info.State.CurveID != group || i == 1 && v.info.Retried {
				t.Errorf("%v, dial %d: a second hello: %v; the group is %v", group, i+1, v.info.Retried, v.info.State.CurveID)
			}
		}
	}
}

// TestClosedWhileDialling closes a Conn at random moments of its life, beside
// Reads and Writes.
func TestClosedWhileDialling(t *testing.T) {
	noLeak(t)
	o := newOrigin(t)
	d := o.dialer()
	d.Early = all
	o.prime(t, d)
	for i := range 60 {
		var c *Conn
		var err error
		if i%2 == 0 {
			c, err = d.DialEarly(t.Context(), "tcp", o.addr, []byte("GET 1"))
		} else {
			c, err = d.DialDeferred(t.Context(), "tcp", o.addr)
		}
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() { io.Copy(io.Discard, c) })
		wg.Go(func() { io.WriteString(c, "GET 2") })
		wg.Go(func() { c.ConnectionState(); c.Info(); c.LocalAddr(); c.SetDeadline(time.Now().Add(10 * time.Second)) })
		time.Sleep(time.Duration(i) * 50 * time.Microsecond)
		c.Close()
		wg.Wait()
	}
	d.Close()
	d.Flush(t.Context())
	for len(o.visits) > 0 {
		<-o.visits
	}
	o.Close()
}

// TestNotSentAgain: early data of a dial that broke, or whose session was refused with its
// key exchange, goes to no other protocol and, with StrictIdentity, to no other certificate.
func TestNotSentAgain(t *testing.T) {
	cookie := func(r *room) { r.syn, r.cookie, r.budget = true, true, 1420 }
	for name, change := range map[string]func(*testing.T, *origin, *Dialer){
		"session refused, another certificate": func(t *testing.T, o *origin, d *Dialer) {
			d.StrictIdentity, d.seen.room = true, cookie
			o.changeCertificate(t, "test.example")
			o.RotateTicketKeys(0)
		},
		"session refused, another protocol": func(_ *testing.T, o *origin, d *Dialer) {
			d.seen.room = cookie
			o.Update(func(c *handshake.ServerConfig) { c.NextProtos = []string{"two"} })
			o.RotateTicketKeys(0)
		},
		"broken, another certificate": func(t *testing.T, o *origin, d *Dialer) {
			d.StrictIdentity = true
			o.changeCertificate(t, "test.example")
			o.RotateTicketKeys(0)
			o.knobsFor(testpeer.Knobs{CloseAfterRead: 1})
		},
		"broken, a client certificate": func(_ *testing.T, o *origin, d *Dialer) {
			o.Update(func(c *handshake.ServerConfig) { c.ClientAuth = tls.RequestClientCert })
			o.RotateTicketKeys(0)
			o.knobsFor(testpeer.Knobs{CloseAfterRead: 1})
		},
	} {
		o := newOrigin(t)
		o.Update(func(c *handshake.ServerConfig) { c.NextProtos = []string{"one"} })
		d := o.dialer()
		d.TLSConfig.NextProtos = []string{"one", "two"}
		d.TLSConfig.Certificates = []tls.Certificate{o.cert}
		d.seen.room = cookie // the lineage is hybrid
		o.prime(t, d)
		d.seen.room = nil
		change(t, o, d)
		c, err := d.DialEarly(t.Context(), "tcp", o.addr, []byte("x"))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := c.Handshake(); !errors.Is(err, ErrEarlyDataUncertain) || errors.Is(err, ErrEarlyDataRejected) {
			t.Errorf("%s: %v", name, err)
		}
		c.Close()
		for range 2 {
			select {
			case v := <-o.visits:
				if v.data != "" {
					t.Errorf("%s: the application got %q", name, v.data)
				}
			case <-o.failed:
			}
		}
	}
}

// TestStateOfRedial: what a ticket predicted is not said of a dial without it,
// and a hello without a session is not said to lean on one.
func TestStateOfRedial(t *testing.T) {
	o := newOrigin(t)
	d := o.dialer()
	o.prime(t, d)
	second := make(chan struct{})
	n := o.accepted.Load()
	knobs := func(i int) {
		o.Set(testpeer.Knobs{CloseAfterRead: 1})
		if i == int(n)+2 {
			o.Set(testpeer.Knobs{Silent: true})
			close(second)
		}
	}
	o.onAccept.Store(&knobs)
	c, err := d.DialEarly(t.Context(), "tcp", o.addr, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	<-second
	for c.Info().Redials == 0 {
		time.Sleep(time.Millisecond) // the client hears of the accept a moment later
	}
	if state := c.ConnectionState(); state.DidResume {
		t.Errorf("%+v", state)
	}
	c.SetLinger(0)
	c.Close()

	o.onAccept.Store(nil)
	o.Set(testpeer.Knobs{})
	asked := 0
	d = o.dialer()
	d.seen.room = func(r *room) { r.syn, r.cookie, r.budget = true, true, 1420 }
	d.TLSConfig.VerifyConnection = func(state tls.ConnectionState) error {
		if asked++; asked == 2 { // of the predicted state
			return errors.New("not this ticket")
		}
		return nil
	}
	o.prime(t, d)
	if c, err = d.DialEarly(t.Context(), "tcp", o.addr, []byte("x")); err != nil {
		t.Fatal(err)
	}
	finish(t, c, "x")
	if info := c.Info(); info.ClassicalOnly || info.Resumed || info.Early.Reason != EarlyIdentity {
		t.Errorf("%+v", info)
	}
}
