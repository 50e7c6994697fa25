package handshake

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"testing"
	"time"
)

// The rules for a client's certificate (sections 4.4.2 and 4.4.3).
func TestServerClientCertificateFaults(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	good := ca.issue(t, newKey(t, "ECDSA"), nil)
	list := func(der []byte, extensions ...byte) []byte { // one CertificateEntry, or none
		if der == nil {
			return []byte{0, 0, 0, 0}
		}
		n := len(der)
		entry := append([]byte{byte(n >> 16), byte(n >> 8), byte(n)}, der...)
		entry = append(append(entry, byte(len(extensions)>>8), byte(len(extensions))), extensions...)
		n = len(entry)
		return append([]byte{0, byte(n >> 16), byte(n >> 8), byte(n)}, entry...)
	}
	for _, c := range []struct {
		name  string
		fault Fault
		state State
		send  func(c *script, feed func([]byte)) // the last message is returned by feeding it last
	}{
		{"none", FaultClientCertificateRequired, StateCertificate, func(c *script, feed func([]byte)) {
			feed(c.message(typeCertificate, list(nil)...))
		}},
		{"Finished", FaultUnexpectedMessage, StateCertificate, func(c *script, feed func([]byte)) {
			feed(c.message(typeFinished, c.finished()...))
		}},
		{"a context", FaultDecode, StateCertificate, func(c *script, feed func([]byte)) {
			feed(c.message(typeCertificate, 1, 9, 0, 0, 0))
		}},
		{"an extension", FaultUnsolicitedExtension, StateCertificate, func(c *script, feed func([]byte)) {
			feed(c.message(typeCertificate, list(good.Certificate[0], 0, 18, 0, 0)...))
		}},
		{"an unknown authority", FaultCertificateVerification, StateCertificate, func(c *script, feed func([]byte)) {
			feed(c.message(typeCertificate, list(other.issue(t, newKey(t, "ECDSA"), nil).Certificate[0])...))
		}},
		{"expired", FaultCertificateVerification, StateCertificate, func(c *script, feed func([]byte)) {
			cert := ca.issue(t, newKey(t, "ECDSA"), func(x *x509.Certificate) { x.NotAfter = testTime.Add(-time.Second) })
			feed(c.message(typeCertificate, list(cert.Certificate[0])...))
		}},
		{"for servers only", FaultCertificateVerification, StateCertificate, func(c *script, feed func([]byte)) {
			cert := ca.issue(t, newKey(t, "ECDSA"), func(x *x509.Certificate) { x.ExtKeyUsage = x.ExtKeyUsage[:1] })
			feed(c.message(typeCertificate, list(cert.Certificate[0])...))
		}},
		{"not for signatures", FaultBadCertificateKeyUsage, StateCertificate, func(c *script, feed func([]byte)) {
			cert := ca.issue(t, newKey(t, "ECDSA"), func(x *x509.Certificate) { x.KeyUsage = x509.KeyUsageKeyAgreement })
			feed(c.message(typeCertificate, list(cert.Certificate[0])...))
		}},
		{"no CertificateVerify", FaultUnexpectedMessage, StateCertificateVerify, func(c *script, feed func([]byte)) {
			feed(c.message(typeCertificate, list(good.Certificate[0])...))
			feed(c.message(typeFinished, c.finished()...))
		}},
		{"a bad signature", FaultBadSignature, StateCertificateVerify, func(c *script, feed func([]byte)) {
			feed(c.message(typeCertificate, list(good.Certificate[0])...))
			feed(c.message(typeCertificateVerify, 4, 3, 0, 1, 0))
		}},
		{"the server's context", FaultBadSignature, StateCertificateVerify, func(c *script, feed func([]byte)) {
			feed(c.message(typeCertificate, list(good.Certificate[0])...))
			sig, err := signTranscript(&good, tls.ECDSAWithP256AndSHA256, serverSignatureContext, c.s.transcript.Sum(nil), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			feed(c.message(typeCertificateVerify, append([]byte{4, 3, 0, byte(len(sig))}, sig...)...))
		}},
		{"a scheme of another key", FaultBadSignatureAlgorithm, StateCertificateVerify, func(c *script, feed func([]byte)) {
			feed(c.message(typeCertificate, list(good.Certificate[0])...))
			feed(c.message(typeCertificateVerify, 8, 4, 0, 1, 0))
		}},
		{"a scheme that was not offered", FaultBadSignatureAlgorithm, StateCertificateVerify, func(c *script, feed func([]byte)) {
			c.s.cfg.SignatureAlgorithms = []tls.SignatureScheme{tls.Ed25519}
			feed(c.message(typeCertificate, list(good.Certificate[0])...))
			sig, err := signTranscript(&good, tls.ECDSAWithP256AndSHA256, clientSignatureContext, c.s.transcript.Sum(nil), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			feed(c.message(typeCertificateVerify, append([]byte{4, 3, 0, byte(len(sig))}, sig...)...))
		}},
		{"trailing data", FaultDecode, StateCertificateVerify, func(c *script, feed func([]byte)) {
			feed(c.message(typeCertificate, list(good.Certificate[0])...))
			feed(c.message(typeCertificateVerify, 4, 3, 0, 1, 0, 0))
		}},
	} {
		cfg, client, _ := serverSetup(t)
		cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, ca.pool
		s := scripted(t, cfg, client, "")
		if _, err := s.s.Write([]byte("x")); !errors.Is(err, errNotYet) {
			t.Errorf("Write before the client is known: %v", err)
		}
		var last []byte
		c.send(s, func(records []byte) {
			if last != nil {
				s.s.Feed(last)
				if _, err := s.s.Next(testTime); err != nil {
					t.Fatalf("%s: %v", c.name, err)
				}
			}
			last = records
		})
		failsWith(t, c.name, s.s, testTime, last, c.fault, c.state)
	}
	t.Run("garbage", func(t *testing.T) {
		cfg, client, _ := serverSetup(t)
		cfg.ClientAuth = tls.RequestClientCert
		s := scripted(t, cfg, client, "")
		failsWith(t, "garbage", s.s, testTime, s.message(typeCertificate, list([]byte("garbage"))...), FaultDecode, StateCertificate)
	})
}

// The application's callbacks can refuse.
func TestServerCallbacks(t *testing.T) {
	no := errors.New("no")
	for _, c := range []struct {
		name  string
		fault Fault
		set   func(*ServerConfig)
	}{
		{"VerifyConnection", FaultCertificateRejected, func(s *ServerConfig) {
			s.VerifyConnection = func(tls.ConnectionState) error { return no }
		}},
		{"VerifyConnection with a certificate", FaultCertificateRejected, func(s *ServerConfig) {
			s.ClientAuth = tls.RequireAnyClientCert
			s.VerifyConnection = func(cs tls.ConnectionState) error {
				if len(cs.PeerCertificates) != 1 {
					t.Errorf("%d certificates", len(cs.PeerCertificates))
				}
				return no
			}
		}},
		{"VerifyPeerCertificate", FaultCertificateRejected, func(s *ServerConfig) {
			s.ClientAuth = tls.RequireAnyClientCert
			s.VerifyPeerCertificate = func(raw [][]byte, _ [][]*x509.Certificate) error { return no }
		}},
		{"GetCertificate", FaultCertificateCallback, func(s *ServerConfig) {
			s.GetCertificate = func(*ClientHelloInfo) (*tls.Certificate, error) { return nil, no }
		}},
	} {
		cfg, client, _ := serverSetup(t)
		client.Certificates = cfg.Certificates
		c.set(cfg)
		p := newPair(t, cfg, client, "")
		if _, err := p.run(); !errors.Is(err, c.fault) || !errors.Is(err, no) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// GetCertificate's error chooses the alert, if it wants to.
func TestServerCertificateCallbackAlert(t *testing.T) {
	for _, c := range []struct {
		err  error
		want Alert
	}{
		{errors.New("no"), AlertInternalError},
		{fmt.Errorf("no such name: %w", tls.AlertError(AlertUnrecognizedName)), AlertUnrecognizedName},
	} {
		cfg, client, _ := serverSetup(t)
		cfg.GetCertificate = func(*ClientHelloInfo) (*tls.Certificate, error) { return nil, c.err }
		p := newPair(t, cfg, client, "")
		_, serverErr := p.run()
		var local *LocalError
		if !errors.As(serverErr, &local) || local.Fault != FaultCertificateCallback || local.Alert() != c.want ||
			local.State != StateClientHello || p.s.State() != StateFailed {
			t.Errorf("server: %v", serverErr)
		}
		_, clientErr := p.c.Next(testTime)
		var remote *RemoteError
		if !errors.As(clientErr, &remote) || remote.Alert != c.want {
			t.Errorf("client: %v", clientErr)
		}
	}
}

// A session is resumed only where it fits what is asked of the client today.
func TestServerResumptionPolicy(t *testing.T) {
	ca := newAuthority(t)
	for _, c := range []struct {
		name    string
		resumed bool
		before  tls.ClientAuthType
		change  func(*ServerConfig, *Config, *pair)
	}{
		{"the same", true, tls.NoClientCert, func(*ServerConfig, *Config, *pair) {}},
		{"the same, with a certificate", true, tls.RequireAndVerifyClientCert, func(*ServerConfig, *Config, *pair) {}},
		{"another name", false, tls.NoClientCert, func(_ *ServerConfig, c *Config, _ *pair) {
			c.ServerName, c.InsecureSkipVerify = "other.example", true
		}},
		{"a certificate is demanded now", false, tls.NoClientCert, func(s *ServerConfig, _ *Config, _ *pair) {
			s.ClientAuth = tls.RequireAnyClientCert
		}},
		{"none is wanted now", false, tls.RequireAndVerifyClientCert, func(s *ServerConfig, _ *Config, _ *pair) { s.ClientAuth = tls.NoClientCert }},
		{"other authorities", false, tls.RequireAndVerifyClientCert, func(s *ServerConfig, _ *Config, _ *pair) {
			s.ClientCAs, s.ClientAuth = newAuthority(t).pool, tls.VerifyClientCertIfGiven
		}},
		{"too old", false, tls.NoClientCert, func(_ *ServerConfig, _ *Config, p *pair) {
			p.now = testTime.Add(MaxSessionLifetime + time.Second)
		}},
		{"old keys are kept", true, tls.NoClientCert, func(s *ServerConfig, _ *Config, _ *pair) { s.TicketKeys.Rotate(rand.Reader, 1) }},
		{"old keys are gone", false, tls.NoClientCert, func(s *ServerConfig, _ *Config, _ *pair) { s.TicketKeys.Rotate(rand.Reader, 0) }},
	} {
		cfg, client, _ := serverSetup(t)
		cfg.ClientAuth, cfg.ClientCAs = c.before, ca.pool
		client.Certificates = []tls.Certificate{ca.issue(t, newKey(t, "ECDSA"), nil)}
		session := firstSession(t, cfg, client)
		again := resume(client, session, time.Second, false)
		p := &pair{now: testTime}
		c.change(cfg, again, p)
		if p.now.After(testTime.Add(time.Hour)) {
			again.Time, again.InsecureSkipVerify = func() time.Time { return testTime }, true
		}
		now := p.now
		p = newPair(t, cfg, again, "")
		p.now = now
		ce, se := p.run()
		if c.name == "other authorities" {
			if !errors.Is(se, FaultCertificateVerification) {
				t.Errorf("%s: %v", c.name, se)
			}
			continue
		}
		if ce != nil || se != nil || p.s.ConnectionState().DidResume != c.resumed {
			t.Errorf("%s: %v, %v, resumed %v", c.name, ce, se, p.s.ConnectionState().DidResume)
		}
	}
}
