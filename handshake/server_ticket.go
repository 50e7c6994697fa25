package handshake

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"io"
	"sync"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// TicketKeys are the keys that a server's tickets are sealed under: the first
// one seals, all open. Who has one of them can read early data, and pass for
// the server in resumed handshakes; so they are to be changed often. It is safe
// for concurrent use and may serve many ServerConfigs. The zero value has no
// keys: no ticket is given out.
type TicketKeys struct {
	mu   sync.RWMutex
	keys []ticketKey
}

type ticketKey struct {
	name [ticketNameLen]byte
	aead cipher.AEAD
}

const (
	ticketNameLen  = 16
	ticketNonceLen = 12
	ticketOverhead = ticketNameLen + ticketNonceLen + 16
)

// Set replaces all keys, for servers that share theirs or keep them over a
// restart. To change keys without losing sessions, put the new one first and
// keep the old ones behind it, for as long as their tickets shall live. Tickets
// that were given before the start of a ReplayRegister carry no early data.
func (t *TicketKeys) Set(keys ...[32]byte) {
	list := make([]ticketKey, len(keys))
	for i := range keys {
		list[i] = newTicketKey(&keys[i])
	}
	t.mu.Lock()
	t.keys = list
	t.mu.Unlock()
}

// Rotate puts a new random key before the others, and keeps at most keep of
// those.
func (t *TicketKeys) Rotate(rand io.Reader, keep int) error {
	var secret [32]byte
	if _, err := io.ReadFull(rand, secret[:]); err != nil {
		return err
	}
	key := newTicketKey(&secret)
	clear(secret[:])
	t.mu.Lock()
	defer t.mu.Unlock()
	t.keys = append([]ticketKey{key}, t.keys[:min(max(keep, 0), len(t.keys))]...)
	return nil
}

func newTicketKey(secret *[32]byte) (k ticketKey) {
	name := sha256.Sum256(append([]byte("tls ticket key name\x00"), secret[:]...))
	copy(k.name[:], name[:])
	// NewCipher and NewGCM fail only on lengths, and in FIPS 140 enforcement,
	// which leaves the key without an AEAD: it then neither seals nor opens.
	if block, err := aes.NewCipher(secret[:]); err == nil {
		k.aead, _ = cipher.NewGCM(block)
	}
	return k
}

// seal seals a session into a ticket; nil if there is no key.
func (t *TicketKeys) seal(session *ServerSession, rand io.Reader) ([]byte, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if len(t.keys) == 0 || t.keys[0].aead == nil {
		return nil, nil
	}
	key := &t.keys[0]
	plain, err := session.Bytes()
	if err != nil || len(plain)+ticketOverhead > maxTicketLen {
		return nil, err // a client certificate that is too large for a ticket
	}
	ticket := make([]byte, ticketNameLen+ticketNonceLen, len(plain)+ticketOverhead)
	copy(ticket, key.name[:])
	if _, err := io.ReadFull(rand, ticket[ticketNameLen:]); err != nil {
		return nil, err
	}
	return key.aead.Seal(ticket, ticket[ticketNameLen:], plain, ticket[:ticketNameLen]), nil
}

// open opens a ticket; nil if it is not one of ours.
func (t *TicketKeys) open(ticket []byte) *ServerSession {
	if len(ticket) < ticketOverhead {
		return nil
	}
	name, nonce, sealed := ticket[:ticketNameLen], ticket[ticketNameLen:][:ticketNonceLen], ticket[ticketNameLen+ticketNonceLen:]
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, key := range t.keys {
		if !bytes.Equal(key.name[:], name) || key.aead == nil {
			continue
		}
		if plain, err := key.aead.Open(nil, nonce, sealed, name); err == nil {
			session, err := ParseServerSession(plain)
			if err != nil {
				return nil // what another version sealed
			}
			return session
		}
	}
	return nil
}

// greaseValue is one of the 16 numbers that nothing has, and that a client must
// not mind (RFC 8701, section 2).
func greaseValue(random byte) uint16 { return uint16(random&0xf0|0x0a) * 0x0101 }

// sendTickets queues NewSessionTickets (section 4.6.1). transcript ends with
// the client's Finished.
func (s *Server) sendTickets(transcript []byte, now time.Time) error {
	count := s.cfg.tickets(s.session != nil)
	if !bytes.Contains(s.hello.pskModes, []byte{pskModeDHE}) {
		count = 0 // section 4.2.9: a ticket that the client could not use
	}
	resumption := s.master.resumption(transcript)
	defer clear(resumption)
	session := &ServerSession{
		Version: tls.VersionTLS13, CipherSuite: s.suite.id, group: s.group, alpn: s.proto, serverName: s.hello.serverName, peer: s.peerDER,
		maxEarlyData: s.cfg.MaxEarlyData, issuedAt: now.Truncate(time.Millisecond), authenticatedAt: now,
	}
	if s.session != nil {
		session.authenticatedAt = s.session.authenticatedAt
	}
	// Section 4.6.1: seven days at most, even if the clock was set back.
	lifetime := (MaxSessionLifetime - max(now.Sub(session.authenticatedAt), 0)).Truncate(time.Second)
	if lifetime <= 0 {
		return nil
	}
	var flight []byte
	for i := range count {
		var random [5]byte
		if _, err := io.ReadFull(s.cfg.random(), random[:]); err != nil {
			return err
		}
		nonce := []byte{byte(i)}
		session.secret = s.suite.resumptionPSK(resumption, nonce)
		session.ageAdd = binary.BigEndian.Uint32(random[:4])
		ticket, err := s.wrap(session)
		clear(session.secret)
		if err != nil {
			return err
		}
		if len(ticket) == 0 || len(ticket) > maxTicketLen {
			break // clients drop longer ones, or take offence
		}
		msg, err := buildMessage(typeNewSessionTicket, func(b *cryptobyte.Builder) {
			b.AddUint32(uint32(lifetime / time.Second))
			b.AddUint32(session.ageAdd)
			addBytes8(b, nonce)
			addBytes16(b, ticket)
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
				addExtension(b, greaseValue(random[4]), func(*cryptobyte.Builder) {}) // RFC 8701, section 4.1
				if s.cfg.MaxEarlyData > 0 {
					addExtension(b, extEarlyData, func(b *cryptobyte.Builder) { b.AddUint32(s.cfg.MaxEarlyData) })
				}
			})
		})
		if err != nil {
			return err
		}
		flight = append(flight, msg...)
	}
	if len(flight) > 0 {
		s.send(recordHandshake, flight)
	}
	return nil
}
