package tlstfo

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"sync"
)

// lockedBuffer is a buffer for several goroutines: a key log, the bytes on a wire.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// take returns what was written, and forgets it.
func (l *lockedBuffer) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.b.Reset()
	return l.b.String()
}

// tappedConn is a server's connection, of which another has what comes in.
type tappedConn struct {
	net.Conn
	tap *lockedBuffer
}

func (c *tappedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.tap.Write(p[:n])
	return n, err
}

// earlyOnWire decrypts what a client sent under the early key that the key log
// has, and returns the application data of it, and whether EndOfEarlyData came
// behind it. That nothing left in plaintext but hellos it sees too.
func earlyOnWire(wire []byte, keyLog string) (data []byte, ended bool, err error) {
	const (
		ccs, handshake, application = 20, 22, 23
		clientHello, endOfEarlyData = 1, 5
	)
	const random = 5 + 4 + 2 // in the first record
	if len(wire) < random+32 {
		return nil, false, fmt.Errorf("%d bytes on the wire", len(wire))
	}
	var early *earlyKey
	for line := range strings.Lines(keyLog) {
		f := strings.Fields(line)
		if len(f) == 3 && f[0] == "CLIENT_EARLY_TRAFFIC_SECRET" && f[1] == hex.EncodeToString(wire[random:random+32]) {
			if early, err = newEarlyKey(f[2]); err != nil {
				return nil, false, err
			}
		}
	}
	for len(wire) > 0 {
		if len(wire) < 5 || len(wire) < 5+int(binary.BigEndian.Uint16(wire[3:])) {
			return data, ended, fmt.Errorf("a record is cut: % x", wire)
		}
		n := 5 + int(binary.BigEndian.Uint16(wire[3:]))
		record := wire[:n]
		wire = wire[n:]
		switch typ := record[0]; {
		case typ == ccs && n == 6, typ == handshake && record[5] == clientHello:
			continue
		case typ != application:
			return data, ended, fmt.Errorf("a record in plaintext: % x", record)
		}
		if early == nil {
			continue
		}
		inner, ok := early.open(record)
		if !ok {
			continue // under a later key
		}
		typ, content := inner[len(inner)-1], inner[:len(inner)-1]
		switch {
		case ended:
			return data, ended, fmt.Errorf("behind EndOfEarlyData: % x", inner)
		case typ == application:
			data = append(data, content...)
		case typ == handshake && bytes.Equal(content, []byte{endOfEarlyData, 0, 0, 0}):
			ended = true
		default:
			return data, ended, fmt.Errorf("under the early key: % x", inner)
		}
	}
	return data, ended, nil
}

// earlyKey is the key of client_early_traffic_secret (RFC 8446, section 7.3),
// with TLS_AES_128_GCM_SHA256.
type earlyKey struct {
	aead cipher.AEAD
	iv   []byte
	seq  uint64
}

func newEarlyKey(secret string) (*earlyKey, error) {
	raw, err := hex.DecodeString(secret)
	if err != nil {
		return nil, err
	}
	expand := func(label string, n int) []byte { // HKDF-Expand-Label (section 7.1)
		label = "tls13 " + label
		info := append([]byte{0, byte(n), byte(len(label))}, label...)
		out, expandErr := hkdf.Expand(sha256.New, raw, string(append(info, 0)), n)
		if expandErr != nil {
			err = expandErr
		}
		return out
	}
	key, iv := expand("key", 16), expand("iv", 12)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	return &earlyKey{aead: aead, iv: iv}, err
}

// open opens the next record. One that is under another key does not count.
func (k *earlyKey) open(record []byte) (inner []byte, ok bool) {
	nonce := bytes.Clone(k.iv)
	binary.BigEndian.PutUint64(nonce[4:], binary.BigEndian.Uint64(nonce[4:])^k.seq)
	inner, err := k.aead.Open(nil, nonce, record[5:], record[:5])
	if err != nil || len(inner) == 0 {
		return nil, false
	}
	k.seq++
	return inner, true
}
