package waterfall

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
)

// The labels of a key log, in the order in which a side's keys come into use.
var (
	clientLabels = []string{"CLIENT_EARLY_TRAFFIC_SECRET", "CLIENT_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0"}
	serverLabels = []string{"SERVER_HANDSHAKE_TRAFFIC_SECRET", "SERVER_TRAFFIC_SECRET_0"}
)

// keyLog has the secrets of connections, by label and client random.
type keyLog map[string][]byte

// parseKeyLog reads lines "LABEL client_random secret". What is none is left out: its records stay encrypted.
func parseKeyLog(text []byte) keyLog {
	log := make(keyLog)
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		if secret, err := hex.DecodeString(f[2]); err == nil {
			log[f[0]+" "+strings.ToLower(f[1])] = secret
		}
	}
	return log
}

// epochs returns what opens a side's records, in the order in which the keys come into use. Those of early data are tried until a
// record does not open: where there is none, the first record is one of the handshake.
func (l keyLog) epochs(labels []string, random []byte) []*epoch {
	var all []*epoch
	for _, label := range labels {
		if secret := l[label+" "+hex.EncodeToString(random)]; secret != nil {
			all = append(all, newEpoch(label, secret))
		}
	}
	return all
}

// epoch opens the records under one traffic secret (RFC 8446, section 5.2). Which of the suites with the secret's hash it is shows
// when the first record opens.
type epoch struct {
	label   string
	ciphers []recordCipher
	seq     uint64
}

type recordCipher struct {
	aead cipher.AEAD
	iv   []byte
}

func newEpoch(label string, secret []byte) *epoch {
	e := &epoch{label: label}
	switch len(secret) {
	case sha256.Size:
		e.add(sha256.New, secret, 16, newGCM)
		e.add(sha256.New, secret, chacha20poly1305.KeySize, chacha20poly1305.New)
	case sha512.Size384:
		e.add(sha512.New384, secret, 32, newGCM)
	}
	return e
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func (e *epoch) add(h func() hash.Hash, secret []byte, size int, newAEAD func([]byte) (cipher.AEAD, error)) {
	key, err1 := expandLabel(h, secret, "key", size)
	iv, err2 := expandLabel(h, secret, "iv", 12)
	if err1 != nil || err2 != nil {
		return
	}
	if aead, err := newAEAD(key); err == nil {
		e.ciphers = append(e.ciphers, recordCipher{aead, iv})
	}
}

// expandLabel is RFC 8446, section 7.1, with an empty context.
func expandLabel(h func() hash.Hash, secret []byte, label string, n int) ([]byte, error) {
	label = "tls13 " + label
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(info, byte(len(label)))
	info = append(info, label...)
	return hkdf.Expand(h, secret, string(append(info, 0)), n)
}

// open returns a record's content type and content, if the record was sealed under this secret.
func (e *epoch) open(record []byte) (kind byte, content []byte, ok bool) {
	for _, c := range e.ciphers {
		nonce := bytes.Clone(c.iv)
		for i := range 8 {
			nonce[len(nonce)-1-i] ^= byte(e.seq >> (8 * i))
		}
		content, err := c.aead.Open(nil, nonce, record[recordHeader:], record[:recordHeader])
		if err != nil {
			continue
		}
		e.seq++
		content = bytes.TrimRight(content, "\x00") // padding
		if len(content) == 0 {
			return 0, nil, false
		}
		return content[len(content)-1], content[:len(content)-1], true
	}
	return 0, nil, false
}
