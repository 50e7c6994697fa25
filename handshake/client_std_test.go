package handshake

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

// resumable runs a full handshake and returns a session of it.
func resumable(t testing.TB, cfg *Config, server *tls.Config) *Session {
	t.Helper()
	p := newStdPeer(t, server)
	s, o, err := connect(mustClient(t, cfg), p)
	if err != nil {
		t.Fatal(err)
	}
	sessions := echo(t, p, s, o, []byte("hello"))
	if len(sessions) == 0 {
		t.Fatal("no ticket")
	}
	return sessions[0]
}

func TestHelloRetryRequest(t *testing.T) {
	cfg, server := testSetup(t)
	server.CurvePreferences = []tls.CurveID{tls.CurveP384}
	session := resumable(t, cfg, server)
	if session.Group != tls.CurveP384 || !session.HybridAt.IsZero() {
		t.Errorf("group %v, hybrid at %v", session.Group, session.HybridAt)
	}
	for _, shares := range [][]tls.CurveID{nil, {}, {tls.X25519}} {
		for _, session := range []*Session{nil, session} {
			again := *cfg
			again.KeyShares, again.Session = shares, session
			c := mustClient(t, &again)
			p := newStdPeer(t, server)
			s, o, err := connect(c, p)
			if err != nil {
				t.Fatal(err)
			}
			echo(t, p, s, o, []byte("hello"))
			state := c.ConnectionState()
			if !c.Retried() || !state.HelloRetryRequest || c.Group() != tls.CurveP384 || state.DidResume != (session != nil) {
				t.Errorf("shares %v: retried %v, group %v, resumed %v", shares, c.Retried(), c.Group(), state.DidResume)
			}
		}
	}
}

func TestResumption(t *testing.T) {
	cfg, server := testSetup(t)
	cfg.NextProtos, server.NextProtos = []string{"h2"}, []string{"h2"}
	first := resumable(t, cfg, server)
	second := *cfg
	asked := 0
	second.Session, second.TicketAge = first, time.Minute
	second.KeyShares, second.Groups = []tls.CurveID{tls.X25519}, []tls.CurveID{tls.X25519, tls.CurveP256}
	second.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error {
		t.Error("VerifyPeerCertificate was asked about a resumed handshake")
		return nil
	}
	second.VerifyConnection = func(s tls.ConnectionState) error {
		asked++
		if !s.DidResume || s.HandshakeComplete || len(s.VerifiedChains) != 1 || s.NegotiatedProtocol != "h2" {
			t.Errorf("state %+v", s)
		}
		return nil
	}
	c := mustClient(t, &second)
	if p := c.PredictedState(); !p.DidResume || p.HandshakeComplete || p.Version != tls.VersionTLS13 ||
		p.CipherSuite != first.CipherSuite || p.NegotiatedProtocol != "h2" || len(p.PeerCertificates) != 1 {
		t.Errorf("predicted %+v", p)
	}
	p := newStdPeer(t, server)
	s, o, err := connect(c, p)
	if err != nil {
		t.Fatal(err)
	}
	if !c.ConnectionState().DidResume || asked != 1 {
		t.Errorf("resumed %v, asked %d times", c.ConnectionState().DidResume, asked)
	}
	// crypto/tls gives no ticket on a resumed handshake of the same minute, so
	// make one: what matters is the lineage.
	body := []byte{0, 0, 0, 60, 0, 0, 0, 1, 1, 7, 0, 2, 8, 9, 0, 0}
	later := testTime.Add(time.Hour)
	next, fault := o.tickets.session(body, later)
	if fault != 0 || next.Group != tls.X25519MLKEM768 || !next.HybridAt.Equal(testTime) ||
		!next.AuthenticatedAt.Equal(testTime) || !next.ReceivedAt.Equal(later) {
		t.Errorf("fault %v, lineage %+v", fault, next)
	}
	echo(t, p, s, o, []byte("hello"))
}

