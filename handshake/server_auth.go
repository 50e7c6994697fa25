package handshake

import (
	"bytes"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// selectCertificate chooses what the server signs with (section 4.4.2.2).
func (s *Server) selectCertificate() (*tls.Certificate, tls.SignatureScheme, Fault) {
	if s.cfg.GetCertificate != nil {
		cert, err := s.cfg.GetCertificate(s.helloInfo())
		if err != nil {
			return nil, 0, s.failed(FaultCertificateCallback, err)
		}
		if cert != nil {
			scheme, ok := selectScheme(cert, s.hello.algorithms)
			if !ok || len(cert.Certificate) == 0 {
				return nil, 0, FaultNoSharedSignatureAlgorithm
			}
			return cert, scheme, 0
		}
	}
	var found *tls.Certificate
	var foundScheme tls.SignatureScheme
	for i := range s.cfg.Certificates {
		cert := &s.cfg.Certificates[i]
		scheme, ok := selectScheme(cert, s.hello.algorithms)
		if !ok || len(cert.Certificate) == 0 {
			continue
		}
		if validFor(cert, s.hello.serverName) {
			return cert, scheme, 0
		}
		if found == nil {
			found, foundScheme = cert, scheme
		}
	}
	if found == nil {
		return nil, 0, FaultNoSharedSignatureAlgorithm
	}
	return found, foundScheme, 0
}

// validFor tells whether a certificate has the name; without a name all do.
func validFor(cert *tls.Certificate, name string) bool {
	if name == "" {
		return true
	}
	leaf := cert.Leaf
	if leaf == nil {
		var err error
		if leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
			return false
		}
	}
	return leaf.VerifyHostname(name) == nil
}

func (s *Server) helloInfo() *ClientHelloInfo {
	h := s.hello
	info := &ClientHelloInfo{AcceptableCAs: h.authorities}
	info.CipherSuites = h.suites
	info.ServerName = h.serverName
	info.SupportedCurves = h.groups
	info.SignatureSchemes = h.algorithms
	info.SupportedProtos = h.protos
	info.SupportedVersions = h.versions
	for _, e := range h.extensions {
		info.Extensions = append(info.Extensions, e.typ)
	}
	return info
}

// certificateRequest makes CertificateRequest (section 4.3.2).
func (s *Server) certificateRequest() ([]byte, error) {
	return buildMessage(typeCertificateRequest, func(b *cryptobyte.Builder) {
		b.AddUint8(0)
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			addExtension(b, extSignatureAlgorithms, func(b *cryptobyte.Builder) { addList16(b, s.cfg.signatureAlgorithms()) })
			if s.cfg.ClientCAs == nil {
				return
			}
			//lint:ignore SA1019 deprecated for pools of the system's roots, which nobody asks clients for
			if names := s.cfg.ClientCAs.Subjects(); len(names) > 0 {
				addExtension(b, extCertificateAuthorities, func(b *cryptobyte.Builder) {
					b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
						for _, name := range names {
							addBytes16(b, name)
						}
					})
				})
			}
		})
	})
}

// certificate handles the client's Certificate (section 4.4.2).
func (s *Server) certificate(msg []byte, body cryptobyte.String, now time.Time) Fault {
	m, fault := parseCertificate(body, never)
	if fault != 0 {
		return fault
	}
	s.transcript.Write(msg)
	if len(m.chain) == 0 {
		if s.cfg.ClientAuth == tls.RequireAnyClientCert || s.cfg.ClientAuth == tls.RequireAndVerifyClientCert {
			return FaultClientCertificateRequired // section 4.4.2.4
		}
		s.state = StateFinished
		return s.verifyConnection()
	}
	for _, der := range m.chain {
		s.peerDER = append(s.peerDER, bytes.Clone(der))
	}
	if fault := s.verifyClient(s.peerDER, now); fault != 0 {
		return fault
	}
	if s.cfg.VerifyPeerCertificate != nil {
		if err := s.cfg.VerifyPeerCertificate(s.peerDER, s.chains); err != nil {
			return s.failed(FaultCertificateRejected, err)
		}
	}
	s.state = StateCertificateVerify
	return 0
}

// verifyClient parses a client's certificate chain and verifies it as far as
// ClientAuth asks for it.
func (s *Server) verifyClient(chain [][]byte, now time.Time) Fault {
	peer := make([]*x509.Certificate, len(chain))
	for i, der := range chain {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return s.failed(FaultDecode, err)
		}
		if key, ok := cert.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxRSABits {
			return s.failed(FaultBadCertificate, errors.New("tls: RSA key larger than 8192 bits"))
		}
		peer[i] = cert
	}
	if fault := checkLeaf(peer[0]); fault != 0 {
		return fault
	}
	s.peer, s.chains = peer, nil
	if s.cfg.ClientAuth != tls.VerifyClientCertIfGiven && s.cfg.ClientAuth != tls.RequireAndVerifyClientCert {
		return 0
	}
	opts := x509.VerifyOptions{
		Roots:         s.cfg.ClientCAs,
		CurrentTime:   s.cfg.now(now),
		Intermediates: x509.NewCertPool(),
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, cert := range peer[1:] {
		opts.Intermediates.AddCert(cert)
	}
	chains, err := peer[0].Verify(opts)
	if err != nil {
		return s.failed(FaultCertificateVerification, err)
	}
	s.chains = chains
	return 0
}

// certificateVerify handles the client's CertificateVerify (section 4.4.3).
func (s *Server) certificateVerify(msg []byte, body cryptobyte.String) Fault {
	scheme, signature, fault := parseCertificateVerify(body)
	if fault != 0 {
		return fault
	}
	if !slices.Contains(s.cfg.signatureAlgorithms(), scheme) {
		return FaultBadSignatureAlgorithm // section 4.4.3: one that was offered
	}
	fault = verifyTranscript(s.peer[0].PublicKey, scheme, clientSignatureContext, s.transcript.Sum(nil), signature)
	if fault != 0 {
		return fault
	}
	s.transcript.Write(msg)
	s.peerSignedBy = scheme
	s.state = StateFinished
	return s.verifyConnection()
}

func (s *Server) verifyConnection() Fault {
	if s.cfg.VerifyConnection == nil {
		return 0
	}
	if err := s.cfg.VerifyConnection(s.ConnectionState()); err != nil {
		return s.failed(FaultCertificateRejected, err)
	}
	return 0
}

// never tells that no extension was asked for.
func never(uint16) bool { return false }
