package handshake

import (
	"bytes"
	"crypto/x509"
	"runtime"
	"sync"
	"weak"
)

// CertificateCache shares parsed certificates between connections: parsing
// one costs more than the rest of a handshake's bookkeeping, and idle
// connections to one server would each hold a copy. It keeps nothing alive. The
// zero value is ready; a nil cache parses every time. It is safe for concurrent
// use and must not be copied.
type CertificateCache struct {
	certs sync.Map // DER as string -> weak.Pointer[x509.Certificate]
}

// parse returns the certificate, which may be shared and must not be changed.
// It does not keep der.
func (c *CertificateCache) parse(der []byte) (*x509.Certificate, error) {
	if c == nil {
		return x509.ParseCertificate(bytes.Clone(der))
	}
	if cert := c.load(der); cert != nil {
		return cert, nil
	}
	cert, err := x509.ParseCertificate(bytes.Clone(der))
	if err != nil {
		return nil, err
	}
	key, pointer := string(der), weak.Make(cert)
	c.certs.Store(key, pointer)
	runtime.AddCleanup(cert, func(key string) { c.certs.CompareAndDelete(key, pointer) }, key)
	return cert, nil
}

func (c *CertificateCache) load(der []byte) *x509.Certificate {
	if p, ok := c.certs.Load(string(der)); ok {
		return p.(weak.Pointer[x509.Certificate]).Value()
	}
	return nil
}
