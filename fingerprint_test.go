package tlstfo

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	utls "github.com/refraction-networking/utls"

	"github.com/tlstfo/tlstfo/handshake"
	"github.com/tlstfo/tlstfo/handshake/utlshello"
)

// TestFingerprint: a Dialer with the hello of a browser resumes with early data, whether it names the application protocols or
// leaves them to the browser, and whatever room the SYN has: groups are the fingerprint's.
func TestFingerprint(t *testing.T) {
	for _, id := range []utls.ClientHelloID{utls.HelloChrome_Auto, utls.HelloFirefox_Auto, utls.HelloSafari_Auto, utls.HelloEdge_Auto, utls.HelloIOS_Auto} {
		for _, protos := range [][]string{nil, {"http/1.1"}} {
			o := newOrigin(t)
			o.Update(func(c *handshake.ServerConfig) { c.NextProtos = []string{"h2", "http/1.1"} })
			d := o.dialer()
			d.TLSConfig.NextProtos, d.Hello = protos, utlshello.Fingerprint(id)
			d.seen.room = func(r *room) { r.syn, r.cookie, r.budget = true, true, 1420 }
			o.prime(t, d)
			c, err := d.DialEarly(t.Context(), "tcp", o.addr, []byte("GET"))
			if err != nil {
				t.Fatal(err)
			}
			finish(t, c, "GET")
			info, state := c.Info(), c.ConnectionState()
			hybrid := id == utls.HelloChrome_Auto
			if !info.Resumed || !info.Early.Accepted || state.HelloRetryRequest || info.ClassicalOnly || (state.CurveID == tls.X25519MLKEM768) != hybrid {
				t.Errorf("%s: %+v, group %v", id.Str(), info, state.CurveID)
			}
			if want := append(protos, "h2")[0]; state.NegotiatedProtocol != want {
				t.Errorf("%s: protocol %q, want %q", id.Str(), state.NegotiatedProtocol, want)
			}
			if (info.HelloBytes > 1420) != hybrid || (info.Overflow > 0) != hybrid {
				t.Errorf("%s: %d bytes, %d over", id.Str(), info.HelloBytes, info.Overflow)
			}
			if v := o.visit(t); v.early() != "GET" {
				t.Errorf("%s: %q was early", id.Str(), v.early())
			}
		}
	}
}

// TestFingerprintScope: Dialers that share a cache resume sessions of the same fingerprint only.
func TestFingerprintScope(t *testing.T) {
	o := newOrigin(t)
	cache := NewSessionCache(0)
	dialer := func(b handshake.Builder) *Dialer {
		d := o.dialer()
		d.Hello, d.Sessions = b, cache
		return d
	}
	o.prime(t, dialer(utlshello.Fingerprint(utls.HelloFirefox_Auto)))
	for _, test := range []struct {
		b    handshake.Builder
		want bool
	}{{nil, false}, {utlshello.Fingerprint(utls.HelloChrome_Auto), false}, {utlshello.Fingerprint(utls.HelloFirefox_Auto), true}} {
		c, err := dialer(test.b).DialContext(t.Context(), "tcp", o.addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.(*Conn).Info().Resumed; got != test.want {
			t.Errorf("%v: resumed %v", test.b, got)
		}
		c.Close()
	}
}

// reordered makes the compact hello with the suites in the opposite order, and has no scope.
type reordered struct{}

func (reordered) BuildHello(cfg *handshake.Config, rand io.Reader) (*handshake.Hello, error) {
	h, err := handshake.CompactHello{}.BuildHello(cfg, rand)
	if err != nil {
		return nil, err
	}
	at := 4 + 2 + 32 // message header, version, random
	at += 1 + int(h.Raw[at])
	s := h.Raw[at+2 : at+2+6]
	s[0], s[1], s[4], s[5] = s[4], s[5], s[0], s[1]
	return h, nil
}

// TestSuiteOrder: a session is resumed without early data where the server may come to another cipher suite. (Some would take it
// nevertheless, and answer such that the handshake must fail.)
func TestSuiteOrder(t *testing.T) {
	o := newOrigin(t)
	cache := NewSessionCache(0)
	d := o.dialer()
	d.Sessions = cache
	o.prime(t, d)
	d = o.dialer()
	d.Sessions, d.Hello = cache, reordered{}
	c, err := d.DialEarly(t.Context(), "tcp", o.addr, []byte("GET"))
	if err != nil {
		t.Fatal(err)
	}
	finish(t, c, "GET")
	if info := c.Info(); info.Early.Offered || info.Early.Reason != EarlySuiteOrder || info.Redials != 0 {
		t.Errorf("%+v", info)
	}
	if v := o.visit(t); v.early() != "" {
		t.Errorf("%q was early", v.early())
	}
}

// TestFingerprintTLS12: a server without TLS 1.3 is dialled again through crypto/tls, whose hello is another.
func TestFingerprintTLS12(t *testing.T) {
	ca := newAuthority(t)
	addr := stdServer(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(nil, "test.example")}, MaxVersion: tls.VersionTLS12}, echo)
	d := &Dialer{TLSConfig: &tls.Config{RootCAs: ca.pool, ServerName: "test.example"}, Hello: utlshello.Fingerprint(utls.HelloChrome_Auto)}
	c, err := d.DialEarly(t.Context(), "tcp", addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	exchange(t, c, "hello")
	if info := c.Info(); info.CryptoTLS == "" || info.Redials != 1 || c.ConnectionState().Version != tls.VersionTLS12 {
		t.Errorf("%+v", info)
	}
	c.Close()
}

