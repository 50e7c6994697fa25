package tlstfo

import (
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/tlstfo/tlstfo/handshake"
)

const (
	// maxSessionAge bounds a ticket, whatever lifetime the server gave it (RFC 8446, section 4.6.1: "Clients MUST NOT cache
	// tickets for longer than 7 days"), and a line of tickets that came from one another: so long after the server proved
	// who it is with its certificate, it must do so again.
	maxSessionAge = handshake.MaxSessionLifetime

	// maxSessionSize bounds an encoded session: a ticket has less than 64 KiB (the engine offers none above 32), its
	// certificate chains little more.
	maxSessionSize = 256 << 10

	sessionVersion = 1
)

// ErrSessionCorrupt says that an encoded session cannot be read: it is damaged, or of another version.
var ErrSessionCorrupt = errors.New("the session is damaged or of an unknown version")

var errZeroSession = errors.New("a zero Session has no ticket")

// A Session is one resumption ticket (RFC 8446, section 4.6.1) with what is needed to use it. It never changes.
//
// It holds secrets: whoever has it can impersonate the server to this client for as long as the ticket lives. So it never
// shows them when it is printed, and its encoded form belongs in a place that only this user can read.
type Session struct {
	hs       *handshake.Session
	received stamp
}

// newSession wraps a ticket that was received at now. The ticket must not be changed afterwards.
func newSession(hs *handshake.Session, now stamp) *Session {
	return &Session{hs: hs, received: now}
}

// age is the time since the ticket was received. Where the clocks leave a doubt about it, trusted is false: the session may be
// resumed, but without early data, whose freshness the server judges by this age (RFC 8446, section 8.3).
func (s *Session) age(now stamp) (age time.Duration, trusted bool) {
	return s.received.age(now)
}

// expired says whether the ticket must not be used any more: because its lifetime or 7 days are over by either clock (RFC 8446,
// section 4.6.1), or because the server was last authenticated by its certificate more than 7 days ago. Where the wall clock
// was so wrong that the authentication seems to lie as far ahead, nothing is known about it, and that counts as expired too.
func (s *Session) expired(now stamp) bool {
	if s.hs == nil {
		return true // a zero Session
	}
	life := min(s.hs.Lifetime, maxSessionAge)
	if s.received.wallAge(now) >= life {
		return true
	}
	if running, ok := s.received.running(now); ok && running >= life {
		return true
	}
	return wallSince(s.hs.AuthenticatedAt, now).Abs() >= maxSessionAge
}

// expiry is when the wall clock alone makes the session expired.
func (s *Session) expiry() time.Time {
	ticket := s.received.wall.Add(min(s.hs.Lifetime, maxSessionAge))
	lineage := s.hs.AuthenticatedAt.Add(maxSessionAge)
	if lineage.Before(ticket) {
		return lineage
	}
	return ticket
}

// Lifetime is how long the server may take the ticket, from when it came; 7 days at most. 0 for a zero Session.
func (s *Session) Lifetime() time.Duration {
	if s.hs == nil {
		return 0
	}
	return min(s.hs.Lifetime, maxSessionAge)
}

// MaxEarlyData is how many bytes of early data the ticket allows (RFC 8446, section 4.2.10); 0: none, or a zero Session.
func (s *Session) MaxEarlyData() uint32 {
	if s.hs == nil {
		return 0
	}
	return s.hs.MaxEarlyData
}

// MarshalBinary encodes the session, secrets included, for [ParseSession].
func (s *Session) MarshalBinary() ([]byte, error) {
	if s.hs == nil {
		return nil, fmt.Errorf("tlstfo: encode session: %w", errZeroSession)
	}
	ticket, err := s.hs.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("tlstfo: encode session: %w", err)
	}
	var b cryptobyte.Builder
	b.AddUint8(sessionVersion)
	b.AddUint64(uint64(s.received.wall.UnixMilli()))
	b.AddUint64(uint64(s.received.boot))
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(s.received.bootID)) })
	b.AddBytes(ticket)
	out, err := b.Bytes()
	if err == nil && len(out) > maxSessionSize {
		err = fmt.Errorf("%d bytes are more than %d", len(out), maxSessionSize)
	}
	if err != nil {
		return nil, fmt.Errorf("tlstfo: encode session: %w", err)
	}
	return out, nil
}

// ParseSession decodes what [Session.MarshalBinary] encoded. Its errors match [ErrSessionCorrupt].
func ParseSession(b []byte) (*Session, error) {
	return parseSession(b, nil)
}

// parseSession shares the certificates through certs, if that is not nil.
func parseSession(b []byte, certs *handshake.CertificateCache) (*Session, error) {
	if len(b) > maxSessionSize {
		return nil, fmt.Errorf("tlstfo: parse session: %w: %d bytes are more than %d", ErrSessionCorrupt, len(b), maxSessionSize)
	}
	in := cryptobyte.String(b)
	var version uint8
	var wall, boot uint64
	var bootID cryptobyte.String
	if !in.ReadUint8(&version) || version != sessionVersion ||
		!in.ReadUint64(&wall) || !in.ReadUint64(&boot) || !in.ReadUint8LengthPrefixed(&bootID) ||
		int64(boot) < 0 || (len(bootID) == 0 && boot != 0) {
		return nil, fmt.Errorf("tlstfo: parse session: %w", ErrSessionCorrupt)
	}
	hs, err := certs.ParseSession(in)
	if err != nil {
		return nil, fmt.Errorf("tlstfo: parse session: %w: %w", ErrSessionCorrupt, err)
	}
	return newSession(hs, stamp{wall: time.UnixMilli(int64(wall)), boot: time.Duration(boot), bootID: string(bootID)}), nil
}

const sessionRedacted = "tlstfo.Session(secret)"

// String says only that this is a session.
func (s Session) String() string { return sessionRedacted }

// GoString says only that this is a session.
func (s Session) GoString() string { return sessionRedacted }

// Format says only that this is a session, whatever the verb.
func (s Session) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, sessionRedacted) }
