package tlstfo

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/handshake"
)

// authority is a CA that issues certificates for tests.
type authority struct {
	t    testing.TB
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{t: t, key: key, pool: x509.NewCertPool()}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test root"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, _ = x509.ParseCertificate(der)
	a.pool.AddCert(a.cert)
	return a
}

// issue makes a certificate for names, good for an hour unless change says
// otherwise.
func (a *authority) issue(change func(*x509.Certificate), names ...string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// stdServer is a crypto/tls server on loopback that runs handle on each
// connection. It returns its address.
func stdServer(t testing.TB, config *tls.Config, handle func(*tls.Conn)) string {
	t.Helper()
	return rawServer(t, func(conn net.Conn) { handle(tls.Server(conn, config)) })
}

// echo sends everything back.
func echo(c *tls.Conn) {
	io.Copy(c, c)
	c.CloseWrite()
}

// exchange writes and expects the same bytes back.
func exchange(t testing.TB, c net.Conn, message string) {
	t.Helper()
	if _, err := io.WriteString(c, message); err != nil {
		t.Fatalf("Write: %v", err)
	}
	got := make([]byte, len(message))
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatalf("Read: %v", err)
	}
	if string(got) != message {
		t.Fatalf("got %q back, want %q", got, message)
	}
}

func TestDial(t *testing.T) {
	ca := newAuthority(t)
	addr := stdServer(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(nil, "test.example")}, NextProtos: []string{"b"}}, echo)
	d := &Dialer{TLSConfig: &tls.Config{RootCAs: ca.pool, ServerName: "test.example", NextProtos: []string{"a", "b"}}}
	for i := range 3 {
		conn, err := d.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		c := conn.(*Conn)
		exchange(t, c, "hello")
		state := c.ConnectionState()
		if !state.HandshakeComplete || state.Version != tls.VersionTLS13 || state.NegotiatedProtocol != "b" ||
			len(state.VerifiedChains) == 0 || state.ServerName != "test.example" || state.DidResume != (i > 0) {
			t.Errorf("dial %d: unexpected state %+v", i, state)
		}
		if info := c.Info(); info.CryptoTLS != "" || info.Resumed != (i > 0) || info.Early.Offered {
			t.Errorf("dial %d: unexpected info %+v", i, info)
		}
		if err := c.VerifyHostname("test.example"); err != nil {
			t.Error(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Read after Close: %v", err)
		}
		if err := d.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestExport holds exported keying material against crypto/tls's.
func TestExport(t *testing.T) {
	ca := newAuthority(t)
	exported := make(chan []byte, 1)
	addr := stdServer(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(nil, "test.example")}}, func(c *tls.Conn) {
		c.Handshake()
		state := c.ConnectionState()
		b, _ := state.ExportKeyingMaterial("EXPORTER-test", []byte("context"), 40)
		exported <- b
		echo(c)
	})
	c, err := Dial("tcp", addr, &tls.Config{RootCAs: ca.pool, ServerName: "test.example"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got, err := c.ExportKeyingMaterial("EXPORTER-test", []byte("context"), 40)
	if err != nil || !bytes.Equal(got, <-exported) {
		t.Errorf("exported %x, %v", got, err)
	}
	state := c.ConnectionState()
	if _, err := state.ExportKeyingMaterial("EXPORTER-test", nil, 40); err == nil {
		t.Error("the state's own ExportKeyingMaterial does not say that it cannot")
	}
}

// TestOlderServer proves the redial through crypto/tls, and that it is
// remembered, and forgotten.
func TestOlderServer(t *testing.T) {
	ca := newAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{ca.issue(nil, "test.example")}, MaxVersion: tls.VersionTLS12}
	addr := stdServer(t, config, echo)
	d := &Dialer{TLSConfig: &tls.Config{RootCAs: ca.pool, ServerName: "test.example"}}
	for i, redials := range []int{1, 0} {
		conn, err := d.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		c := conn.(*Conn)
		exchange(t, c, "hello")
		if info, v := c.Info(), c.ConnectionState().Version; v != tls.VersionTLS12 || info.CryptoTLS == "" || info.Redials != redials {
			t.Errorf("dial %d: version %x, info %+v", i, v, info)
		}
		c.Close()
	}
	d = &Dialer{TLSConfig: &tls.Config{RootCAs: ca.pool, ServerName: "test.example", MinVersion: tls.VersionTLS13}}
	if _, err := d.Dial("tcp", addr); !errors.Is(err, ErrNotTLS13) {
		t.Errorf("MinVersion 1.3: %v", err)
	}
}

// TestOlderServerWarns: before their ServerHello some older servers warn that
// they do not know the name (RFC 6066, section 3), and go on.
func TestOlderServerWarns(t *testing.T) {
	ca := newAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{ca.issue(nil, "test.example")}, MaxVersion: tls.VersionTLS12}
	addr := rawServer(t, func(conn net.Conn) {
		conn.Write([]byte{21, 3, 1, 0, 2, 1, byte(handshake.AlertUnrecognizedName)})
		echo(tls.Server(conn, config))
	})
	c, err := Dial("tcp", addr, &tls.Config{RootCAs: ca.pool, ServerName: "test.example"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	exchange(t, c, "hello")
	if info := c.Info(); info.CryptoTLS == "" || info.Redials != 1 {
		t.Errorf("%+v", info)
	}
}

// TestOlderServerCloses: a server without TLS 1.3 may hang up on a hello that it cannot use. That it says so changes nothing.
func TestOlderServerCloses(t *testing.T) {
	ca := newAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{ca.issue(nil, "test.example")}, MaxVersion: tls.VersionTLS12}
	for _, last := range [][]byte{nil, {21, 3, 1, 0, 2, 1, byte(handshake.AlertCloseNotify)}} {
		var conns atomic.Int32
		addr := rawServer(t, func(conn net.Conn) {
			if conns.Add(1) == 1 {
				conn.Read(make([]byte, 4096)) // what is left unread makes the end a reset
				conn.Write(last)
				return
			}
			echo(tls.Server(conn, config))
		})
		c, err := Dial("tcp", addr, &tls.Config{RootCAs: ca.pool, ServerName: "test.example"})
		if err != nil {
			t.Fatalf("%x: %v", last, err)
		}
		defer c.Close()
		exchange(t, c, "hello")
		if info := c.Info(); info.CryptoTLS == "" || info.Redials != 1 {
			t.Errorf("%x: %+v", last, info)
		}
	}
}

// TestUnixSocketRefuses: a transport that takes no hello is closed. It may go
// without a name to verify.
func TestUnixSocketRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Skip("no Unix sockets here: ", err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	open := func() int {
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("no list of open files here: ", err)
		}
		return len(fds)
	}
	before := open()
	for range 300 {
		_, err := Dial("unix", path, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12})
		if err == nil || strings.Contains(err.Error(), "missing port") {
			t.Fatal(err)
		}
	}
	if after := open(); after > before+3 {
		t.Errorf("%d open files before, %d after", before, after)
	}
}
