package handshake

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"testing"
)

func TestServerFullAndResumed(t *testing.T) {
	for _, chunk := range []int{1, 7, 1 << 16} {
		cfg, _, client := serverSetup(t)
		cfg.NextProtos, client.NextProtos = []string{"h2", "http/1.1"}, []string{"http/1.1"}
		client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		for i := range 3 {
			state, s, serverErr, clientErr := stdClient(t, cfg, client, chunk)
			if serverErr != nil || clientErr != nil {
				t.Fatalf("chunk %d, connection %d: server: %v; client: %v", chunk, i, serverErr, clientErr)
			}
			ours := s.ConnectionState()
			if ours.DidResume != (i > 0) || state.DidResume != ours.DidResume || ours.CipherSuite != state.CipherSuite ||
				ours.CurveID != tls.X25519MLKEM768 || state.CurveID != ours.CurveID || ours.NegotiatedProtocol != "http/1.1" ||
				state.NegotiatedProtocol != "http/1.1" || ours.ServerName != "example.com" || !ours.HandshakeComplete || ours.HelloRetryRequest {
				t.Errorf("chunk %d, connection %d: %+v", chunk, i, ours)
			}
			a, err := s.ExportKeyingMaterial("label", []byte("context"), 40)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := state.ExportKeyingMaterial("label", []byte("context"), 40); err != nil || string(a) != string(b) {
				t.Errorf("exported keys differ: %v", err)
			}
		}
	}
}

// Every group, by its share and by HelloRetryRequest.
func TestServerGroups(t *testing.T) {
	for _, id := range allGroups {
		if id == groupMLKEM1024 {
			continue // crypto/tls has it not
		}
		cfg, _, client := serverSetup(t)
		cfg.Groups = []tls.CurveID{id}
		client.CurvePreferences = []tls.CurveID{id}
		state, s, serverErr, clientErr := stdClient(t, cfg, client, 1<<16)
		if serverErr != nil || clientErr != nil || state.CurveID != id || s.Retried() {
			t.Errorf("%v: %v, %v, %v, retried: %v", id, state.CurveID, serverErr, clientErr, s.Retried())
		}
		if id == tls.X25519 {
			continue // crypto/tls always sends a share
		}
		client.CurvePreferences = []tls.CurveID{tls.X25519, id}
		for _, chunk := range []int{1, 1 << 16} {
			state, s, serverErr, clientErr = stdClient(t, cfg, client, chunk)
			// crypto/tls sends a share of the first hybrid, whatever is listed before it.
			if serverErr != nil || clientErr != nil || state.CurveID != id || s.Retried() != state.HelloRetryRequest || s.Retried() == PostQuantum(id) {
				t.Errorf("%v: %v, %v, %v, retried: %v", id, state.CurveID, serverErr, clientErr, s.Retried())
			}
		}
	}
}