// A session that the server does not know costs a full handshake, and with
// RequirePSK the connection.
func TestSessionRefused(t *testing.T) {
	cfg, server := testSetup(t)
	session := *resumable(t, cfg, server)
	session.Ticket = bytes.Repeat([]byte{7}, len(session.Ticket))
	cfg.Session = &session
	c := mustClient(t, cfg)
	if _, _, err := connect(c, newStdPeer(t, server)); err != nil || c.ConnectionState().DidResume {
		t.Errorf("%v, resumed %v", err, c.ConnectionState().DidResume)
	}
	cfg.RequirePSK = true
	if _, _, err := connect(mustClient(t, cfg), newStdPeer(t, server)); !errors.Is(err, FaultAbandoned) {
		t.Errorf("with RequirePSK: %v", err)
	}
	server.CurvePreferences = []tls.CurveID{tls.CurveP384} // by way of HelloRetryRequest
	if _, _, err := connect(mustClient(t, cfg), newStdPeer(t, server)); !errors.Is(err, FaultAbandoned) {
		t.Errorf("with RequirePSK after HelloRetryRequest: %v", err)
	}
}

func TestClientCertificate(t *testing.T) {
	ca := newAuthority(t)
	for _, kind := range []string{"ECDSA", "P-384", "RSA", "Ed25519"} {
		cert := ca.issue(t, newKey(t, kind), nil)
		cert.OCSPStaple, cert.SignedCertificateTimestamps = []byte("staple"), [][]byte{[]byte("timestamp")}
		cfg := &Config{ServerName: "example.com", RootCAs: ca.pool, Certificates: []tls.Certificate{cert}}
		server := &tls.Config{
			Certificates: []tls.Certificate{ca.issue(t, newKey(t, "ECDSA"), nil)},
			Time:         func() time.Time { return testTime },
			ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: ca.pool,
		}
		session := resumable(t, cfg, server)
		if !bytes.Equal(session.ClientCertificate, ChainSum(cert.Certificate)) {
			t.Errorf("%s: the session does not know the certificate", kind)
		}
	}
}

func TestClientCertificateSelection(t *testing.T) {
	cfg, server := testSetup(t)
	other := namedAuthority(t, "another authority")
	server.ClientAuth = tls.RequestClientCert
	sent := func(t *testing.T, cfg Config) int {
		t.Helper()
		p := newStdPeer(t, server)
		if _, _, err := connect(mustClient(t, &cfg), p); err != nil {
			t.Fatal(err)
		}
		return len(p.conn.ConnectionState().PeerCertificates)
	}
	if n := sent(t, *cfg); n != 0 {
		t.Error("sent a certificate without having one")
	}
	foreign := *cfg
	foreign.Certificates = []tls.Certificate{other.issue(t, newKey(t, "ECDSA"), nil)}
	if n := sent(t, foreign); n != 0 {
		t.Error("sent a certificate of an authority that was not asked for")
	}
	callback := *cfg
	callback.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if info.Version != tls.VersionTLS13 || len(info.AcceptableCAs) != 1 || len(info.SignatureSchemes) == 0 {
			t.Errorf("request %+v", info)
		}
		return &foreign.Certificates[0], nil
	}
	if n := sent(t, callback); n != 1 {
		t.Error("did not send what GetClientCertificate returned")
	}
	callback.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return nil, nil }
	_, _, err := connect(mustClient(t, &callback), newStdPeer(t, server))
	if !errors.Is(err, FaultClientCertificateCallback) {
		t.Errorf("nil certificate: %v", err)
	}
	unusable := foreign.Certificates[0]
	unusable.PrivateKey = nil
	callback.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &unusable, nil }
	_, _, err = connect(mustClient(t, &callback), newStdPeer(t, server))
	if !errors.Is(err, FaultNoUsableClientCertificate) {
		t.Errorf("certificate without a key: %v", err)
	}
}

