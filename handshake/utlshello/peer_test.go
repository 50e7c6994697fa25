package utlshello

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/handshake"
)

var testTime = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// newCertificate makes a certificate for example.com and the pool that trusts it.
func newCertificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: []string{"example.com"},
		NotBefore: testTime.Add(-time.Hour), NotAfter: testTime.Add(1000 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, _ := x509.ParseCertificate(der)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// setup returns configurations of a client and of our server that fit each other; the server gives tickets that allow early data.
func setup(t testing.TB, b handshake.Builder) (*handshake.Config, *handshake.ServerConfig) {
	t.Helper()
	cert, pool := newCertificate(t)
	keys := new(handshake.TicketKeys)
	if err := keys.Rotate(rand.Reader, 0); err != nil {
		t.Fatal(err)
	}
	return &handshake.Config{ServerName: "example.com", RootCAs: pool, Hello: b, Groups: handshake.DefaultGroups()},
		&handshake.ServerConfig{
			Certificates: []tls.Certificate{cert}, TicketKeys: keys, NextProtos: []string{"h2", "http/1.1"},
			MaxEarlyData: 16384, AntiReplay: handshake.NewReplayRegister(testTime.Add(-time.Hour), 100),
		}
}

// outcome is what a connection came to.
type outcome struct {
	client   *handshake.Client
	sessions []*handshake.Session
	echo     []byte // what the server sent back
	sent     []byte // all that the client sent before the handshake was complete
}

// connect runs a client, which writes early as early data and then late, until the echo of all that the server took is there.
func connect(t testing.TB, cfg *handshake.Config, conn net.Conn, early, late []byte) (outcome, error) {
	t.Helper()
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	c, err := handshake.NewClient(cfg)
	if err != nil {
		return outcome{}, err
	}
	o := outcome{client: c}
	if len(early) > 0 {
		if n, err := c.WriteEarly(early); n != len(early) || err != nil {
			t.Fatal(n, err)
		}
	}
	want := len(early) + len(late)
	buf := make([]byte, 16<<10)
	for {
		event, err := c.Next(testTime)
		out := c.AppendOutput(nil)
		o.sent = append(o.sent, out...)
		if _, werr := conn.Write(out); werr != nil && err == nil {
			return o, werr
		}
		if err != nil {
			return o, err
		}
		if event.Kind == handshake.EventEarlyRejected {
			want -= len(early)
		}
		if event.Kind == handshake.EventHandshakeComplete {
			break
		}
		if event.Kind == handshake.EventNone {
			n, err := conn.Read(buf)
			if err != nil {
				return o, err
			}
			c.Feed(buf[:n])
		}
	}
	sealer, opener := c.Split()
	if _, err := conn.Write(sealer.Seal(nil, late)); err != nil {
		return o, err
	}
	for len(o.echo) < want {
		event, err := opener.Next(testTime)
		if err != nil {
			return o, err
		}
		switch event.Kind {
		case handshake.EventData:
			o.echo = append(o.echo, event.Data...)
		case handshake.EventTicket:
			o.sessions = append(o.sessions, event.Session)
		case handshake.EventCloseNotify:
			return o, io.ErrUnexpectedEOF
		case handshake.EventNone:
			n, err := conn.Read(buf)
			if err != nil {
				return o, err
			}
			opener.Feed(buf[:n])
		}
	}
	return o, nil
}

// serveOurs runs our server on one end of a connection, which echoes, and returns the other.
func serveOurs(t testing.TB, cfg *handshake.ServerConfig) net.Conn {
	client, server := pipe(t)
	go func() {
		defer server.Close()
		s, err := handshake.NewServer(cfg)
		if err != nil {
			t.Error(err)
			return
		}
		buf := make([]byte, 16<<10)
		for {
			event, err := s.Next(testTime)
			if event.Kind == handshake.EventEarlyData {
				s.Write(bytes.Clone(event.Data))
			}
			server.Write(s.AppendOutput(nil))
			if err != nil {
				return
			}
			if event.Kind == handshake.EventHandshakeComplete {
				break
			}
			if event.Kind == handshake.EventNone {
				n, err := server.Read(buf)
				if err != nil {
					return
				}
				s.Feed(buf[:n])
			}
		}
		sealer, opener := s.Split()
		for {
			event, err := opener.Next(testTime)
			if err != nil || event.Kind == handshake.EventCloseNotify {
				return
			}
			if event.Kind == handshake.EventData {
				server.Write(sealer.Seal(nil, event.Data))
				continue
			}
			n, err := server.Read(buf)
			if err != nil {
				return
			}
			opener.Feed(buf[:n])
		}
	}()
	return client
}

// serveStd is serveOurs with the server of crypto/tls.
func serveStd(t testing.TB, cfg *tls.Config) net.Conn {
	client, server := pipe(t)
	go func() {
		conn := tls.Server(server, cfg)
		defer conn.Close()
		io.Copy(conn, conn)
	}()
	return client
}

// pipe returns two ends of a connection over loopback, with the buffers of the kernel.
func pipe(t testing.TB) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}
