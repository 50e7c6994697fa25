package handshake

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"testing"
	"time"
)

// Whatever a server asks for, both stacks send the same certificate, or none,
// and sign with the same algorithm.
func TestClientCertificateAsStd(t *testing.T) {
	ca, other := namedAuthority(t, "ours"), namedAuthority(t, "another")
	inter := ca.child(t, "intermediate", nil)
	issue := func(a *authority, kind string) tls.Certificate { return a.issue(t, newKey(t, kind), nil) }
	ecdsa, rsa, p384, ed := issue(ca, "ECDSA"), issue(ca, "RSA"), issue(ca, "P-384"), issue(ca, "Ed25519")
	foreign, below, alone := issue(other, "ECDSA"), issue(inter, "ECDSA"), issue(inter, "ECDSA")
	below.Certificate = append(below.Certificate, inter.cert.Raw)
	restricted, impossible, keyless, broken := rsa, ecdsa, ecdsa, ecdsa
	restricted.SupportedSignatureAlgorithms = []tls.SignatureScheme{tls.PSSWithSHA512}
	impossible.SupportedSignatureAlgorithms = []tls.SignatureScheme{tls.PKCS1WithSHA256}
	keyless.PrivateKey = nil
	broken.Certificate = [][]byte{[]byte("broken")}
	withLeaf := foreign // a Leaf counts more than the DER
	withLeaf.Leaf, _ = x509.ParseCertificate(ecdsa.Certificate[0])
	empty := tls.Certificate{PrivateKey: ecdsa.PrivateKey}

	type certs = []tls.Certificate
	for _, c := range []struct {
		name       string
		certs      certs
		pool       *x509.CertPool
		algorithms []tls.SignatureScheme
	}{
		{"none", nil, ca.pool, nil},
		{"one that fits", certs{ecdsa}, ca.pool, nil},
		{"the first that fits", certs{foreign, rsa, ecdsa}, ca.pool, nil},
		{"none that fits", certs{foreign}, ca.pool, nil},
		{"any authority", certs{foreign, ecdsa}, nil, nil},
		{"by way of an intermediate", certs{below}, ca.pool, nil},
		{"an intermediate that is not there", certs{alone, ed}, ca.pool, nil},
		{"only P-384", certs{ecdsa, rsa, ed, p384}, ca.pool, []tls.SignatureScheme{tls.ECDSAWithP384AndSHA384}},
		{"only PSS", certs{ecdsa, rsa}, ca.pool, []tls.SignatureScheme{tls.PSSWithSHA384, tls.PSSWithSHA256}},
		{"only PKCS #1 v1.5", certs{rsa}, ca.pool, []tls.SignatureScheme{tls.PKCS1WithSHA256}},
		{"only SHA-1", certs{rsa, ecdsa}, ca.pool, []tls.SignatureScheme{tls.PKCS1WithSHA1, tls.ECDSAWithSHA1}},
		{"only Ed25519", certs{rsa, ecdsa, ed}, ca.pool, []tls.SignatureScheme{tls.Ed25519}},
		{"restricted", certs{restricted}, ca.pool, nil},
		{"restricted to what the server lacks", certs{restricted, ecdsa}, ca.pool, []tls.SignatureScheme{tls.PSSWithSHA256, tls.ECDSAWithP256AndSHA256}},
		{"restricted to nothing", certs{impossible, ed}, ca.pool, nil},
		{"without a key", certs{keyless, ed}, ca.pool, nil},
		{"broken", certs{broken, ed}, ca.pool, nil},
		{"broken, any authority", certs{ed, broken}, nil, nil},
		{"with a Leaf", certs{withLeaf}, ca.pool, nil},
		{"empty, any authority", certs{empty, ed}, nil, nil},
	} {
		for _, callback := range []bool{false, true} {
			if callback && len(c.certs) == 0 {
				continue
			}
			server, cfg, std := serverSetup(t)
			server.ClientAuth, server.ClientCAs, server.SignatureAlgorithms = tls.RequestClientCert, c.pool, c.algorithms
			var requests []string
			get := func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
				requests = append(requests, fmt.Sprintf("%x %x %v", info.AcceptableCAs, info.Version, info.SignatureSchemes))
				return &c.certs[0], nil
			}
			if callback {
				std.GetClientCertificate, cfg.GetClientCertificate = get, get
			} else {
				std.Certificates, cfg.Certificates = c.certs, c.certs
			}
			_, s, _, stdErr := stdClient(t, server, std, 1<<14)
			p := newPair(t, server, cfg, "")
			err, serverErr := p.run()
			if err == nil {
				err = serverErr // it comes too late for the client's handshake
			}
			name := fmt.Sprintf("%s, callback %v", c.name, callback)
			if (stdErr == nil) != (err == nil) {
				t.Errorf("%s: crypto/tls %v; ours %v", name, stdErr, err)
				continue
			}
			if a, b := bytes.Join(s.peerDER, nil), bytes.Join(p.s.peerDER, nil); err == nil && (!bytes.Equal(a, b) || s.peerSignedBy != p.s.peerSignedBy) {
				t.Errorf("%s: crypto/tls %d bytes with %v; ours %d bytes with %v", name, len(a), s.peerSignedBy, len(b), p.s.peerSignedBy)
			}
			if callback && (len(requests) != 2 || requests[0] != requests[1]) {
				t.Errorf("%s: requests %v", name, requests)
			}
		}
	}
}

// GetClientCertificate's answers that are none. (Where there is neither a
// certificate nor an error crypto/tls panics; see TestClientCertificateSelection.)
func TestGetClientCertificateAsStd(t *testing.T) {
	for name, get := range map[string]func(*tls.CertificateRequestInfo) (*tls.Certificate, error){
		"an error": func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return nil, errors.New("no") },
		"both": func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return new(tls.Certificate), errors.New("no")
		},
		"empty": func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return new(tls.Certificate), nil },
	} {
		server, cfg, std := serverSetup(t)
		server.ClientAuth = tls.RequestClientCert
		std.GetClientCertificate, cfg.GetClientCertificate = get, get
		std.Time = func() time.Time { return testTime }
		_, _, _, stdErr := stdClient(t, server, std, 1<<14)
		err, _ := newPair(t, server, cfg, "").run()
		if (stdErr == nil) != (err == nil) || err != nil && !errors.Is(err, FaultClientCertificateCallback) {
			t.Errorf("%s: crypto/tls %v; ours %v", name, stdErr, err)
		}
	}
}
