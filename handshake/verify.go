package handshake

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"time"
)

// maxRSABits bounds the work that a certificate can make us do, as in
// crypto/tls.
const maxRSABits = 8192

// verifyServer parses the server's chain and verifies it as crypto/tls does.
func (c *Client) verifyServer(m certificateMessage, now time.Time) Fault {
	certs := make([]*x509.Certificate, len(m.chain))
	for i, der := range m.chain {
		cert, err := c.cfg.CertificateCache.parse(der)
		if err != nil {
			return c.because(FaultDecode, err)
		}
		if key, ok := cert.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxRSABits {
			return c.because(FaultBadCertificate, errors.New("tls: RSA key larger than 8192 bits"))
		}
		certs[i] = cert
	}
	if fault := checkLeaf(certs[0]); fault != 0 {
		return fault
	}
	if !c.cfg.InsecureSkipVerify {
		options := x509.VerifyOptions{
			Roots:         c.cfg.RootCAs,
			CurrentTime:   c.cfg.now(now),
			DNSName:       c.cfg.ServerName,
			Intermediates: x509.NewCertPool(),
		}
		for _, cert := range certs[1:] {
			options.Intermediates.AddCert(cert)
		}
		verified, err := certs[0].Verify(options)
		if err != nil {
			return c.because(FaultCertificateVerification,
				&tls.CertificateVerificationError{UnverifiedCertificates: certs, Err: err})
		}
		c.info.chains = verified
	}
	c.info.peer = certs
	if m.delegated != nil {
		if fault := c.delegate(m.delegated, now); fault != 0 {
			return fault
		}
	}
	if verify := c.cfg.VerifyPeerCertificate; verify != nil {
		raw := make([][]byte, len(certs)) // the caller may keep it: not the receive buffer
		for i, cert := range certs {
			raw[i] = cert.Raw
		}
		if err := verify(raw, c.info.chains); err != nil {
			return c.because(FaultCertificateRejected, err)
		}
	}
	return c.verifyConnection()
}

// verifyConnection asks the caller about a full or a resumed handshake.
func (c *Client) verifyConnection() Fault {
	if c.cfg.VerifyConnection == nil {
		return 0
	}
	if err := c.cfg.VerifyConnection(c.ConnectionState()); err != nil {
		return c.because(FaultCertificateRejected, err)
	}
	return 0
}
