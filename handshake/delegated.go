package handshake

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// delegatedCredential is a DelegatedCredential (RFC 9345, section 4). It
// aliases the message.
type delegatedCredential struct {
	credential []byte        // what is signed, together with algorithm
	validTime  time.Duration // after the certificate's notBefore
	verify     tls.SignatureScheme
	publicKey  []byte // SubjectPublicKeyInfo, DER
	algorithm  tls.SignatureScheme
	signature  []byte
}

func parseDelegatedCredential(data cryptobyte.String) (d *delegatedCredential, ok bool) {
	d = new(delegatedCredential)
	whole := data
	var seconds uint32
	var key, signature cryptobyte.String
	if !data.ReadUint32(&seconds) || !data.ReadUint16((*uint16)(&d.verify)) || !data.ReadUint24LengthPrefixed(&key) || key.Empty() {
		return nil, false
	}
	d.credential = whole[:len(whole)-len(data)]
	if !data.ReadUint16((*uint16)(&d.algorithm)) || !data.ReadUint16LengthPrefixed(&signature) || !data.Empty() {
		return nil, false
	}
	d.validTime, d.publicKey, d.signature = time.Duration(seconds)*time.Second, key, signature
	return d, true
}

// delegationUsage is the extension of a certificate that may delegate (section
// 4.2).
var delegationUsage = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 44363, 44}

// maxCredentialLife is how long a credential may still be valid (section 4.1.3).
const maxCredentialLife = 7 * 24 * time.Hour

// serverCredentialContext is what a server's credential is signed with (section
// 4).
const serverCredentialContext = "TLS, server delegated credentials\x00"

// validate checks a credential of the server whose certificate was verified, and
// returns its public key. offered are the algorithms of our delegated_credential
// extension, signatures those of signature_algorithms.
func (d *delegatedCredential) validate(leaf *x509.Certificate, now time.Time, offered, signatures []tls.SignatureScheme) (crypto.PublicKey, error) {
	expiry := leaf.NotBefore.Add(d.validTime)
	switch {
	case now.After(expiry): // section 4.1.3, check 1
		return nil, errors.New("tls: the delegated credential has expired")
	case expiry.Sub(now) > maxCredentialLife || !expiry.Before(leaf.NotAfter): // check 2
		return nil, errors.New("tls: the delegated credential is valid for too long")
	case !slices.Contains(offered, d.verify): // check 3, and section 4.1.1
		return nil, errors.New("tls: the delegated credential is for an algorithm that was not offered")
	case !slices.ContainsFunc(leaf.Extensions, isDelegationUsage): // check 4
		return nil, errors.New("tls: the certificate may not delegate")
	case leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0: // check 4
		return nil, errors.New("tls: the certificate may not sign a delegated credential")
	case !slices.Contains(signatures, d.algorithm): // section 4.1.1
		return nil, errors.New("tls: the delegated credential is signed by an algorithm that was not offered")
	}
	// An RSA key may decrypt in TLS 1.2 somewhere, and who can abuse that can forge a
	// credential (section 7.6). Nobody who delegates needs one.
	switch leaf.PublicKey.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey:
	default:
		return nil, errors.New("tls: the delegated credential is not signed by an elliptic curve key")
	}
	// Check 5. The message is that of CertificateVerify, with a context of its own.
	signed := slices.Concat(leaf.Raw, d.credential, []byte{byte(d.algorithm >> 8), byte(d.algorithm)})
	fault := verifyTranscript(leaf.PublicKey, d.algorithm, serverCredentialContext, signed, d.signature)
	if fault != 0 {
		return nil, fault
	}
	key, err := x509.ParsePKIXPublicKey(bytes.Clone(d.publicKey))
	if err != nil {
		return nil, err
	}
	// Section 4.1.1: no key with the rsaEncryption OID, and RSASSA-PSS keys Go has not.
	switch key.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey:
	default:
		return nil, errors.New("tls: the delegated credential has no elliptic curve key")
	}
	return key, nil
}

func isDelegationUsage(e pkix.Extension) bool { return e.Id.Equal(delegationUsage) }

// delegate takes the credential that came with the server's certificate, which was
// verified (section 4.1.3).
func (c *Client) delegate(d *delegatedCredential, now time.Time) Fault {
	data, _ := c.hello.extension(extDelegatedCredential)
	offered, _ := readAlgorithms(&data)
	data, _ = c.hello.extension(extSignatureAlgorithms)
	signatures, _ := readAlgorithms(&data)
	key, err := d.validate(c.info.peer[0], c.cfg.now(now), offered, signatures)
	if err != nil {
		return c.because(FaultBadDelegatedCredential, err)
	}
	c.delegated, c.delegatedScheme = key, d.verify
	c.info.credentialExpiry = c.info.peer[0].NotBefore.Add(d.validTime)
	return 0
}
