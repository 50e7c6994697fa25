package handshake

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"slices"
	"testing"
)

func testKeys(t *testing.T) map[string]crypto.Signer {
	t.Helper()
	keys := make(map[string]crypto.Signer)
	for _, curve := range []elliptic.Curve{elliptic.P224(), elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		keys[curve.Params().Name] = key
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	keys["Ed25519"], keys["RSA"] = ed, rsaKey
	return keys
}

// RFC 8446, section 4.4.3: what is signed, by which schemes, and that nothing
// else verifies.
func TestSignature(t *testing.T) {
	all := append(defaultSignatureAlgorithms(), tls.PKCS1WithSHA1, tls.ECDSAWithSHA1)
	transcript := []byte("transcript hash")
	want := map[string][]tls.SignatureScheme{
		"P-224":   nil,
		"P-256":   {tls.ECDSAWithP256AndSHA256},
		"P-384":   {tls.ECDSAWithP384AndSHA384},
		"P-521":   {tls.ECDSAWithP521AndSHA512},
		"Ed25519": {tls.Ed25519},
		"RSA":     {tls.PSSWithSHA256, tls.PSSWithSHA384, tls.PSSWithSHA512},
	}
	for name, key := range testKeys(t) {
		cert := &tls.Certificate{PrivateKey: key}
		for _, scheme := range all {
			can := slices.Contains(want[name], scheme)
			if got, ok := selectScheme(cert, []tls.SignatureScheme{scheme}); ok != can || ok && got != scheme {
				t.Errorf("%s: selectScheme(%v) = %v, %v", name, scheme, got, ok)
			}
			if !can {
				if f := verifyTranscript(key.Public(), scheme, clientSignatureContext, transcript, nil); f != FaultBadSignatureAlgorithm {
					t.Errorf("%s verifies %v: %v", name, scheme, f)
				}
				continue
			}
			sig, err := signTranscript(cert, scheme, serverSignatureContext, transcript, rand.Reader)
			if err != nil {
				t.Fatalf("%s: %v: %v", name, scheme, err)
			}
			verify := func(context, transcript string, sig []byte) Fault {
				return verifyTranscript(key.Public(), scheme, context, []byte(transcript), sig)
			}
			if f := verify(serverSignatureContext, "transcript hash", sig); f != 0 {
				t.Errorf("%s: %v: %v", name, scheme, f)
			}
			if f := verify(clientSignatureContext, "transcript hash", sig); f != FaultBadSignature {
				t.Errorf("%s: %v: the client's context: %v", name, scheme, f)
			}
			if f := verify(serverSignatureContext, "another hash", sig); f != FaultBadSignature {
				t.Errorf("%s: %v: another transcript: %v", name, scheme, f)
			}
			sig[len(sig)-1] ^= 1
			if f := verify(serverSignatureContext, "transcript hash", sig); f != FaultBadSignature {
				t.Errorf("%s: %v: a changed signature: %v", name, scheme, f)
			}
		}
	}
}

func TestSignatureSelection(t *testing.T) {
	key := testKeys(t)["RSA"]
	peer := []tls.SignatureScheme{tls.PKCS1WithSHA256, tls.PSSWithSHA512, tls.PSSWithSHA256}
	cert := &tls.Certificate{PrivateKey: key}
	if got, ok := selectScheme(cert, peer); !ok || got != tls.PSSWithSHA512 {
		t.Errorf("the peer's first choice: %v, %v", got, ok)
	}
	cert.SupportedSignatureAlgorithms = []tls.SignatureScheme{tls.PSSWithSHA256}
	if got, ok := selectScheme(cert, peer); !ok || got != tls.PSSWithSHA256 {
		t.Errorf("the caller's restriction: %v, %v", got, ok)
	}
	cert.SupportedSignatureAlgorithms = []tls.SignatureScheme{}
	if got, ok := selectScheme(cert, peer); ok {
		t.Errorf("an empty restriction: %v", got)
	}
	for _, bad := range []*tls.Certificate{{}, {PrivateKey: "no signer"}} {
		if _, ok := selectScheme(bad, peer); ok {
			t.Error("a key that cannot sign was chosen")
		}
		if _, err := signTranscript(bad, tls.PSSWithSHA256, serverSignatureContext, nil, rand.Reader); err == nil {
			t.Error("a key that cannot sign signed")
		}
	}
	if _, err := signTranscript(cert, tls.PKCS1WithSHA256, serverSignatureContext, nil, rand.Reader); err == nil {
		t.Error("PKCS #1 v1.5 signed a handshake")
	}
	small := &rsa.PublicKey{N: key.Public().(*rsa.PublicKey).N, E: 65537}
	small.N = small.N.Rsh(small.N, 2048-1024) // 1024 bits: too small for PSS with SHA-512
	if schemes := schemesForKey(small); slices.Contains(schemes, tls.PSSWithSHA512) || len(schemes) != 2 {
		t.Errorf("schemes of a 1024-bit key: %v", schemes)
	}
}

// RFC 8446, section 4.4.2.2: keyUsage, where present, must allow signatures.
func TestCheckLeaf(t *testing.T) {
	keys := testKeys(t)
	for _, c := range []struct {
		key   string
		usage x509.KeyUsage
		want  Fault
	}{
		{"P-256", 0, 0},
		{"RSA", x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, 0},
		{"RSA", x509.KeyUsageKeyEncipherment, FaultBadCertificateKeyUsage},
		{"P-224", 0, FaultUnsupportedCertificateKey},
	} {
		leaf := &x509.Certificate{PublicKey: keys[c.key].Public(), KeyUsage: c.usage}
		if got := checkLeaf(leaf); got != c.want {
			t.Errorf("%s with usage %d: %v, want %v", c.key, c.usage, got, c.want)
		}
	}
}
