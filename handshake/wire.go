package handshake

import (
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// messageType is a handshake message's type (RFC 8446, section 4).
type messageType uint8

const (
	typeClientHello         messageType = 1
	typeServerHello         messageType = 2
	typeNewSessionTicket    messageType = 4
	typeEndOfEarlyData      messageType = 5
	typeEncryptedExtensions messageType = 8
	typeCertificate         messageType = 11
	typeCertificateRequest  messageType = 13
	typeCertificateVerify   messageType = 15
	typeFinished            messageType = 20
	typeKeyUpdate           messageType = 24
	typeCompressed          messageType = 25 // CompressedCertificate (RFC 8879, section 4)
	typeMessageHash         messageType = 254
)

const messageHeaderLen = 4

// The extensions that this package knows (RFC 8446, section 4.2, and the RFCs
// named there).
const (
	extServerName              uint16 = 0
	extStatusRequest           uint16 = 5
	extSupportedGroups         uint16 = 10
	extSignatureAlgorithms     uint16 = 13
	extALPN                    uint16 = 16
	extSCT                     uint16 = 18
	extPadding                 uint16 = 21
	extCompressCertificate     uint16 = 27 // RFC 8879
	extRecordSizeLimit         uint16 = 28 // RFC 8449
	extDelegatedCredential     uint16 = 34 // RFC 9345
	extPreSharedKey            uint16 = 41
	extEarlyData               uint16 = 42
	extSupportedVersions       uint16 = 43
	extCookie                  uint16 = 44
	extPSKModes                uint16 = 45
	extCertificateAuthorities  uint16 = 47
	extSignatureAlgorithmsCert uint16 = 50
	extKeyShare                uint16 = 51
	extALPSOld                 uint16 = 17513  // draft-vvv-tls-alps, which has no number of its own
	extALPS                    uint16 = 17613  // the same, as browsers have it since 2025
	extECH                     uint16 = 0xfe0d // RFC 9849: offered as GREASE only
)

const (
	versionTLS12 = 0x0303 // legacy_version (section 4.1.2)
	versionTLS13 = 0x0304

	pskModeKE  = 0 // psk_ke (section 4.2.9)
	pskModeDHE = 1 // psk_dhe_ke
)

// extension is one extension of a message. data aliases the message.
type extension struct {
	typ  uint16
	data []byte
}

// readExtensions reads an extension list with its length prefix. A malformed
// list is FaultDecode; one type twice is FaultDuplicateExtension (section 4.2).
func readExtensions(s *cryptobyte.String) ([]extension, Fault) {
	var list cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&list) {
		return nil, FaultDecode
	}
	var exts []extension
	for !list.Empty() {
		var e extension
		var data cryptobyte.String
		if !list.ReadUint16(&e.typ) || !list.ReadUint16LengthPrefixed(&data) {
			return nil, FaultDecode
		}
		e.data = data
		exts = append(exts, e)
	}
	if repeats(exts, func(e extension) uint16 { return e.typ }) {
		return nil, FaultDuplicateExtension
	}
	return exts, 0
}

// repeats tells whether two elements have the same id. A message has room for
// 16 thousand of them, so only short lists are compared each with each.
func repeats[T any](list []T, id func(T) uint16) bool {
	if len(list) <= 32 {
		for i := range list {
			for j := range i {
				if id(list[i]) == id(list[j]) {
					return true
				}
			}
		}
		return false
	}
	ids := make([]uint16, len(list))
	for i := range list {
		ids[i] = id(list[i])
	}
	slices.Sort(ids)
	return len(slices.Compact(ids)) < len(list)
}

// buildMessage makes a handshake message: its header, and the body that f adds.
func buildMessage(typ messageType, f func(b *cryptobyte.Builder)) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddUint8(uint8(typ))
	b.AddUint24LengthPrefixed(f)
	return b.Bytes()
}

// messageHash is the synthetic message that stands for the first ClientHello
// in the transcript after HelloRetryRequest (section 4.4.1).
func messageHash(sum []byte) []byte {
	return append([]byte{byte(typeMessageHash), 0, 0, byte(len(sum))}, sum...)
}

// helloRetryRandom is the Random that makes a ServerHello a HelloRetryRequest
// (section 4.1.3): SHA-256 of "HelloRetryRequest".
var helloRetryRandom = [32]byte{
	0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
	0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
}

// addTime adds milliseconds since 1970; 0 is the zero time.
func addTime(b *cryptobyte.Builder, t time.Time) {
	if t.IsZero() {
		b.AddUint64(0)
		return
	}
	b.AddUint64(uint64(t.UnixMilli()))
}

func readTime(s *cryptobyte.String, t *time.Time) bool {
	var ms uint64
	if !s.ReadUint64(&ms) {
		return false
	}
	if ms != 0 {
		*t = time.UnixMilli(int64(ms))
	}
	return ms == 0 || !t.IsZero() // addTime has one form of the zero time
}

func addBytes8(b *cryptobyte.Builder, data []byte) {
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(data) })
}

func addBytes16(b *cryptobyte.Builder, data []byte) {
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(data) })
}

func addBytes24(b *cryptobyte.Builder, data []byte) {
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(data) })
}

// The readBytes functions give nil for an empty vector.

func readBytes8(s *cryptobyte.String, out *[]byte) bool {
	var v cryptobyte.String
	ok := s.ReadUint8LengthPrefixed(&v)
	return ok && setBytes(out, v)
}

func readBytes16(s *cryptobyte.String, out *[]byte) bool {
	var v cryptobyte.String
	ok := s.ReadUint16LengthPrefixed(&v)
	return ok && setBytes(out, v)
}

func readBytes24(s *cryptobyte.String, out *[]byte) bool {
	var v cryptobyte.String
	ok := s.ReadUint24LengthPrefixed(&v)
	return ok && setBytes(out, v)
}

func setBytes(out *[]byte, v cryptobyte.String) bool {
	if len(v) > 0 {
		*out = v[:len(v):len(v)]
	}
	return true
}
