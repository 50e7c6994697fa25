package handshake

import (
	"crypto/tls"
	"crypto/x509"
	"time"
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
	HybridAt          time.Time // when a handshake last used a post-quantum group; zero: never
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
