package handshake

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"
)

// authority is a certificate authority of a test.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority { return namedAuthority(t, "test authority") }

func namedAuthority(t testing.TB, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, pool: x509.NewCertPool()}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: testTime.Add(-time.Hour), NotAfter: testTime.Add(1000 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, _ = x509.ParseCertificate(der)
	a.pool.AddCert(a.cert)
	return a
}

var testTime = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// issue makes a certificate for key, changed by edit, which may be nil.
func (a *authority) issue(t testing.TB, key crypto.Signer, edit func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "leaf"},
		DNSNames:  []string{"example.com"},
		NotBefore: testTime.Add(-time.Hour), NotAfter: testTime.Add(100 * time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if edit != nil {
		edit(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func newKey(t testing.TB, kind string) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	switch kind {
	case "ECDSA":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "P-384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "RSA":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case "Ed25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// testSetup returns a client's and a crypto/tls server's configuration that
// fit each other.
func testSetup(t testing.TB) (*Config, *tls.Config) {
	t.Helper()
	ca := newAuthority(t)
	return &Config{ServerName: "example.com", RootCAs: ca.pool},
		&tls.Config{
			Certificates: []tls.Certificate{ca.issue(t, newKey(t, "ECDSA"), nil)},
			Time:         func() time.Time { return testTime },
			ClientCAs:    ca.pool,
		}
}

// wire is one direction of a buffered connection in memory.
type wire struct {
	mu     sync.Mutex
	more   sync.Cond
	data   []byte
	closed bool
}

func newWire() *wire { w := &wire{}; w.more.L = &w.mu; return w }

func (w *wire) Read(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.data) == 0 && !w.closed {
		w.more.Wait()
	}
	if len(w.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p, w.data)
	w.data = w.data[n:]
	return n, nil
}

func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return 0, net.ErrClosed
	}
	w.data = append(w.data, p...)
	w.more.Broadcast()
	return len(p), nil
}

func (w *wire) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.more.Broadcast()
	return nil
}

// memConn is the server's end of two wires.
type memConn struct {
	net.Conn // nil: the other methods are not used
	in, out  *wire
}

func (c memConn) Read(p []byte) (int, error)         { return c.in.Read(p) }
func (c memConn) Write(p []byte) (int, error)        { return c.out.Write(p) }
func (c memConn) Close() error                       { c.in.Close(); return c.out.Close() }
func (c memConn) SetDeadline(time.Time) error        { return nil }
func (c memConn) SetWriteDeadline(t time.Time) error { return nil }

// stdPeer is a crypto/tls server that echoes.
type stdPeer struct {
	conn     *tls.Conn
	toServer *wire
	toClient *wire
	err      chan error // of its handshake
}

func newStdPeer(t testing.TB, cfg *tls.Config) *stdPeer {
	p := &stdPeer{toServer: newWire(), toClient: newWire(), err: make(chan error, 1)}
	p.conn = tls.Server(memConn{in: p.toServer, out: p.toClient}, cfg)
	t.Cleanup(func() { p.toServer.Close(); p.toClient.Close() })
	go func() {
		err := p.conn.Handshake()
		if err == nil {
			p.err <- nil
			io.Copy(p.conn, p.conn)
			p.conn.Close()
			return
		}
		p.toClient.Close()
		p.err <- err
	}()
	return p
}

// connect runs the handshake of c with a server and returns the ends of the
// client.
func connect(c *Client, p *stdPeer) (*Sealer, *Opener, error) {
	for {
		ev, err := c.Next(testTime)
		p.toServer.Write(c.AppendOutput(nil))
		if err != nil {
			return nil, nil, err
		}
		switch ev.Kind {
		case EventNone:
			n, err := p.toClient.Read(c.Buffer())
			if err != nil {
				return nil, nil, err
			}
			c.Advance(n)
		case EventHandshakeComplete:
			s, o := c.Split()
			return s, o, <-p.err
		}
	}
}

// echo sends data and expects it back; sessions that come along are returned.
func echo(t testing.TB, p *stdPeer, s *Sealer, o *Opener, data []byte) (sessions []*Session) {
	t.Helper()
	p.toServer.Write(s.Seal(nil, data))
	var got []byte
	for len(got) < len(data) {
		ev, err := o.Next(testTime)
		if err != nil {
			t.Fatal(err)
		}
		switch ev.Kind {
		case EventData:
			got = append(got, ev.Data...)
		case EventTicket:
			sessions = append(sessions, ev.Session)
		case EventNone:
			n, err := p.toClient.Read(o.Buffer())
			if err != nil {
				t.Fatal(err)
			}
			o.Advance(n)
		default:
			t.Fatalf("event %v", ev.Kind)
		}
	}
	if !bytes.Equal(got, data) {
		t.Fatal("the echo differs")
	}
	return sessions
}

func mustClient(t testing.TB, cfg *Config) *Client {
	t.Helper()
	c, err := NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestFullHandshake(t *testing.T) {
	for _, kind := range []string{"ECDSA", "P-384", "RSA", "Ed25519"} {
		t.Run(kind, func(t *testing.T) {
			ca := newAuthority(t)
			cfg := &Config{ServerName: "example.com", RootCAs: ca.pool, NextProtos: []string{"h2", "http/1.1"}}
			server := &tls.Config{
				Certificates: []tls.Certificate{ca.issue(t, newKey(t, kind), nil)},
				Time:         func() time.Time { return testTime },
				NextProtos:   []string{"http/1.1"},
			}
			c := mustClient(t, cfg)
			p := newStdPeer(t, server)
			s, o, err := connect(c, p)
			if err != nil {
				t.Fatal(err)
			}
			sessions := echo(t, p, s, o, bytes.Repeat([]byte("hello"), 10000))
			if len(sessions) == 0 || sessions[0].ALPN != "http/1.1" || sessions[0].Group != tls.X25519MLKEM768 ||
				!sessions[0].HybridAt.Equal(testTime) || !sessions[0].AuthenticatedAt.Equal(testTime) {
				t.Errorf("sessions: %+v", sessions)
			}
			ours, theirs := c.ConnectionState(), p.conn.ConnectionState()
			if !ours.HandshakeComplete || ours.Version != theirs.Version || ours.CipherSuite != theirs.CipherSuite ||
				ours.CurveID != theirs.CurveID || ours.NegotiatedProtocol != "http/1.1" || ours.ServerName != "example.com" ||
				len(ours.PeerCertificates) != 1 || len(ours.VerifiedChains) != 1 || ours.DidResume || ours.HelloRetryRequest {
				t.Errorf("connection state: %+v", ours)
			}
			a, err := c.ExportKeyingMaterial("label", []byte("context"), 50)
			if err != nil {
				t.Fatal(err)
			}
			b, err := theirs.ExportKeyingMaterial("label", []byte("context"), 50)
			if err != nil || !bytes.Equal(a, b) {
				t.Errorf("keying material differs: %x, %x, %v", a, b, err)
			}
			if _, err := ours.ExportKeyingMaterial("label", nil, 1); err == nil {
				t.Error("the state's ExportKeyingMaterial works")
			}
		})
	}
}
