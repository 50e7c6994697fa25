package tlstfo

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/tlstfo/tlstfo/handshake"
	"github.com/tlstfo/tlstfo/internal/testpeer"
)

// TestNothingUnasked: what is not called replayable never leaves early.
func TestNothingUnasked(t *testing.T) {
	for name, early := range map[string]func([]byte) int{
		"no classifier": nil,
		"none":          func([]byte) int { return 0 },
		"negative":      func([]byte) int { return -1 },
		"http/1":        ReplayableHTTP1,
	} {
		o := newOrigin(t)
		d := o.dialer()
		d.Early = early
		o.prime(t, d)
		c, err := d.DialDeferred(t.Context(), "tcp", o.addr)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, "INCR counter\r\n")
		finish(t, c, "INCR counter\r\n")
		if v := o.onlyVisit(t); v.info.EarlyBytes != 0 || !v.info.State.DidResume {
			t.Errorf("%s: early %q, resumed %v", name, v.early(), v.info.State.DidResume)
		}
	}
}

// TestPartlyReplayable: the classifier draws the line, and what it does not
// cover follows under traffic keys, in order.
func TestPartlyReplayable(t *testing.T) {
	o := newOrigin(t)
	d := o.dialer()
	d.Early = func(first []byte) int { return strings.Index(string(first), "POST") }
	o.prime(t, d)
	for _, knobs := range []testpeer.Knobs{{}, {RefuseEarlyData: true}, {RefusePSK: true}, {ForceRetry: true}} {
		o.Set(knobs)
		c, _ := d.DialDeferred(t.Context(), "tcp", o.addr)
		message := "GET 1 GET 2 POST 3 GET 4"
		for _, part := range []string{message[:6], message[6:]} {
			if _, err := io.WriteString(c, part); err != nil {
				t.Fatal(err)
			}
		}
		c.Flush()
		finish(t, c, message)
		d.Flush(t.Context())
		want := "GET 1 GET 2 "
		if knobs != (testpeer.Knobs{}) {
			want = ""
		}
		if v := o.onlyVisit(t); v.early() != want || v.data != message {
			t.Errorf("%+v: early %q of %q", knobs, v.early(), v.data)
		}
		if info := c.Info().Early; info.Bytes != len("GET 1 GET 2 ") {
			t.Errorf("%+v: %+v", knobs, info)
		}
	}
}

// TestTicketLimit: max_early_data_size counts, and the rest follows in order
// (RFC 8446, section 4.2.10).
func TestTicketLimit(t *testing.T) {
	o := newOrigin(t)
	o.Update(func(c *handshake.ServerConfig) { c.MaxEarlyData = 10 })
	d := o.dialer()
	o.prime(t, d)
	for _, knobs := range []testpeer.Knobs{{}, {RefuseEarlyData: true}} {
		o.Set(knobs)
		message := strings.Repeat("0123456789", 10_000)
		c, err := d.DialEarly(t.Context(), "tcp", o.addr, []byte(message))
		if err != nil {
			t.Fatal(err)
		}
		finish(t, c, message)
		d.Flush(t.Context())
		v := o.onlyVisit(t)
		if info := c.Info().Early; info.Bytes != 10 || v.data != message || info.Accepted != (v.early() == message[:10]) {
			t.Errorf("%+v: %+v, early %q", knobs, info, v.early())
		}
	}
}

