package handshake

import (
	"crypto/cipher"
	"encoding/binary"
)

// recordType is a record's content type (RFC 8446, section 5.1).
type recordType uint8

const (
	recordCCS         recordType = 20
	recordAlert       recordType = 21
	recordHandshake   recordType = 22
	recordApplication recordType = 23
)

const (
	recordHeaderLen = 5
	maxPlaintext    = 1 << 14                  // TLSPlaintext.length (section 5.1)
	maxCiphertext   = maxPlaintext + 256       // TLSCiphertext.length (section 5.2)
	recordOverhead  = recordHeaderLen + 1 + 16 // header, inner type and tag: what protection adds
)

// appendPlaintext appends unprotected records that carry data.
func appendPlaintext(dst []byte, typ recordType, version uint16, data []byte) []byte {
	for first := true; first || len(data) > 0; first = false {
		n := min(len(data), maxPlaintext)
		dst = append(dst, byte(typ), byte(version>>8), byte(version), byte(n>>8), byte(n))
		dst = append(dst, data[:n]...)
		data = data[n:]
	}
	return dst
}

// protector protects the records of one direction under one traffic secret
// (section 5.2). It is not safe for concurrent use.
type protector struct {
	suite  *suite
	secret []byte
	aead   cipher.AEAD
	iv     [12]byte // and, while a record is sealed or opened, its nonce
	limit  uint16   // of what a record that is opened has inside; 0: what TLS allows
	seq    uint64
}

func newProtector(s *suite, secret []byte) (*protector, error) {
	p := &protector{suite: s}
	return p, p.rekey(secret)
}

// rekey sets a new secret and starts the sequence numbers anew (section 5.3).
// The secret now belongs to the protector; the old one is cleared.
func (p *protector) rekey(secret []byte) error {
	key := p.suite.expandLabel(secret, "key", nil, p.suite.keyLen)
	aead, err := p.suite.aead(key)
	clear(key)
	if err != nil {
		return err
	}
	clear(p.secret)
	p.secret, p.aead, p.seq = secret, aead, 0
	copy(p.iv[:], p.suite.expandLabel(secret, "iv", nil, len(p.iv)))
	return nil
}

// update goes on to the next traffic secret (section 7.2).
func (p *protector) update() error { return p.rekey(p.suite.nextTraffic(p.secret)) }

// exhausted tells that the key protected as many records as it may.
func (p *protector) exhausted() bool { return p.seq >= p.suite.maxRecords }

// clear forgets the secret. The protector cannot be used any more; nil is none.
func (p *protector) clear() {
	if p != nil {
		clear(p.secret)
		p.secret, p.aead, p.iv = nil, nil, [12]byte{}
	}
}

// seal appends one protected record. len(data)+pad must not exceed
// maxPlaintext; data and dst must not overlap.
func (p *protector) seal(dst []byte, typ recordType, data []byte, pad int) []byte {
	n := len(data) + 1 + pad + p.aead.Overhead()
	dst = append(dst, byte(recordApplication), 3, 3, byte(n>>8), byte(n))
	header := len(dst) - recordHeaderLen
	dst = append(dst, data...)
	dst = append(dst, byte(typ))
	for range pad {
		dst = append(dst, 0)
	}
	body := header + recordHeaderLen
	p.turn()
	dst = p.aead.Seal(dst[:body], p.iv[:], dst[body:], dst[header:body])
	p.turn()
	p.seq++
	return dst
}

// open opens a protected record in place. header is its five bytes, body the
// rest. The result aliases body.
func (p *protector) open(header, body []byte) (recordType, []byte, Fault) {
	if len(body) < p.aead.Overhead() {
		return 0, nil, FaultBadRecordMAC
	}
	p.turn()
	data, err := p.aead.Open(body[:0], p.iv[:], body, header)
	p.turn()
	if err != nil {
		return 0, nil, FaultBadRecordMAC // seq stays: a server may skip what it has no key for (section 4.2.10)
	}
	p.seq++
	if len(data) > maxPlaintext+1 || p.limit > 0 && len(data) > int(p.limit) {
		return 0, nil, FaultRecordOverflow // section 5.4, and RFC 8449, section 4: padding counts
	}
	for i := len(data) - 1; i >= 0; i-- {
		if data[i] != 0 {
			return recordType(data[i]), data[:i], 0
		}
	}
	return 0, nil, FaultEmptyInner // section 5.4
}

// turn makes the nonce of the next record of the IV, and the IV of that nonce (section 5.3). The
// sequence number cannot wrap: a key update, or the end of time, comes first.
func (p *protector) turn() {
	binary.BigEndian.PutUint64(p.iv[4:], binary.BigEndian.Uint64(p.iv[4:])^p.seq)
}
