package handshake

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// MaxSessionLifetime is the longest that a session may be resumed (RFC 8446,
// section 4.6.1).
const MaxSessionLifetime = 7 * 24 * time.Hour

// Session is what a client needs to resume: a ticket, its secret, and what was
// learned about the server. It is a secret itself: whoever has it can read
// early data sent with it, and pass for the server. It is not changed after
// EventTicket gave it out, so it may be shared.
type Session struct {
	CipherSuite uint16
	Group       tls.CurveID // of the last full handshake of the lineage
	SuiteOrder  uint8       // which suites the ClientHello listed, and in which order, two bits each; 0: not known
	// RecordLimit is how much content the server takes in a record, in bytes; 0: as much as TLS allows (RFC 8449).
	RecordLimit            uint16
	HasApplicationSettings bool // both sides sent some (ALPS)

	Secret       []byte // the resumption PSK
	Ticket       []byte
	Lifetime     time.Duration // from ReceivedAt on; at most MaxSessionLifetime
	AgeAdd       uint32
	MaxEarlyData uint32 // bytes; 0: the ticket allows no early data
	ReceivedAt   time.Time
	ALPN         string
	ServerName   string // Config.ServerName of the connection that gave the ticket

	PeerCertificates            []*x509.Certificate
	VerifiedChains              [][]*x509.Certificate
	OCSPResponse                []byte
	SignedCertificateTimestamps [][]byte

	// What follows is of the lineage: a session that comes from a resumed
	// handshake inherits it.

	AuthenticatedAt   time.Time // when the server last proved itself by its certificate
	HybridAt          time.Time // when a handshake last used a hybrid group; zero: never
	ClientCertificate []byte    // SHA-256 over the DER chain that was really sent; nil: none

	// CredentialExpiry is when the delegated credential expires with which the server last proved itself, and the session with it;
	// zero: there was none (RFC 9345, section 7.4).
	CredentialExpiry time.Time
	// What both sides sent by application_settings, if they did.
	ApplicationSettings, PeerApplicationSettings []byte
}

// String and GoString keep the secret out of logs.
func (s *Session) String() string   { return "handshake.Session(secret)" }
func (s *Session) GoString() string { return s.String() }

// usable tells whether the session can be offered at all.
func (s *Session) usable() bool {
	suite := suiteByID(s.CipherSuite)
	return suite != nil && len(s.Secret) == suite.hashLen && len(s.Ticket) > 0 && len(s.Ticket) <= maxTicketLen
}

// maxTicketLen leaves room for the rest of a ClientHello, whose extensions
// have 64 KiB together.
const maxTicketLen = 32 << 10

// The formats: a long one ends with what only some hellos bring about.
const (
	sessionFormat     = 3
	sessionFormatLong = 4
)

var errBadSession = errors.New("tls: malformed session")

// MarshalBinary encodes the session, secrets included, in a versioned format
// of this package. Times are kept to the millisecond.
func (s *Session) MarshalBinary() ([]byte, error) {
	if !s.usable() {
		return nil, errBadSession
	}
	for _, list := range append(s.VerifiedChains[:len(s.VerifiedChains):len(s.VerifiedChains)], s.PeerCertificates) {
		if slices.Contains(list, nil) {
			return nil, errBadSession
		}
	}
	// Each certificate is stored once; chains are lists of indices.
	certs := s.PeerCertificates[:len(s.PeerCertificates):len(s.PeerCertificates)]
	index := func(cert *x509.Certificate) uint8 {
		for i, c := range certs {
			if c == cert || c.Equal(cert) {
				return uint8(i)
			}
		}
		certs = append(certs, cert)
		return uint8(len(certs) - 1)
	}
	var chains cryptobyte.Builder
	for _, chain := range s.VerifiedChains {
		chains.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) {
			for _, cert := range chain {
				b.AddUint8(index(cert))
			}
		})
	}
	if len(certs) > 255 {
		return nil, errors.New("tls: session with too many certificates")
	}

	var b cryptobyte.Builder
	long := s.HasApplicationSettings || s.RecordLimit != 0 || !s.CredentialExpiry.IsZero()
	if long {
		b.AddUint8(sessionFormatLong)
	} else {
		b.AddUint8(sessionFormat)
	}
	b.AddUint16(s.CipherSuite)
	b.AddUint8(s.SuiteOrder)
	addBytes8(&b, s.Secret)
	addBytes16(&b, s.Ticket)
	b.AddUint64(uint64(s.Lifetime / time.Second))
	b.AddUint32(s.AgeAdd)
	b.AddUint32(s.MaxEarlyData)
	addTime(&b, s.ReceivedAt)
	addBytes8(&b, []byte(s.ALPN))
	addBytes16(&b, []byte(s.ServerName))
	b.AddUint16(uint16(s.Group))
	addTime(&b, s.AuthenticatedAt)
	addTime(&b, s.HybridAt)
	addBytes8(&b, s.ClientCertificate)
	addBytes24(&b, s.OCSPResponse)
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, sct := range s.SignedCertificateTimestamps {
			addBytes16(b, sct)
		}
	})
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, cert := range certs {
			addBytes24(b, cert.Raw)
		}
	})
	b.AddUint8(uint8(len(s.PeerCertificates)))
	chainList, err := chains.Bytes()
	if err != nil {
		return nil, err
	}
	addBytes16(&b, chainList)
	if long {
		s.addLong(&b)
	}
	return b.Bytes()
}

