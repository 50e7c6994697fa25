package handshake

import (
	"crypto/tls"
	"testing"
)

// TestLean: a lean hello with the hybrid share alone fits a SYN over IPv6, and
// what it leaves out of the usual hello is what Config.Lean says.
func TestLean(t *testing.T) {
	size := func(lean bool) int {
		c, err := NewClient(&Config{ServerName: "api.example.com", NextProtos: []string{"h2", "http/1.1"},
			KeyShares: []tls.CurveID{tls.X25519MLKEM768}, Lean: lean})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.hello.offers(extSignatureAlgorithmsCert) || len(c.hello.sessionID) > 0; got == lean {
			t.Errorf("lean %v: session id %d bytes, signature_algorithms_cert %v", lean, len(c.hello.sessionID), got)
		}
		if !c.hello.lists(extSignatureAlgorithms, uint16(tls.PKCS1WithSHA256)) == lean {
			t.Errorf("lean %v: RSA certificates with PKCS #1 signatures are not provided for", lean)
		}
		return c.HelloLen()
	}
	const ipv6 = 1400
	usual, lean := size(false), size(true)
	if usual-lean != 56 || lean > ipv6 {
		t.Errorf("%d bytes, lean %d", usual, lean)
	}
}
