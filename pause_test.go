package tlstfo

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/handshake"
	"github.com/tlstfo/tlstfo/internal/testpeer"
)

// TestPause: a server that breaks on early data is spared it for a while, even
// where the Conn could not dial again; one whose dial was given up is not.
func TestPause(t *testing.T) {
	for name, k := range map[string]struct {
		way      way
		knobs    testpeer.Knobs
		change   func(*Dialer)
		patience time.Duration
		reason   EarlyReason
	}{
		"FailOnReject":    {ways[1], testpeer.Knobs{CloseAfterRead: 1}, func(d *Dialer) { d.FailOnReject = true }, time.Minute, EarlyPaused},
		"Client":          {ways[3], testpeer.Knobs{CloseAfterRead: 1}, func(*Dialer) {}, time.Minute, EarlyPaused},
		"Client, silence": {ways[3], testpeer.Knobs{Silent: true}, func(d *Dialer) { d.Timeout = 200 * time.Millisecond }, time.Minute, EarlyPaused},
		"given up":        {ways[1], testpeer.Knobs{Silent: true}, func(*Dialer) {}, 50 * time.Millisecond, EarlyAccepted},
	} {
		o := newOrigin(t)
		d := o.dialer()
		d.Early = all
		prime(t, o, d, k.way)
		k.change(d)
		o.Set(k.knobs)
		c, err := k.way.send(t.Context(), d, o.addr, "GET 1")
		if err == nil { // else it broke before the dial was over
			ctx, cancel := context.WithTimeout(t.Context(), k.patience)
			c.HandshakeContext(ctx)
			cancel()
			err = c.Handshake()
		}
		if !errors.Is(err, ErrEarlyDataUncertain) {
			t.Errorf("%s: %v", name, err)
		}
		o.Set(testpeer.Knobs{})
		d.Timeout = 0
		if c, err = k.way.send(t.Context(), d, o.addr, "GET 2"); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		finish(t, c, "GET 2")
		if info := c.Info(); info.Early.Reason != k.reason || !info.Resumed {
			t.Errorf("%s: afterwards %+v", name, info)
		}
	}
}

// TestPoorHello: a Builder whose hello can offer no session costs the session
// nothing, and the dial neither.
func TestPoorHello(t *testing.T) {
	o := newOrigin(t)
	d := o.dialer()
	d.seen.room = func(r *room) { r.syn, r.cookie, r.budget = true, true, 1420 }
	o.prime(t, d)
	poor := o.dialer()
	poor.Sessions, poor.Hello = d.own, poorHello{}
	for _, room := range []func(*room){nil, d.seen.room} {
		poor.seen.room = room
		c, err := poor.DialEarly(t.Context(), "tcp", o.addr, []byte("GET"))
		if err != nil {
			t.Fatal(err)
		}
		finish(t, c, "GET")
		if info := c.Info(); info.Resumed || info.Early.Reason != EarlyUnsupportedSession {
			t.Errorf("%+v", info)
		}
		o.visit(t)
	}
}

// poorHello makes hellos without psk_key_exchange_modes, so that they can
// offer no session (RFC 8446, section 4.2.9).
type poorHello struct{}

func (poorHello) BuildHello(cfg *handshake.Config, rand io.Reader) (*handshake.Hello, error) {
	h, err := handshake.CompactHello{}.BuildHello(cfg, rand)
	if err != nil {
		return nil, err
	}
	const modes, header, fixed = 45, 4, 2 + 32
	at := header + fixed
	at += 1 + int(h.Raw[at])                           // session id
	at += 2 + int(binary.BigEndian.Uint16(h.Raw[at:])) // suites
	at += 1 + int(h.Raw[at])                           // compression
	var kept []byte
	for rest := h.Raw[at+2:]; len(rest) > 0; {
		n := 4 + int(binary.BigEndian.Uint16(rest[2:]))
		if binary.BigEndian.Uint16(rest) != modes {
			kept = append(kept, rest[:n]...)
		}
		rest = rest[n:]
	}
	raw := binary.BigEndian.AppendUint16(h.Raw[:at:at], uint16(len(kept)))
	raw = append(raw, kept...)
	binary.BigEndian.PutUint16(raw[2:], uint16(len(raw)-header))
	h.Raw = raw
	return h, nil
}

// TestGivenTransport: a deadline that the caller has set on its transport
// stays, and what is remembered of one server is not held of another.
func TestGivenTransport(t *testing.T) {
	one, two := newOrigin(t), newOrigin(t)
	one.Update(func(c *handshake.ServerConfig) { c.Groups = []tls.CurveID{tls.CurveP384} })
	d := one.dialer()
	d.TLSConfig.InsecureSkipVerify = true
	for _, o := range []*origin{one, two} {
		raw, err := net.Dial("tcp", o.addr)
		if err != nil {
			t.Fatal(err)
		}
		raw.SetReadDeadline(time.Now().Add(time.Second))
		c := d.Client(raw, "")
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		if want := o == one; c.Info().HelloRetryRequest != want {
			t.Errorf("a second hello: %v, want %v", !want, want)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		c.Close()
	}
}