// ParseSession decodes what MarshalBinary made. Data of another version of the
// format, or damaged data, is an error.
func ParseSession(data []byte) (*Session, error) {
	return (*CertificateCache)(nil).ParseSession(data)
}

// ParseSession is the function ParseSession with certificates shared through
// the cache.
func (c *CertificateCache) ParseSession(data []byte) (*Session, error) {
	data = bytes.Clone(data) // the session keeps parts of it
	in := cryptobyte.String(data)
	s := new(Session)
	var format, peers uint8
	var lifetime uint64
	var group uint16
	var alpn, name, scts, certList, chains cryptobyte.String
	if !in.ReadUint8(&format) || format != sessionFormat && format != sessionFormatLong ||
		!in.ReadUint16(&s.CipherSuite) || !in.ReadUint8(&s.SuiteOrder) || !readBytes8(&in, &s.Secret) || !readBytes16(&in, &s.Ticket) ||
		!in.ReadUint64(&lifetime) || lifetime > uint64(MaxSessionLifetime/time.Second) ||
		!in.ReadUint32(&s.AgeAdd) || !in.ReadUint32(&s.MaxEarlyData) || !readTime(&in, &s.ReceivedAt) ||
		!in.ReadUint8LengthPrefixed(&alpn) || !in.ReadUint16LengthPrefixed(&name) || !in.ReadUint16(&group) ||
		!readTime(&in, &s.AuthenticatedAt) || !readTime(&in, &s.HybridAt) || !readBytes8(&in, &s.ClientCertificate) ||
		!readBytes24(&in, &s.OCSPResponse) || !in.ReadUint24LengthPrefixed(&scts) ||
		!in.ReadUint24LengthPrefixed(&certList) || !in.ReadUint8(&peers) ||
		!in.ReadUint16LengthPrefixed(&chains) {
		return nil, errBadSession
	}
	if format == sessionFormatLong && !s.readLong(&in) || !in.Empty() || !s.usable() {
		return nil, errBadSession
	}
	s.Lifetime = time.Duration(lifetime) * time.Second
	s.ALPN, s.ServerName, s.Group = string(alpn), string(name), tls.CurveID(group)
	for !scts.Empty() {
		var sct []byte
		if !readBytes16(&scts, &sct) {
			return nil, errBadSession
		}
		s.SignedCertificateTimestamps = append(s.SignedCertificateTimestamps, sct)
	}
	var certs []*x509.Certificate
	for !certList.Empty() {
		var der []byte
		if !readBytes24(&certList, &der) || len(certs) == 255 {
			return nil, errBadSession
		}
		cert, err := c.parse(der)
		if err != nil {
			return nil, err
		}
		certs = append(certs, cert)
	}
	if int(peers) > len(certs) {
		return nil, errBadSession
	}
	if peers > 0 {
		s.PeerCertificates = certs[:peers:peers]
	}
	for !chains.Empty() {
		var list cryptobyte.String
		if !chains.ReadUint8LengthPrefixed(&list) || list.Empty() {
			return nil, errBadSession
		}
		chain := make([]*x509.Certificate, len(list))
		for i, index := range list {
			if int(index) >= len(certs) {
				return nil, errBadSession
			}
			chain[i] = certs[index]
		}
		s.VerifiedChains = append(s.VerifiedChains, chain)
	}
	return s, nil
}

// addLong adds the end of the long format.
func (s *Session) addLong(b *cryptobyte.Builder) {
	addTime(b, s.CredentialExpiry)
	b.AddUint16(s.RecordLimit)
	if s.HasApplicationSettings {
		addBytes16(b, s.ApplicationSettings)
		addBytes16(b, s.PeerApplicationSettings)
	}
}

func (s *Session) readLong(in *cryptobyte.String) bool {
	if !readTime(in, &s.CredentialExpiry) || !in.ReadUint16(&s.RecordLimit) {
		return false
	}
	if in.Empty() {
		return s.RecordLimit != 0 || !s.CredentialExpiry.IsZero() // else it would be in the other format
	}
	s.HasApplicationSettings = true
	return readBytes16(in, &s.ApplicationSettings) && readBytes16(in, &s.PeerApplicationSettings)
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
