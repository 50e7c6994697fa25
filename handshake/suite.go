package handshake

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"hash"

	"golang.org/x/crypto/chacha20poly1305"
)

// suite is one TLS 1.3 cipher suite (RFC 8446, appendix B.4).
type suite struct {
	id      uint16
	keyLen  int
	hash    func() hash.Hash
	hashLen int
	aead    func(key []byte) (cipher.AEAD, error)
	// maxRecords is how many records one key may protect (section 5.5: 2^24.5
	// full records for AES-GCM; ChaCha20-Poly1305 has no reachable limit). We
	// update the key well before.
	maxRecords uint64
}

// suiteByID returns the suite, or nil for one that we do not have.
func suiteByID(id uint16) *suite {
	for i := range suites {
		if suites[i].id == id {
			return &suites[i]
		}
	}
	return nil
}

// suites is never changed.
var suites = [...]suite{
	{tls.TLS_AES_128_GCM_SHA256, 16, sha256.New, sha256.Size, newGCM, 1 << 24},
	{tls.TLS_AES_256_GCM_SHA384, 32, sha512.New384, sha512.Size384, newGCM, 1 << 24},
	{tls.TLS_CHACHA20_POLY1305_SHA256, chacha20poly1305.KeySize, sha256.New, sha256.Size, chacha20poly1305.New, 1 << 62},
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// expandLabel is HKDF-Expand-Label (section 7.1).
func (s *suite) expandLabel(secret []byte, label string, context []byte, length int) []byte {
	var room [2 + 1 + 6 + 12 + 1 + sha512.Size384]byte // for all labels but those of exporters
	info := append(room[:0], byte(length>>8), byte(length), byte(6+len(label)))
	info = append(append(info, "tls13 "...), label...)
	info = append(append(info, byte(len(context))), context...)
	out, err := hkdf.Expand(s.hash, secret, string(info), length)
	if err != nil {
		// Only a length above 255 hashes gets here, and Exporter.ExportKeyingMaterial,
		// the one caller with a length from outside, refuses it before.
		panic("handshake: HKDF-Expand: " + err.Error())
	}
	return out
}

// finished computes verify_data (section 4.4.4) or a PSK binder (section
// 4.2.11.2) over a transcript hash.
func (s *suite) finished(baseKey, transcript []byte) []byte {
	key := s.expandLabel(baseKey, "finished", nil, s.hashLen)
	defer clear(key)
	mac := hmac.New(s.hash, key)
	mac.Write(transcript)
	return mac.Sum(nil)
}

// emptyHash is the hash of no message at all.
func (s *suite) emptyHash() []byte {
	if s.hashLen == sha256.Size {
		sum := sha256.Sum256(nil)
		return sum[:]
	}
	sum := sha512.Sum384(nil)
	return sum[:]
}
