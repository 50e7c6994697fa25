package handshake

import (
	"crypto/sha256"
	"crypto/tls"
	"errors"

	"golang.org/x/crypto/cryptobyte"
)

// clientCertificate answers a CertificateRequest: Certificate, empty where
// there is none that fits, and CertificateVerify behind one that is not empty
// (sections 4.4.2 and 4.4.3).
func (c *Client) clientCertificate() ([]byte, Fault) {
	cert, err := c.selectCertificate()
	if err != nil {
		return nil, c.because(FaultClientCertificateCallback, err)
	}
	flight, err := marshalCertificate(cert, c.request.ocsp, c.request.sct)
	if err != nil {
		return nil, c.because(FaultInternal, err)
	}
	c.transcript.Write(flight)
	if len(cert.Certificate) == 0 {
		return flight, 0
	}
	scheme, ok := selectScheme(cert, c.request.algorithms)
	if !ok {
		return nil, FaultNoUsableClientCertificate
	}
	signature, err := signTranscript(cert, scheme, clientSignatureContext, c.transcriptSum(), c.cfg.random())
	if err != nil {
		return nil, c.because(FaultInternal, err)
	}
	verify, err := marshalCertificateVerify(scheme, signature)
	if err != nil {
		return nil, c.because(FaultInternal, err)
	}
	c.transcript.Write(verify)
	c.info.clientSum = ChainSum(cert.Certificate)
	return append(flight, verify...), 0
}

// selectCertificate chooses as crypto/tls does.
func (c *Client) selectCertificate() (*tls.Certificate, error) {
	list := cryptobyte.String(c.request.authorities)
	authorities, _ := readAuthorities(&list) // checked already; none is there if there is no extension
	request := &tls.CertificateRequestInfo{
		AcceptableCAs:    authorities,
		SignatureSchemes: c.request.algorithms,
		Version:          versionTLS13,
	}
	if get := c.cfg.GetClientCertificate; get != nil {
		cert, err := get(request)
		if err == nil && cert == nil {
			err = errors.New("tls: GetClientCertificate returned neither a certificate nor an error")
		}
		return cert, err
	}
	for i := range c.cfg.Certificates {
		if request.SupportsCertificate(&c.cfg.Certificates[i]) == nil {
			return &c.cfg.Certificates[i], nil
		}
	}
	return new(tls.Certificate), nil
}

// ChainSum identifies a client's certificate chain: SHA-256 over its DER, one
// certificate after the other. Session.ClientCertificate is such a sum.
func ChainSum(chain [][]byte) []byte {
	h := sha256.New()
	for _, der := range chain {
		h.Write(der)
	}
	return h.Sum(nil)
}
