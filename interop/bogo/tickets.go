package main

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/tlstfo/tlstfo/handshake"
)

// ticketKey seals sessions as the runner can open them, to change what is in
// them: under AES-128 in CBC mode and HMAC-SHA256 (RFC 5077, section 4), and in
// an encoding that begins as BoringSSL's does.
type ticketKey struct {
	name   []byte
	mac    []byte
	cipher cipher.Block
	opened bool // a ticket
}

// newTicketKey takes a key's name, the key of the HMAC and that of AES.
func newTicketKey(key []byte) (*ticketKey, error) {
	if len(key) != 48 {
		return nil, wrong("a ticket key of %d bytes", len(key))
	}
	block, err := aes.NewCipher(key[32:])
	return &ticketKey{name: key[:16], mac: key[16:32], cipher: block}, err
}

// wrap is the engine's WrapSession.
func (k *ticketKey) wrap(_ tls.ConnectionState, session *handshake.ServerSession) ([]byte, error) {
	plain, err := encodeSession(session)
	if err != nil {
		return nil, err
	}
	padding := aes.BlockSize - len(plain)%aes.BlockSize
	for range padding {
		plain = append(plain, byte(padding))
	}
	iv := make([]byte, aes.BlockSize)
	rand.Read(iv)
	cipher.NewCBCEncrypter(k.cipher, iv).CryptBlocks(plain, plain)
	ticket := slices.Concat(k.name, iv, plain)
	return append(ticket, k.sum(ticket)...), nil
}

// unwrap is the engine's UnwrapSession. The runner seals what it has changed, so
// a ticket that does not open is no reason to go on without it.
func (k *ticketKey) unwrap(ticket []byte, _ tls.ConnectionState) (*handshake.ServerSession, error) {
	in := cryptobyte.String(ticket)
	var name, iv, sealed, mac []byte
	if !in.ReadBytes(&name, len(k.name)) || !in.ReadBytes(&iv, aes.BlockSize) ||
		!in.ReadBytes(&sealed, len(in)-sha256.Size) || len(sealed) == 0 || len(sealed)%aes.BlockSize != 0 ||
		!in.ReadBytes(&mac, sha256.Size) || !hmac.Equal(mac, k.sum(ticket[:len(ticket)-len(mac)])) ||
		!bytes.Equal(name, k.name) {
		return nil, wrong("a ticket that is not under the key")
	}
	cipher.NewCBCDecrypter(k.cipher, iv).CryptBlocks(sealed, sealed)
	padding := int(sealed[len(sealed)-1])
	if padding > len(sealed) {
		return nil, wrong("a padding of %d bytes of %d", padding, len(sealed))
	}
	k.opened = true
	return decodeSession(sealed[:len(sealed)-padding])
}

func (k *ticketKey) sum(data []byte) []byte {
	h := hmac.New(sha256.New, k.mac)
	h.Write(data)
	return h.Sum(nil)
}

// encodeSession makes a SEQUENCE of the number of BoringSSL's format, version
// and cipher suite, as BoringSSL has them, and the engine's own encoding.
func encodeSession(session *handshake.ServerSession) ([]byte, error) {
	data, err := session.Bytes()
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Uint64(1)
		b.AddASN1Uint64(uint64(session.Version))
		b.AddASN1OctetString([]byte{byte(session.CipherSuite >> 8), byte(session.CipherSuite)})
		b.AddASN1OctetString(data)
	})
	return b.Bytes()
}

// decodeSession is its reverse. Version and suite are what the runner made of
// them: the engine is to judge that.
func decodeSession(plain []byte) (*handshake.ServerSession, error) {
	in := cryptobyte.String(plain)
	var list, suite, data cryptobyte.String
	var format, version uint16
	if !in.ReadASN1(&list, asn1.SEQUENCE) || !in.Empty() ||
		!list.ReadASN1Integer(&format) || !list.ReadASN1Integer(&version) ||
		!list.ReadASN1(&suite, asn1.OCTET_STRING) || !list.ReadASN1(&data, asn1.OCTET_STRING) || !list.Empty() {
		return nil, wrong("not what was sealed")
	}
	session, err := handshake.ParseServerSession(data)
	if err != nil {
		return nil, err
	}
	session.Version = version
	if !suite.ReadUint16(&session.CipherSuite) || !suite.Empty() {
		return nil, wrong("a cipher suite of another length")
	}
	return session, nil
}
