package handshake

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha256" // linked for crypto.SHA256 below
	_ "crypto/sha512" // linked for crypto.SHA384 and crypto.SHA512 below
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"io"
	"slices"
)

// defaultSignatureAlgorithms lists what crypto/tls lists, without SHA-1: the
// PKCS #1 v1.5 schemes are for signatures inside certificates only (RFC 8446,
// section 4.2.3).
func defaultSignatureAlgorithms() []tls.SignatureScheme {
	return []tls.SignatureScheme{
		tls.PSSWithSHA256,
		tls.ECDSAWithP256AndSHA256,
		tls.Ed25519,
		tls.PSSWithSHA384,
		tls.PSSWithSHA512,
		tls.PKCS1WithSHA256,
		tls.PKCS1WithSHA384,
		tls.PKCS1WithSHA512,
		tls.ECDSAWithP384AndSHA384,
		tls.ECDSAWithP521AndSHA512,
	}
}

// The context strings of CertificateVerify (section 4.4.3).
const (
	serverSignatureContext = "TLS 1.3, server CertificateVerify\x00"
	clientSignatureContext = "TLS 1.3, client CertificateVerify\x00"
)

// signedMessage is what a CertificateVerify signs (section 4.4.3).
func signedMessage(context string, transcript []byte) []byte {
	return slices.Concat(bytes.Repeat([]byte{' '}, 64), []byte(context), transcript)
}

// signatureHash returns the hash of a scheme that may stand in a
// CertificateVerify (section 4.4.3), 0 for Ed25519, which hashes itself. ok is
// false for all others, PKCS #1 v1.5 and SHA-1 among them.
func signatureHash(scheme tls.SignatureScheme) (h crypto.Hash, ok bool) {
	switch scheme {
	case tls.PSSWithSHA256, tls.ECDSAWithP256AndSHA256:
		return crypto.SHA256, true
	case tls.PSSWithSHA384, tls.ECDSAWithP384AndSHA384:
		return crypto.SHA384, true
	case tls.PSSWithSHA512, tls.ECDSAWithP521AndSHA512:
		return crypto.SHA512, true
	case tls.Ed25519:
		return 0, true
	}
	return 0, false
}

// schemesForKey lists the schemes that a public key can be used with in TLS
// 1.3, where ECDSA schemes name their curve (section 4.2.3).
func schemesForKey(pub crypto.PublicKey) []tls.SignatureScheme {
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		var schemes []tls.SignatureScheme
		for _, scheme := range []tls.SignatureScheme{tls.PSSWithSHA256, tls.PSSWithSHA384, tls.PSSWithSHA512} {
			// RFC 8017, section 9.1.1: the salt is as long as the hash.
			if h, _ := signatureHash(scheme); pub.Size() >= 2*h.Size()+2 {
				schemes = append(schemes, scheme)
			}
		}
		return schemes
	case *ecdsa.PublicKey:
		switch pub.Curve {
		case elliptic.P256():
			return []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}
		case elliptic.P384():
			return []tls.SignatureScheme{tls.ECDSAWithP384AndSHA384}
		case elliptic.P521():
			return []tls.SignatureScheme{tls.ECDSAWithP521AndSHA512}
		}
	case ed25519.PublicKey:
		return []tls.SignatureScheme{tls.Ed25519}
	}
	return nil
}

// selectScheme picks the scheme to sign with: the first of the peer's list
// that the certificate's key, and the caller's restriction of it, can do. ok is
// false when there is none.
func selectScheme(cert *tls.Certificate, peer []tls.SignatureScheme) (scheme tls.SignatureScheme, ok bool) {
	signer, isSigner := cert.PrivateKey.(crypto.Signer)
	if !isSigner {
		return 0, false
	}
	ours := schemesForKey(signer.Public())
	for _, scheme := range peer {
		if slices.Contains(ours, scheme) && (cert.SupportedSignatureAlgorithms == nil ||
			slices.Contains(cert.SupportedSignatureAlgorithms, scheme)) {
			return scheme, true
		}
	}
	return 0, false
}

// signTranscript makes the signature of a CertificateVerify.
func signTranscript(cert *tls.Certificate, scheme tls.SignatureScheme, context string, transcript []byte, rand io.Reader) ([]byte, error) {
	signer, ok := cert.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, errors.New("tls: the certificate's private key does not implement crypto.Signer")
	}
	hash, ok := signatureHash(scheme)
	if !ok {
		return nil, errors.New("tls: " + scheme.String() + " cannot sign a TLS 1.3 handshake")
	}
	message := signedMessage(context, transcript)
	if hash == 0 {
		return signer.Sign(rand, message, crypto.Hash(0))
	}
	var opts crypto.SignerOpts = hash
	if _, isRSA := signer.Public().(*rsa.PublicKey); isRSA {
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
	}
	return signer.Sign(rand, digest(hash, message), opts)
}

// verifyTranscript checks the signature of a CertificateVerify, whose algorithm
// the caller found among those that this side offered. One that does not fit the
// key, or TLS 1.3, is FaultBadSignatureAlgorithm (section 4.4.3).
func verifyTranscript(pub crypto.PublicKey, scheme tls.SignatureScheme, context string, transcript, signature []byte) Fault {
	hash, ok := signatureHash(scheme)
	if !ok || !slices.Contains(schemesForKey(pub), scheme) {
		return FaultBadSignatureAlgorithm
	}
	message := signedMessage(context, transcript)
	valid := false
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		opts := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
		valid = rsa.VerifyPSS(pub, hash, digest(hash, message), signature, opts) == nil
	case *ecdsa.PublicKey:
		valid = ecdsa.VerifyASN1(pub, digest(hash, message), signature)
	case ed25519.PublicKey:
		valid = ed25519.Verify(pub, message, signature)
	}
	if !valid {
		return FaultBadSignature
	}
	return 0
}

func digest(hash crypto.Hash, message []byte) []byte {
	h := hash.New()
	h.Write(message)
	return h.Sum(nil)
}

// checkLeaf checks that a peer's leaf certificate can sign a handshake: its
// key is of a type that we verify, and its keyUsage, where there is one, has
// digitalSignature (section 4.4.2.2).
func checkLeaf(leaf *x509.Certificate) Fault {
	if len(schemesForKey(leaf.PublicKey)) == 0 {
		return FaultUnsupportedCertificateKey
	}
	if leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 && hasKeyUsage(leaf) {
		return FaultBadCertificateKeyUsage
	}
	return 0
}

// hasKeyUsage tells a keyUsage that allows nothing from none: x509 has 0 for
// both.
func hasKeyUsage(cert *x509.Certificate) bool {
	return cert.KeyUsage != 0 || slices.ContainsFunc(cert.Extensions, func(e pkix.Extension) bool {
		return e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 15})
	})
}
