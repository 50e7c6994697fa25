package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/tlstfo/tlstfo/handshake"
)

// defaultCredential is the index of the credential that no
// -new-x509-credential began. It is the last to be tried.
const defaultCredential = -1

// shared is what all connections of a test have in common.
type shared struct {
	roots       *x509.CertPool // nil: chains are not verified
	credentials []loaded       // in the order in which they are tried
	serverShared
}

// loaded is a credential that was read from its files.
type loaded struct {
	tls.Certificate
	index           int
	mustMatchIssuer bool
}

func newShared(sets *optionSets, now time.Time) (*shared, error) {
	o := &sets.initial
	s := new(shared)
	var err error
	if s.serverShared, err = newServerShared(now); err != nil {
		return nil, err
	}
	if o.TrustCert != "" {
		// -trust-cert is for the first connection's server. Another one is
		// named where it is expected.
		for _, name := range []string{o.TrustCert, sets.resume.ExpectPeerCertFile, sets.retry.ExpectPeerCertFile} {
			if err := s.trust(name); err != nil {
				return nil, err
			}
		}
	}
	for i := range o.credentials {
		if err := s.load(&o.credentials[i], i); err != nil {
			return nil, err
		}
	}
	if o.CertFile != "" {
		return s, s.load(&o.credential, defaultCredential)
	}
	return s, nil
}

// trust adds the certificates of a file to the roots.
func (s *shared) trust(name string) error {
	if name == "" {
		return nil
	}
	certs, err := readCertificates(name)
	if err != nil {
		return err
	}
	if s.roots == nil {
		s.roots = x509.NewCertPool()
	}
	for _, der := range certs {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		s.roots.AddCert(cert)
	}
	return nil
}

// load reads a credential.
func (s *shared) load(c *credential, index int) error {
	cert, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		return err
	}
	cert.OCSPStaple = c.OCSPResponse
	cert.SignedCertificateTimestamps = splitSCTs(c.SCTs)
	if len(c.SigningPrefs) > 0 {
		cert.SupportedSignatureAlgorithms = schemes(c.SigningPrefs)
	}
	s.credentials = append(s.credentials, loaded{cert, index, c.MustMatchIssuer})
	return nil
}

// readCertificates reads the DER of all certificates of a PEM file.
func readCertificates(name string) (ders [][]byte, err error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return ders, nil
		}
		if block.Type == "CERTIFICATE" {
			ders = append(ders, block.Bytes)
		}
	}
}

// clientCertificate is the engine's hook for a CertificateRequest.
func (c *connection) clientCertificate(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
	o := c.options()
	if prefs := schemes(o.ExpectPeerVerifyPrefs); prefs != nil && !slices.Equal(prefs, request.SignatureSchemes) {
		return nil, wrong("the server's signature algorithms are %v", request.SignatureSchemes)
	}
	if list := o.ExpectClientCAList; list != "" {
		var names []string
		for _, name := range request.AcceptableCAs {
			names = append(names, hex.EncodeToString(name))
		}
		if got := strings.Join(names, ","); got != list {
			return nil, wrong("the server's certificate authorities are %s", got)
		}
	}
	if len(c.shared.credentials) == 0 && !o.FailCertCallback {
		return new(tls.Certificate), nil
	}
	return c.selectCredential(request.SignatureSchemes, request.AcceptableCAs)
}

// selectCredential returns the first credential that can sign for a peer with
// these algorithms and authorities.
func (c *connection) selectCredential(algorithms []tls.SignatureScheme, authorities [][]byte) (*tls.Certificate, error) {
	if c.options().FailCertCallback {
		return nil, &hookError{"CERT_CB_ERROR", "the certificate hook says no", handshake.AlertInternalError}
	}
	var token string
	for i := range c.shared.credentials {
		credential := &c.shared.credentials[i]
		if token = credential.refuses(algorithms, authorities); token == "" {
			c.selected = credential.index
			return &credential.Certificate, nil
		}
	}
	return nil, &hookError{token, "no credential fits", handshake.AlertHandshakeFailure}
}

// refuses says why a credential does not do, or "".
func (l *loaded) refuses(algorithms []tls.SignatureScheme, authorities [][]byte) string {
	if l.mustMatchIssuer && !l.issuedBy(authorities) {
		return "NO_MATCHING_ISSUER"
	}
	request := &tls.CertificateRequestInfo{SignatureSchemes: algorithms, Version: tls.VersionTLS13}
	if request.SupportsCertificate(&l.Certificate) != nil {
		return "NO_COMMON_SIGNATURE_ALGORITHMS"
	}
	return ""
}

func (l *loaded) issuedBy(authorities [][]byte) bool {
	for _, der := range l.Certificate.Certificate {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return false
		}
		for _, name := range authorities {
			if bytes.Equal(name, cert.RawIssuer) {
				return true
			}
		}
	}
	return false
}

// splitSCTs reads a SignedCertificateTimestampList (RFC 6962, section 3.3).
func splitSCTs(data []byte) (scts [][]byte) {
	in := cryptobyte.String(data)
	var list, sct cryptobyte.String
	in.ReadUint16LengthPrefixed(&list)
	for list.ReadUint16LengthPrefixed(&sct) {
		scts = append(scts, sct)
	}
	return scts
}

// joinSCTs is its reverse.
func joinSCTs(scts [][]byte) []byte {
	var b cryptobyte.Builder
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, sct := range scts {
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(sct) })
		}
	})
	return b.BytesOrPanic()
}