func TestServerGroupPolicy(t *testing.T) {
	x, p256, hybrid := tls.X25519, tls.CurveP256, tls.X25519MLKEM768
	list := func(ids ...tls.CurveID) []tls.CurveID { return ids }
	for _, c := range []struct {
		policy         GroupPolicy
		ours           []tls.CurveID
		theirs, shares []tls.CurveID
		want           tls.CurveID
	}{
		{GroupHybridFirst, list(x, p256, hybrid), list(x, hybrid), list(x), hybrid},
		{GroupHybridFirst, list(x, p256), list(x, p256), list(p256), p256},
		{GroupHybridFirst, list(x, p256), list(x, p256), list(), x},
		{GroupWithShare, list(hybrid, x), list(x, hybrid), list(x), x},
		{GroupWithShare, list(hybrid, x), list(x, hybrid), list(), hybrid},
		{GroupServerOrder, list(p256, x, hybrid), list(x, p256), list(x), p256},
		{GroupClientOrder, list(p256, x, hybrid), list(hybrid, x), list(x), hybrid},
		{GroupHybridFirst, list(p256), list(x), list(x), 0},
	} {
		s := &Server{cfg: &ServerConfig{Groups: c.ours, GroupPolicy: c.policy}, hello: &clientHello{groups: c.theirs}}
		for _, id := range c.shares {
			s.hello.shares = append(s.hello.shares, keyShare{id, []byte{1}})
		}
		if got, ok := s.selectGroup(); got != c.want || ok != (c.want != 0) {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestServerCipherSuites(t *testing.T) {
	for _, suite := range testSuites {
		cfg, _, client := serverSetup(t)
		cfg.CipherSuites = []uint16{suite}
		state, _, serverErr, clientErr := stdClient(t, cfg, client, 1<<16)
		if serverErr != nil || clientErr != nil || state.CipherSuite != suite {
			t.Errorf("%x: %x, %v, %v", suite, state.CipherSuite, serverErr, clientErr)
		}
	}
	if list := new(ServerConfig).suites([]uint16{0x0a0a, tls.TLS_CHACHA20_POLY1305_SHA256, tls.TLS_AES_128_GCM_SHA256}); list[0] != tls.TLS_CHACHA20_POLY1305_SHA256 {
		t.Errorf("for a client without AES hardware: %x", list)
	}
}

// Every kind of certificate, on both sides.
func TestServerCertificates(t *testing.T) {
	for _, kind := range []string{"ECDSA", "P-384", "RSA", "Ed25519"} {
		for _, auth := range []tls.ClientAuthType{tls.NoClientCert, tls.RequestClientCert, tls.RequireAnyClientCert,
			tls.VerifyClientCertIfGiven, tls.RequireAndVerifyClientCert} {
			t.Run(fmt.Sprint(kind, auth), func(t *testing.T) {
				ca := newAuthority(t)
				cert := ca.issue(t, newKey(t, kind), nil)
				cfg, _, client := serverSetup(t)
				cfg.Certificates, cfg.ClientCAs, cfg.ClientAuth = []tls.Certificate{cert}, ca.pool, auth
				client.RootCAs, client.Certificates = ca.pool, []tls.Certificate{cert}
				client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
				for i := range 2 {
					state, s, serverErr, clientErr := stdClient(t, cfg, client, 1<<16)
					if serverErr != nil || clientErr != nil || state.DidResume != (i > 0) {
						t.Fatalf("%v, %v, resumed %v", serverErr, clientErr, state.DidResume)
					}
					ours := s.ConnectionState()
					if got := len(ours.PeerCertificates); got != min(int(auth), 1) {
						t.Errorf("%d certificates of the client", got)
					}
					if verified := auth >= tls.VerifyClientCertIfGiven; (len(ours.VerifiedChains) > 0) != verified {
						t.Errorf("%d chains", len(ours.VerifiedChains))
					}
				}
			})
		}
	}
}

func TestServerNames(t *testing.T) {
	cfg, _, client := serverSetup(t)
	ca := newAuthority(t)
	named := func(name string, kind string) tls.Certificate {
		return ca.issue(t, newKey(t, kind), func(c *x509.Certificate) { c.DNSNames = []string{name} })
	}
	cfg.Certificates = []tls.Certificate{named("a.example", "ECDSA"), named("b.example", "RSA"), named("b.example", "ECDSA")}
	client.RootCAs, client.ServerName = ca.pool, "b.example"
	state, _, _, err := stdClient(t, cfg, client, 1<<16)
	if err != nil || !state.PeerCertificates[0].Equal(mustParse(t, cfg.Certificates[1])) {
		t.Errorf("the first certificate for the name: %v", err)
	}
	cfg.GetCertificate = func(info *ClientHelloInfo) (*tls.Certificate, error) {
		if info.ServerName != "b.example" || len(info.SignatureSchemes) == 0 || info.SupportsCertificate(&cfg.Certificates[2]) != nil {
			t.Errorf("%+v", info)
		}
		return &cfg.Certificates[2], nil
	}
	state, _, _, err = stdClient(t, cfg, client, 1<<16)
	if err != nil || !state.PeerCertificates[0].Equal(mustParse(t, cfg.Certificates[2])) {
		t.Errorf("GetCertificate: %v", err)
	}
}

func mustParse(t *testing.T, cert tls.Certificate) *x509.Certificate {
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

// RFC 6066, section 3: the server acknowledges server_name, but not when it
// resumes. RFC 8446, section D.4: change_cipher_spec follows the first message.
func TestServerFlight(t *testing.T) {
	cfg, client, _ := serverSetup(t)
	for _, resumed := range []bool{false, true} {
		if resumed {
			client = resume(client, firstSession(t, cfg, client), 0, false)
		}
		s, err := NewServer(cfg)
		if err != nil {
			t.Fatal(err)
		}
		hello := firstHello(t, client)
		s.Feed(appendPlaintext(nil, recordHandshake, versionTLS12, hello.raw))
		if _, err := s.Next(testTime); err != nil || s.ConnectionState().DidResume != resumed {
			t.Fatal(err)
		}
		extensions, err := s.encryptedExtensions()
		if err != nil {
			t.Fatal(err)
		}
		if acknowledged := len(extensions) == messageHeaderLen+2+4; acknowledged == resumed {
			t.Errorf("resumed %v: EncryptedExtensions %x", resumed, extensions)
		}
		out := s.AppendOutput(nil)
		out = out[recordHeaderLen+int(out[3])<<8+int(out[4]):]
		if string(out[:6]) != "\x14\x03\x03\x00\x01\x01" {
			t.Errorf("behind ServerHello comes %x", out[:6])
		}
	}
}

// What cannot be asked yet is refused.
func TestServerTooEarly(t *testing.T) {
	cfg, client, _ := serverSetup(t)
	p := newPair(t, cfg, client, "")
	if _, err := p.s.ExportKeyingMaterial("label", nil, 32); err != errNotYet {
		t.Errorf("ExportKeyingMaterial: %v", err)
	}
	if _, err := p.s.Write([]byte("x")); err != errNotYet {
		t.Errorf("Write: %v", err)
	}
	if s, o := p.s.Split(); s != nil || o != nil {
		t.Error("Split before the handshake is complete")
	}
	state := p.s.ConnectionState()
	if _, err := state.ExportKeyingMaterial("label", nil, 32); err == nil || state.HandshakeComplete {
		t.Errorf("ConnectionState: %+v", state)
	}
	if ce, se := p.run(); ce != nil || se != nil {
		t.Fatal(ce, se)
	}
	for _, length := range []int{-1, 255*32 + 1} {
		if _, err := p.s.ExportKeyingMaterial("label", nil, length); err == nil {
			t.Errorf("%d bytes of keying material", length)
		}
	}
	if _, o := p.s.Split(); o == nil {
		t.Error("no Opener")
	}
	if _, err := p.s.Next(testTime); err != errSplit {
		t.Errorf("Next after Split: %v", err)
	}
	if s, _ := p.s.Split(); s != nil {
		t.Error("split twice")
	}
}
