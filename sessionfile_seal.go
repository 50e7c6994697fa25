package tlstfo

import (
	"cmp"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/tlstfo/tlstfo/handshake"
)

const (
	sealVersion   = 1
	maxSealedSize = 1 + chacha20poly1305.NonceSizeX + maxSessionSize + chacha20poly1305.Overhead

	hexMillisLen = 12 // enough for 8900 years
	keyHashLen   = 32
	idHashLen    = 16
)

// A sessionSeal names and seals the files of a folder under one key.
//
// A sealed file is a version byte, a random nonce of 24 bytes, and the encoded session under XChaCha20-Poly1305. The version and
// the name of the file are its associated data, so a file that was renamed (to another host, to a later expiry) does not open.
type sessionSeal struct {
	names []byte
	aead  cipher.AEAD
	certs handshake.CertificateCache // a folder has many tickets of the same servers
}

func newSessionSeal(key []byte) (*sessionSeal, error) {
	names, err := hkdf.Key(sha256.New, key, nil, "tlstfo session file names", sha256.Size)
	if err != nil {
		return nil, err
	}
	contents, err := hkdf.Key(sha256.New, key, nil, "tlstfo session file contents", chacha20poly1305.KeySize)
	if err != nil {
		return nil, err
	}
	aead, err := chacha20poly1305.NewX(contents)
	if err != nil {
		return nil, err
	}
	return &sessionSeal{names: names, aead: aead}, nil
}

// A sessionName is the name of a sealed file: "key.received.expiry.id", all in hexadecimal of fixed length. The times, in Unix
// milliseconds, let it be put in order and swept unopened.
type sessionName struct {
	key      string // of the cache, hashed
	received string
	expiry   string
	id       string // of the ticket, hashed
}

func (n sessionName) String() string { return n.key + "." + n.received + "." + n.expiry + "." + n.id }

// newestFirst sorts by the time of receipt; the rest only makes the order the same for all.
func newestFirst(files []sessionName) {
	slices.SortFunc(files, func(a, b sessionName) int {
		return cmp.Or(strings.Compare(b.received, a.received), strings.Compare(b.expiry, a.expiry), strings.Compare(b.id, a.id))
	})
}

func (n sessionName) expired(now stamp) bool {
	expiry, ok := parseHexMillis(n.expiry)
	return !ok || !now.wall.Before(expiry)
}

func (x *sessionSeal) name(key string, s *Session) sessionName {
	return sessionName{
		key:      x.key(key),
		received: hexMillis(s.received.wall),
		expiry:   hexMillis(s.expiry()),
		id:       x.hash("ticket", s.hs.Ticket)[:idHashLen],
	}
}

// key is what stands for a key of the cache in names of files.
func (x *sessionSeal) key(key string) string { return x.hash("key", []byte(key))[:keyHashLen] }

func (x *sessionSeal) hash(kind string, b []byte) string {
	h := hmac.New(sha256.New, x.names)
	h.Write([]byte(kind))
	h.Write([]byte{0})
	h.Write(b)
	return hex.EncodeToString(h.Sum(nil))
}

// close seals s for the file of the given name.
func (x *sessionSeal) close(n sessionName, s *Session) ([]byte, error) {
	plain, err := s.MarshalBinary()
	if err != nil {
		return nil, err
	}
	out := make([]byte, 1+chacha20poly1305.NonceSizeX, maxSealedSize-maxSessionSize+len(plain))
	out[0] = sealVersion
	nonce := out[1:]
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return x.aead.Seal(out, nonce, plain, sealData(n)), nil
}

// open is the inverse of close. Its errors match ErrSessionCorrupt.
func (x *sessionSeal) open(n sessionName, sealed []byte) (*Session, error) {
	const header = 1 + chacha20poly1305.NonceSizeX
	if len(sealed) < header || sealed[0] != sealVersion {
		return nil, fmt.Errorf("%w: no sealed session of version %d", ErrSessionCorrupt, sealVersion)
	}
	plain, err := x.aead.Open(nil, sealed[1:header], sealed[header:], sealData(n))
	if err != nil {
		return nil, fmt.Errorf("%w: its seal is broken", ErrSessionCorrupt)
	}
	return parseSession(plain, &x.certs)
}

func sealData(n sessionName) []byte {
	return append([]byte{sealVersion}, n.String()...)
}

func parseSessionName(name string) (n sessionName, ok bool) {
	parts := [...]struct {
		to  *string
		len int
	}{{&n.key, keyHashLen}, {&n.received, hexMillisLen}, {&n.expiry, hexMillisLen}, {&n.id, idHashLen}}
	for i, p := range parts {
		if i > 0 {
			if len(name) == 0 || name[0] != '.' {
				return sessionName{}, false
			}
			name = name[1:]
		}
		if len(name) < p.len || !isLowerHex(name[:p.len]) {
			return sessionName{}, false
		}
		*p.to, name = name[:p.len], name[p.len:]
	}
	return n, name == ""
}

func isLowerHex(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// hexMillis is t in Unix milliseconds, held within what its length can say, so that names sort as times do.
func hexMillis(t time.Time) string {
	const limit = 1<<(4*hexMillisLen) - 1
	return fmt.Sprintf("%0*x", hexMillisLen, min(max(t.UnixMilli(), 0), limit))
}

func parseHexMillis(s string) (time.Time, bool) {
	if len(s) != hexMillisLen || !isLowerHex(s) {
		return time.Time{}, false
	}
	ms, err := strconv.ParseInt(s, 16, 64)
	return time.UnixMilli(ms), err == nil
}
