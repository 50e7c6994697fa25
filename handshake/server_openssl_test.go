package handshake

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// needOpenSSL skips the test where there is no openssl, or fails it where
// TLSTFO_REQUIRE says that nothing may be missing.
func needOpenSSL(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("TLSTFO_REQUIRE") != "" {
			t.Fatal("openssl is missing: ", err)
		}
		t.Skip("openssl is missing: ", err)
	}
	return path
}

// opensslClient runs s_client against a server that echoes, in the present,
// sends input, waits for the echo of it, and returns its output and the server.
func opensslClient(t *testing.T, cfg *ServerConfig, input string, args ...string) (string, *presentServer) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan *presentServer, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			done <- &presentServer{err: err}
			return
		}
		done <- servePresent(conn, cfg)
	}()
	args = append([]string{"s_client", "-connect", l.Addr().String(), "-servername", "example.com", "-tls1_3", "-ign_eof"}, args...)
	cmd := exec.CommandContext(t.Context(), needOpenSSL(t), args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Logf("openssl: %v", err)
	}
	select {
	case s := <-done:
		return string(out), s
	case <-time.After(20 * time.Second):
		t.Fatalf("the server has not ended; openssl says:\n%s", out)
		return "", nil
	}
}

type presentServer struct {
	*Server
	early []byte
	err   error
}

// servePresent echoes one line, early data included, by the real clock, and
// closes.
func servePresent(conn net.Conn, cfg *ServerConfig) *presentServer {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(15 * time.Second))
	engine, err := NewServer(cfg)
	s := &presentServer{Server: engine, err: err}
	for s.err == nil {
		var event Event
		event, s.err = engine.Next(time.Now())
		if event.Kind == EventEarlyData {
			s.early = append(s.early, event.Data...)
			engine.Write(append([]byte("echo: "), event.Data...))
		}
		if out := engine.AppendOutput(nil); len(out) > 0 {
			conn.Write(out)
		}
		if event.Kind == EventHandshakeComplete {
			break
		}
		if event.Kind == EventNone && s.err == nil {
			var n int
			n, s.err = conn.Read(engine.Buffer())
			engine.Advance(n)
		}
	}
	if s.err != nil {
		return s
	}
	sealer, opener := engine.Split()
	conn.Write(sealer.KeyUpdate(nil, true))
	for {
		event, err := opener.Next(time.Now())
		if err == nil && event.Kind == EventNone {
			var n int
			n, err = conn.Read(opener.Buffer())
			opener.Advance(n)
		}
		if s.err = err; err != nil {
			return s
		}
		if event.Kind == EventData {
			conn.Write(sealer.CloseNotify(sealer.Seal(nil, append([]byte("echo: "), event.Data...))))
			return s
		}
	}
}

// opensslSetup is serverSetup in the present, with the CA in a file.
func opensslSetup(t *testing.T) (*ServerConfig, string) {
	t.Helper()
	cfg, _, _ := serverSetup(t)
	ca := newAuthority(t)
	now := time.Now()
	cfg.Time = func() time.Time { return testTime }
	cfg.Certificates = []tls.Certificate{ca.issue(t, newKey(t, "ECDSA"), func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = now.Add(-time.Hour), now.Add(time.Hour)
	})}
	cfg.TicketKeys = new(TicketKeys)
	if err := cfg.TicketKeys.Rotate(rand.Reader, 0); err != nil {
		t.Fatal(err)
	}
	cfg.MaxEarlyData, cfg.AntiReplay = 16384, NewReplayRegister(now.Add(-time.Second), 100)
	return cfg, t.TempDir()
}

func TestOpenSSLClient(t *testing.T) {
	needOpenSSL(t)
	cfg, dir := opensslSetup(t)
	session := filepath.Join(dir, "session")
	out, s := opensslClient(t, cfg, "hello\n", "-sess_out", session)
	if s.err != nil || !strings.Contains(out, "echo: hello") || s.ConnectionState().DidResume {
		t.Fatalf("full: %v\n%s", s.err, out)
	}
	if !strings.Contains(out, "Max Early Data: 16384") {
		t.Errorf("the ticket does not allow early data:\n%s", out)
	}
	out, s = opensslClient(t, cfg, "again\n", "-sess_in", session)
	if s.err != nil || !strings.Contains(out, "echo: again") || !s.ConnectionState().DidResume || !strings.Contains(out, "Reused, TLSv1.3") {
		t.Errorf("resumed: %v\n%s", s.err, out)
	}
	early := filepath.Join(dir, "early")
	if err := os.WriteFile(early, []byte("early\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		accepted bool
		says     string
	}{{true, "Early data was accepted"}, {false, "Early data was rejected"}} { // the second time it is a used ticket
		out, s = opensslClient(t, cfg, "late\n", "-sess_in", session, "-early_data", early)
		if s.err != nil || !strings.Contains(out, c.says) || !strings.Contains(out, "echo: late") ||
			(string(s.early) == "early\n") != c.accepted || strings.Contains(out, "echo: early") != c.accepted {
			t.Errorf("early data: %v, %q, %v\n%s", s.err, s.early, s.EarlyReason(), out)
		}
	}
	cfg.Groups = []tls.CurveID{tls.CurveP384}
	out, s = opensslClient(t, cfg, "late\n", "-sess_in", session, "-early_data", early)
	if s.err != nil || !s.Retried() || s.early != nil || !strings.Contains(out, "Early data was rejected") || !strings.Contains(out, "echo: late") {
		t.Errorf("HelloRetryRequest: %v\n%s", s.err, out)
	}
}

// Every group, suite and signature that OpenSSL has as well.
func TestOpenSSLParameters(t *testing.T) {
	needOpenSSL(t)
	cfg, dir := opensslSetup(t)
	for name, group := range map[string]tls.CurveID{"X25519": tls.X25519, "P-256": tls.CurveP256, "P-384": tls.CurveP384, "P-521": tls.CurveP521} {
		out, s := opensslClient(t, cfg, "hello\n", "-groups", name)
		if s.err != nil || s.ConnectionState().CurveID != group || !strings.Contains(out, "echo: hello") {
			t.Errorf("%s: %v\n%s", name, s.err, out)
		}
	}
	for name, suite := range map[string]uint16{"TLS_AES_128_GCM_SHA256": testSuites[0], "TLS_AES_256_GCM_SHA384": testSuites[1],
		"TLS_CHACHA20_POLY1305_SHA256": testSuites[2]} {
		out, s := opensslClient(t, cfg, "hello\n", "-ciphersuites", name)
		if s.err != nil || s.ConnectionState().CipherSuite != suite || !strings.Contains(out, "echo: hello") {
			t.Errorf("%s: %v\n%s", name, s.err, out)
		}
	}
	ca := newAuthority(t)
	for _, kind := range []string{"ECDSA", "P-384", "RSA", "Ed25519"} {
		cert := ca.issue(t, newKey(t, kind), nil)
		file := filepath.Join(dir, kind+".pem")
		key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
		pem.Encode(&b, &pem.Block{Type: "PRIVATE KEY", Bytes: key})
		if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		own := *cfg
		own.Certificates, own.ClientAuth, own.ClientCAs = []tls.Certificate{cert}, tls.RequireAndVerifyClientCert, ca.pool
		out, s := opensslClient(t, &own, "hello\n", "-cert", file, "-key", file)
		if s.err != nil || len(s.ConnectionState().VerifiedChains) == 0 || s.PeerSignatureAlgorithm() == 0 || !strings.Contains(out, "echo: hello") {
			t.Errorf("%s: %v\n%s", kind, s.err, out)
		}
	}
}