// TestFingerprintStays: who hangs up on the hello of a browser, or answers it with an alert, is not shown the hello of crypto/tls.
func TestFingerprintStays(t *testing.T) {
	for name, test := range map[string]struct {
		answer func(net.Conn)
		older  bool
	}{
		"EOF":                   {func(net.Conn) {}, false},
		"reset":                 {func(c net.Conn) { c.(*net.TCPConn).SetLinger(0) }, false},
		"handshake_failure":     {func(c net.Conn) { c.Write([]byte{21, 3, 3, 0, 2, 2, 40}) }, false},
		"insufficient_security": {func(c net.Conn) { c.Write([]byte{21, 3, 3, 0, 2, 2, 71}) }, false},
		"unrecognized_name":     {func(c net.Conn) { c.Write([]byte{21, 3, 3, 0, 2, 1, 112}) }, false},
		"protocol_version":      {func(c net.Conn) { c.Write([]byte{21, 3, 3, 0, 2, 2, 70}) }, true},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var hellos [][]byte
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				var head [5]byte
				if _, err := io.ReadFull(c, head[:]); err == nil {
					hello := make([]byte, int(head[3])<<8|int(head[4]))
					io.ReadFull(c, hello)
					hellos = append(hellos, hello)
					test.answer(c)
				}
				c.Close()
			}
		}()
		b := utlshello.Fingerprint(utls.HelloFirefox_Auto)
		d := &Dialer{TLSConfig: &tls.Config{ServerName: "test.example"}, Hello: b}
		if c, err := d.Dial("tcp", l.Addr().String()); err == nil {
			c.Close()
			t.Errorf("%s: no error", name)
		}
		l.Close()
		<-done
		foreign := 0
		for _, hello := range hellos {
			if !bytes.Contains(hello, []byte{0, 28, 0, 2, 0x40, 1}) { // Firefox's record_size_limit
				foreign++
			}
		}
		if len(hellos) == 0 || foreign > 0 != test.older {
			t.Errorf("%s: %d of %d hellos were not Firefox's", name, foreign, len(hellos))
		}
	}
	// Nor does a TLSConfig that would be crypto/tls's change the hello.
	o := newOrigin(t)
	d := o.dialer()
	d.TLSConfig.MaxVersion, d.Hello = tls.VersionTLS12, utlshello.Fingerprint(utls.HelloFirefox_Auto)
	if _, err := d.Dial("tcp", o.addr); err == nil || !strings.Contains(err.Error(), "MaxVersion") {
		t.Error(err)
	}
}

// TestFingerprintTLS12Early: a server that went back to TLS 1.2 is dialled again after it got early data, which it cannot have read.
func TestFingerprintTLS12Early(t *testing.T) {
	o := newOrigin(t)
	o.Update(func(c *handshake.ServerConfig) { c.NextProtos = []string{"h2"} })
	var config *tls.Config
	o.Update(func(c *handshake.ServerConfig) {
		config = &tls.Config{Certificates: c.Certificates, NextProtos: c.NextProtos, MaxVersion: tls.VersionTLS12}
	})
	var conns atomic.Int32
	addr := stdServer(t, config, func(c *tls.Conn) { conns.Add(1); echo(c) })
	for _, fail := range []bool{false, true} {
		for _, id := range []utls.ClientHelloID{utls.HelloChrome_Auto, utls.HelloFirefox_Auto} {
			d := o.dialer()
			d.TLSConfig.NextProtos = []string{"h2"}
			d.Hello, d.FailOnReject = utlshello.Fingerprint(id), fail
			o.prime(t, d)
			key := func(addr string) string {
				return sessionKey("", addr, d.TLSConfig) + "\x00hello " + helloScope(d.Hello)
			}
			s := d.own.Take(key(o.addr))
			if s == nil {
				t.Fatal("no session")
			}
			d.own.Put(key(addr), s)
			conns.Store(0)
			c, err := d.DialEarly(t.Context(), "tcp", addr, []byte("GET"))
			if fail {
				if err == nil {
					err = c.HandshakeContext(t.Context())
					c.Close()
				}
				if !errors.Is(err, ErrEarlyDataUncertain) {
					t.Errorf("%s: %v; want ErrEarlyDataUncertain: nobody has authenticated the answer", id.Str(), err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			finish(t, c, "GET")
			info := c.Info()
			if info.CryptoTLS == "" || info.Redials != 1 || info.Early.Broken != 3 || info.Early.Offered || c.ConnectionState().Version != tls.VersionTLS12 || conns.Load() != 2 {
				t.Errorf("%s: %+v, %d connections", id.Str(), info, conns.Load())
			}
		}
	}
}

// TestFingerprintRefused: what cannot be honoured fails the dial, by name, and nothing is sent.
func TestFingerprintRefused(t *testing.T) {
	o := newOrigin(t)
	d := o.dialer()
	d.Hello = utlshello.Fingerprint(utls.HelloChrome_120_PQ)
	if _, err := d.Dial("tcp", o.addr); err == nil || !strings.Contains(err.Error(), "Kyber") {
		t.Error(err)
	}
}

// TestLinks: who imports this package alone links neither utls nor what comes with it.
func TestLinks(t *testing.T) {
	links := func(pkg string) string {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", pkg).Output()
		if err != nil {
			t.Fatalf("go list -deps %s: %v", pkg, err)
		}
		return "\n" + string(out)
	}
	for _, pkg := range []string{".", "./handshake", "./tfo", "./tfohttp"} {
		deps := links(pkg)
		for _, heavy := range []string{"github.com/refraction-networking/", "github.com/andybalholm/brotli", "github.com/klauspost/compress"} {
			if strings.Contains(deps, "\n"+heavy) {
				t.Errorf("%s links %s", pkg, heavy)
			}
		}
	}
	if !strings.Contains(links("./handshake/utlshello"), "\ngithub.com/refraction-networking/utls\n") {
		t.Error("go list does not tell what is linked")
	}
}
