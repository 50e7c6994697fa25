package tlstfo

import (
	"crypto/fips140"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// later sets a Dialer's clocks ahead. Nothing of it may be under way.
func (d *Dialer) later(by time.Duration) {
	system := new(clock)
	d.clock.read = func() stamp {
		s := system.now()
		s.wall = s.wall.Add(by)
		if s.bootID != "" {
			s.boot += by
		}
		return s
	}
}

// TestOlderServerHangsUp: some servers without TLS 1.3 end the connection when they see such a hello. They are
// dialled anew through crypto/tls.
func TestOlderServerHangsUp(t *testing.T) {
	ca := newAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{ca.issue(nil, "test.example")}, MaxVersion: tls.VersionTLS12}
	for name, linger := range map[string]int{"EOF": -1, "reset": 0} {
		var conns atomic.Int32
		addr := rawServer(t, func(conn net.Conn) {
			if conns.Add(1) == 1 {
				conn.Read(make([]byte, 16<<10))
				setLinger(conn, linger)
				return
			}
			echo(tls.Server(conn, config))
		})
		c, err := Dial("tcp", addr, &tls.Config{RootCAs: ca.pool, ServerName: "test.example"})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		exchange(t, c, "hello")
		if info := c.Info(); info.CryptoTLS == "" || info.Redials != 1 || conns.Load() != 2 {
			t.Errorf("%s: %d connections, %+v", name, conns.Load(), info)
		}
		c.Close()

		conns.Store(0)
		_, err = Dial("tcp", addr, &tls.Config{RootCAs: ca.pool, ServerName: "test.example", MinVersion: tls.VersionTLS13})
		if !brokeOff(err) || conns.Load() != 1 {
			t.Errorf("%s, MinVersion 1.3: %d connections, %v", name, conns.Load(), err)
		}
	}
}

// TestOlderServerRemembered: for a day, if it negotiated less than TLS 1.3 indeed, and until it negotiates that.
func TestOlderServerRemembered(t *testing.T) {
	const day = 24 * time.Hour
	ca := newAuthority(t)
	cert := ca.issue(func(c *x509.Certificate) { c.NotAfter = ca.cert.NotAfter }, "test.example")
	var hangUp, older atomic.Bool
	addr := rawServer(t, func(conn net.Conn) {
		if hangUp.Swap(false) {
			return
		}
		config := &tls.Config{Certificates: []tls.Certificate{cert}, SessionTicketsDisabled: true}
		if older.Load() {
			config.MaxVersion = tls.VersionTLS12
		}
		echo(tls.Server(conn, config))
	})
	d := &Dialer{TLSConfig: &tls.Config{RootCAs: ca.pool, ServerName: "test.example"}}
	dial := func(d *Dialer, what string, std bool, redials int, version uint16) {
		t.Helper()
		c, err := d.dial(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		defer c.Close()
		exchange(t, c, "hello")
		if info, v := c.Info(), c.ConnectionState().Version; (info.CryptoTLS != "") != std || info.Redials != redials || v != version {
			t.Errorf("%s: %x, %+v", what, v, info)
		}
	}

	hangUp.Store(true)
	dial(d, "an accident", true, 1, tls.VersionTLS13)
	dial(d, "after that", false, 0, tls.VersionTLS13)

	older.Store(true)
	dial(d, "older", true, 1, tls.VersionTLS12)
	d.later(day - time.Minute)
	dial(d, "a day later, nearly", true, 0, tls.VersionTLS12)
	d.later(2*day - 2*time.Minute)
	dial(d, "and so on", true, 0, tls.VersionTLS12)
	d.later(3*day - time.Minute)
	dial(d, "more than a day", true, 1, tls.VersionTLS12)

	older.Store(false)
	dial(d, "not older any more", true, 0, tls.VersionTLS13)
	dial(d, "forgotten by crypto/tls", false, 0, tls.VersionTLS13)

	older.Store(true)
	dial(d, "older again", true, 1, tls.VersionTLS12)
	older.Store(false)
	other := d.WithTLSConfig(&tls.Config{RootCAs: ca.pool, ServerName: "test.example", MinVersion: tls.VersionTLS13})
	dial(other, "TLS 1.3 or nothing", false, 0, tls.VersionTLS13)
	dial(d, "forgotten by the engine", false, 0, tls.VersionTLS13)
}

// fipsEnv makes the test binary, run again, one in FIPS 140-3 mode.
const fipsEnv = "TLSTFO_TEST_FIPS"

// TestFIPS: in FIPS 140-3 mode crypto/tls runs every connection.
func TestFIPS(t *testing.T) {
	if os.Getenv(fipsEnv) == "" {
		child := exec.Command(os.Args[0], "-test.run=^TestFIPS$", "-test.v")
		child.Env = append(os.Environ(), fipsEnv+"=1", "GODEBUG=fips140=on")
		out, err := child.CombinedOutput()
		switch {
		case err != nil:
			t.Errorf("%v\n%s", err, out)
		case !strings.Contains(string(out), "the mode is on"):
			t.Errorf("nothing was tested\n%s", out)
		}
		return
	}
	if !fips140.Enabled() {
		t.Fatal("the mode is off")
	}
	t.Log("the mode is on")
	ca := newAuthority(t)
	addr := stdServer(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(nil, "test.example")}}, echo)
	d := &Dialer{TLSConfig: &tls.Config{RootCAs: ca.pool, ServerName: "test.example"}}
	for range 2 {
		c, err := d.DialEarly(t.Context(), "tcp", addr, []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		finish(t, c, "x")
		if info := c.Info(); !strings.Contains(info.CryptoTLS, "FIPS") || info.Early.Reason != EarlyCryptoTLS || c.ConnectionState().Version != tls.VersionTLS13 {
			t.Errorf("%+v", info)
		}
	}
}
