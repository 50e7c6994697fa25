package handshake

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"testing"
)

// The RSA keys of a client that a server looks at, at the limit and one bit past
// it, whichever certificate of the chain has them.
func TestServerRSALimit(t *testing.T) {
	ca := newAuthority(t)
	der := func(bits uint) []byte {
		n := new(big.Int).SetBit(big.NewInt(1), int(bits)-1, 1)
		template := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: ca.cert.NotBefore, NotAfter: ca.cert.NotAfter}
		der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, &rsa.PublicKey{N: n, E: 65537}, ca.key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	small := ca.issue(t, newKey(t, "ECDSA"), nil).Certificate[0]
	for _, c := range []struct {
		name  string
		chain [][]byte
		fault Fault
	}{
		{"at the limit", [][]byte{der(maxRSABits)}, 0},
		{"behind a leaf, at the limit", [][]byte{small, der(maxRSABits)}, 0},
		{"too large", [][]byte{der(maxRSABits + 1)}, FaultBadCertificate},
		{"behind a leaf, too large", [][]byte{small, der(maxRSABits + 1)}, FaultBadCertificate},
	} {
		cfg, client, _ := serverSetup(t)
		cfg.ClientAuth = tls.RequireAnyClientCert
		s := scripted(t, cfg, client, "")
		msg, err := marshalCertificate(&tls.Certificate{Certificate: c.chain}, false, false)
		if err != nil {
			t.Fatal(err)
		}
		records := s.seal(recordHandshake, msg...)
		if c.fault != 0 {
			failsWith(t, c.name, s.s, testTime, records, c.fault, StateCertificate)
			continue
		}
		s.s.Feed(records)
		if _, err := s.s.Next(testTime); err != nil || s.s.State() != StateCertificateVerify {
			t.Errorf("%s: %v, %v", c.name, err, s.s.State())
		}
	}
}