// TestPolicy: the policy is the second lock.
func TestPolicy(t *testing.T) {
	o := newOrigin(t)
	d := o.dialer()
	var asked []EarlyDataOffer
	allow := false
	d.EarlyData = func(offer EarlyDataOffer) bool {
		asked = append(asked, offer)
		return allow
	}
	o.prime(t, d)
	for range 2 {
		c, err := d.DialEarly(t.Context(), "tcp", o.addr, []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		finish(t, c, "x")
		d.Flush(t.Context())
		if v := o.onlyVisit(t); (v.early() == "x") != allow {
			t.Errorf("allow %v: early %q", allow, v.early())
		}
		if reason := c.Info().Early.Reason; !allow && reason != EarlyPolicy {
			t.Errorf("reason %q", reason)
		}
		allow = true
	}
	if len(asked) != 2 || asked[0].Addr != o.addr || asked[0].ServerName != "test.example" || asked[0].Size != 1 || asked[0].Limit != 16<<10 {
		t.Errorf("asked %+v", asked)
	}
}

// TestRejectedForGood: where early data may not go again, the error says so,
// and nothing reaches the application.
func TestRejectedForGood(t *testing.T) {
	for name, change := range map[string]func(*testing.T, *origin, *Dialer){
		"FailOnReject": func(_ *testing.T, o *origin, d *Dialer) {
			d.FailOnReject = true
			o.Set(testpeer.Knobs{RefuseEarlyData: true})
		},
		"another protocol": func(_ *testing.T, o *origin, _ *Dialer) {
			o.Update(func(c *handshake.ServerConfig) { c.NextProtos = []string{"two"} })
		},
		"another certificate": func(t *testing.T, o *origin, d *Dialer) {
			d.StrictIdentity = true
			o.changeCertificate(t, "test.example")
			o.RotateTicketKeys(0)
		},
		"a client certificate": func(_ *testing.T, o *origin, d *Dialer) {
			o.Update(func(c *handshake.ServerConfig) { c.ClientAuth = tls.RequestClientCert })
			o.RotateTicketKeys(0)
		},
	} {
		o := newOrigin(t)
		o.Update(func(c *handshake.ServerConfig) { c.NextProtos = []string{"one"} })
		d := o.dialer()
		d.TLSConfig.NextProtos = []string{"one", "two"}
		d.TLSConfig.Certificates = []tls.Certificate{o.cert}
		o.prime(t, d)
		change(t, o, d)
		c, err := d.DialEarly(t.Context(), "tcp", o.addr, []byte("x"))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := c.Handshake(); !errors.Is(err, ErrEarlyDataRejected) {
			t.Errorf("%s: %v", name, err)
		}
		c.Close()
		select {
		case v := <-o.visits:
			if v.data != "" {
				t.Errorf("%s: the application got %q", name, v.data)
			}
		case <-o.failed:
		}
	}
}

// TestNewCertificate: without StrictIdentity, another certificate for the same
// name is as good, and one for another name is not.
func TestNewCertificate(t *testing.T) {
	for _, name := range []string{"test.example", "other.example"} {
		o := newOrigin(t)
		d := o.dialer()
		o.prime(t, d)
		o.changeCertificate(t, name)
		o.RotateTicketKeys(0)
		c, err := d.DialEarly(t.Context(), "tcp", o.addr, []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		err = c.Handshake()
		if name == "test.example" {
			finish(t, c, "x")
			if v := o.onlyVisit(t); v.data != "x" || v.info.EarlyBytes != 0 {
				t.Errorf("the application got %+v", v)
			}
			continue
		}
		var v *tls.CertificateVerificationError
		if !errors.As(err, &v) {
			t.Errorf("%s: %v", name, err)
		}
		c.Close()
	}
}

// TestOnceIsEnough: each ticket is used for one connection.
func TestOnceIsEnough(t *testing.T) {
	o := newOrigin(t)
	o.Update(func(c *handshake.ServerConfig) { c.NumTickets = 1 })
	d := o.dialer()
	o.prime(t, d)
	resumed := 0
	conns := make([]*Conn, 5)
	for i := range conns {
		var err error
		if conns[i], err = d.DialEarly(t.Context(), "tcp", o.addr, []byte{byte('a' + i)}); err != nil {
			t.Fatal(err)
		}
		<-conns[i].HandshakeDone() // before any ticket of its own was read
		if conns[i].Info().Resumed {
			resumed++
		}
	}
	for i, c := range conns {
		finish(t, c, fmt.Sprint(string(rune('a'+i))))
	}
	if resumed != 1 {
		t.Errorf("one ticket was used %d times", resumed)
	}
}