// What crypto/tls's client would refuse is refused, with its error inside.
func TestServerVerification(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	server := func(edit func(*x509.Certificate)) *tls.Config {
		return &tls.Config{
			Certificates: []tls.Certificate{ca.issue(t, newKey(t, "ECDSA"), edit)},
			Time:         func() time.Time { return testTime },
		}
	}
	refuse := errors.New("refused")
	tests := []struct {
		name   string
		cfg    Config
		server *tls.Config
		want   Fault
		as     any
	}{
		{"good", Config{ServerName: "example.com", RootCAs: ca.pool}, server(nil), 0, nil},
		{"wrong name", Config{ServerName: "example.org", RootCAs: ca.pool}, server(nil), FaultCertificateVerification, new(x509.HostnameError)},
		{"untrusted", Config{ServerName: "example.com", RootCAs: other.pool}, server(nil), FaultCertificateVerification, new(x509.UnknownAuthorityError)},
		{"expired", Config{ServerName: "example.com", RootCAs: ca.pool},
			server(func(c *x509.Certificate) { c.NotAfter = testTime.Add(-time.Minute) }), FaultCertificateVerification, new(x509.CertificateInvalidError)},
		{"expired by Config.Time", Config{ServerName: "example.com", RootCAs: ca.pool, Time: func() time.Time { return testTime.Add(9999 * time.Hour) }},
			server(nil), FaultCertificateVerification, new(x509.CertificateInvalidError)},
		{"keyUsage without digitalSignature", Config{ServerName: "example.com", RootCAs: ca.pool},
			server(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }), FaultBadCertificateKeyUsage, nil},
		{"InsecureSkipVerify", Config{ServerName: "example.org", InsecureSkipVerify: true}, server(nil), 0, nil},
		{"InsecureSkipVerify without a name", Config{InsecureSkipVerify: true}, server(nil), 0, nil},
		{"VerifyPeerCertificate", Config{ServerName: "example.com", RootCAs: ca.pool,
			VerifyPeerCertificate: func(raw [][]byte, chains [][]*x509.Certificate) error {
				if len(raw) != 1 || len(chains) != 1 {
					t.Errorf("%d certificates, %d chains", len(raw), len(chains))
				}
				return refuse
			}}, server(nil), FaultCertificateRejected, &refuse},
		{"VerifyConnection", Config{ServerName: "example.com", RootCAs: ca.pool,
			VerifyConnection: func(s tls.ConnectionState) error {
				if s.HandshakeComplete || s.DidResume || len(s.VerifiedChains) != 1 || s.ServerName != "example.com" {
					t.Errorf("state %+v", s)
				}
				if _, err := s.ExportKeyingMaterial("x", nil, 1); err == nil {
					t.Error("keying material before the end of the handshake")
				}
				return refuse
			}}, server(nil), FaultCertificateRejected, &refuse},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newStdPeer(t, test.server)
			_, _, err := connect(mustClient(t, &test.cfg), p)
			if test.want == 0 {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if !errors.Is(err, test.want) || test.as != nil && !errors.As(err, test.as) {
				t.Fatalf("%v, want %v", err, test.want)
			}
			if test.want == FaultCertificateVerification {
				var verification *tls.CertificateVerificationError
				if !errors.As(err, &verification) || len(verification.UnverifiedCertificates) != 1 {
					t.Errorf("%v is no tls.CertificateVerificationError", err)
				}
			}
			if test.want == FaultCertificateRejected && !errors.Is(err, refuse) {
				t.Errorf("%v does not wrap the callback's error", err)
			}
			if err := <-p.err; err == nil || !strings.Contains(err.Error(), test.want.Alert().String()) {
				t.Errorf("the server got %v, want alert %v", err, test.want.Alert())
			}
		})
	}
}

// A server that knows TLS 1.2 only is told apart, so that the caller can dial
// anew, and so are alerts.
func TestOldServer(t *testing.T) {
	cfg, server := testSetup(t)
	server.MaxVersion = tls.VersionTLS12
	_, _, err := connect(mustClient(t, cfg), newStdPeer(t, server))
	var remote *RemoteError
	if !errors.As(err, &remote) || remote.Alert != AlertProtocolVersion || remote.Authenticated {
		t.Errorf("%v, want protocol_version from the server", err)
	}
	for name, test := range map[string]struct {
		tail string
		want Fault
	}{
		"TLS 1.2":              {"12345678", FaultUnsupportedVersion},
		"downgrade to TLS 1.2": {"DOWNGRD\x01", FaultDowngrade}, // section 4.1.3
		"downgrade to TLS 1.1": {"DOWNGRD\x00", FaultDowngrade},
	} {
		hello := append([]byte{3, 3}, strings.Repeat("r", 24)+test.tail...)
		hello = append(hello, 0, 0xc0, 0x2b, 0)
		c := mustClient(t, cfg)
		c.Feed(appendPlaintext(nil, recordHandshake, versionTLS12, append([]byte{2, 0, 0, byte(len(hello))}, hello...)))
		if _, err := c.Next(testTime); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

func TestKeyLog(t *testing.T) {
	cfg, server := testSetup(t)
	var ours, theirs bytes.Buffer
	cfg.KeyLogWriter, server.KeyLogWriter = &ours, &theirs
	resumable(t, cfg, server)
	lines := strings.Split(ours.String(), "\n")
	for _, line := range lines {
		if !strings.Contains(theirs.String(), line) {
			t.Errorf("the server's log does not have %q", line)
		}
	}
	if len(lines) != 5 {
		t.Errorf("log:\n%s", ours.String())
	}
	cfg.KeyLogWriter = fullWriter{}
	if _, _, err := connect(mustClient(t, cfg), newStdPeer(t, server)); !errors.Is(err, FaultInternal) || !errors.Is(err, errFull) {
		t.Errorf("failing log: %v", err)
	}
}

var errFull = errors.New("full")

type fullWriter struct{}

func (fullWriter) Write([]byte) (int, error) { return 0, errFull }

func TestConfigErrors(t *testing.T) {
	bad := errors.New("no entropy")
	for name, cfg := range map[string]*Config{
		"nothing at all":      nil,
		"no name":             {},
		"bad protocol":        {ServerName: "x", NextProtos: []string{""}},
		"too many protocols":  {ServerName: "x", NextProtos: slices.Repeat([]string{strings.Repeat("p", 255)}, 300)},
		"no groups":           {ServerName: "x", Groups: []tls.CurveID{}},
		"unknown group":       {ServerName: "x", Groups: []tls.CurveID{0x1234}},
		"share not in groups": {ServerName: "x", Groups: []tls.CurveID{tls.X25519}, KeyShares: []tls.CurveID{tls.CurveP256}},
		// Section 4.2.8: shares "MUST appear in the same order" as the groups, each once.
		"share twice":          {ServerName: "x", Groups: []tls.CurveID{tls.X25519}, KeyShares: []tls.CurveID{tls.X25519, tls.X25519}},
		"shares out of order":  {ServerName: "x", Groups: []tls.CurveID{tls.X25519, tls.CurveP256}, KeyShares: []tls.CurveID{tls.CurveP256, tls.X25519}},
		"no algorithms":        {ServerName: "x", SignatureAlgorithms: []tls.SignatureScheme{}},
		"Builder without":      {ServerName: "x", Hello: noBuilder{}},
		"session without data": {ServerName: "x", Session: &Session{}},
		"RequirePSK alone":     {ServerName: "x", RequirePSK: true},
		"random source":        {ServerName: "x", rand: failingReader{bad}},
	} {
		if c, err := NewClient(cfg); err == nil || c != nil {
			t.Errorf("%s: no error", name)
		}
	}
}

type noBuilder struct{}

func (noBuilder) BuildHello(*Config, io.Reader) (*Hello, error) { return nil, nil }

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }
