package handshake

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"slices"
	"time"
)

// Config says what a Client offers and what it accepts. A Client never
// changes it, so one Config, with its slices and pools, may serve many
// clients, one after the other or at once. Unless said otherwise a field means
// what the field of the same name means in tls.Config.
type Config struct {
	// ServerName is what the server's certificate must be valid for. It is
	// sent as server_name too unless it is an IP literal (RFC 6066, section
	// 3). It may be empty only with InsecureSkipVerify.
	ServerName string

	NextProtos []string

	// Groups are the groups to list, in order of preference; nil means
	// DefaultGroups.
	Groups []tls.CurveID
	// KeyShares are the groups whose share rides in the first hello, in the
	// order of Groups; each must be in Groups, once. nil means what crypto/tls does: a share for the first
	// group and, where that is a hybrid whose classical half is listed as
	// well, a second one that uses the same classical key. An empty list that is
	// not nil sends no share, so that the server must ask for one.
	KeyShares []tls.CurveID
	// SignatureAlgorithms are offered and accepted for CertificateVerify; nil
	// means those of crypto/tls.
	SignatureAlgorithms []tls.SignatureScheme

	RootCAs            *x509.CertPool
	InsecureSkipVerify bool
	// An error of VerifyPeerCertificate, VerifyConnection or
	// GetClientCertificate that wraps a tls.AlertError chooses the alert.
	VerifyPeerCertificate func(rawCerts [][]byte, verifiedChains [][]*x509.Certificate) error
	VerifyConnection      func(tls.ConnectionState) error
	// Time is the clock of certificate verification; nil means the time given
	// to Next.
	Time func() time.Time
	// CertificateCache saves parsing a certificate that another connection
	// holds already; nil means that every one is parsed.
	CertificateCache *CertificateCache
	// Buffers lends the receive buffers; nil means that every connection keeps
	// its own.
	Buffers *BufferPool

	Certificates []tls.Certificate
	// GetClientCertificate is called with a request whose Context is nil:
	// engines have no context.
	GetClientCertificate func(*tls.CertificateRequestInfo) (*tls.Certificate, error)

	// KeyLogWriter gets each secret in one Write. Who shares it between
	// clients that run at once must make it safe for that.
	KeyLogWriter io.Writer

	// Session is offered for resumption with psk_dhe_ke, or nil. TicketAge is
	// how long ago its ticket was received, to the millisecond (RFC 8446,
	// section 4.2.11.1). Whether the session is fit for this server and still
	// valid is for the caller to know.
	Session   *Session
	TicketAge time.Duration
	// EarlyData offers early data, if the session's ticket allows any. What is
	// then given to WriteEarly is replayable.
	EarlyData bool
	// RequirePSK abandons the handshake with FaultAbandoned, before any byte of
	// ours under the new keys, if the server does not resume Session.
	RequirePSK bool

	// Lean makes the compact hello 56 bytes shorter, for a SYN that it would
	// not fit: legacy_session_id is empty, and with it there is no
	// compatibility mode (section D.4), and signature_algorithms speaks for
	// certificates too (section 4.2.3).
	Lean bool

	// MaxMessageLen is how long a handshake message of the server may be, in
	// bytes, and so what it can make a client hold before it is authenticated.
	// 0 means 64 KiB.
	MaxMessageLen int

	// Hello builds the first ClientHello; nil means the compact one.
	Hello Builder

	rand io.Reader // tests only; nil: crypto/rand
}

// DefaultGroups returns the groups that a nil Config.Groups stands for, in
// order of preference: those of crypto/tls, and all that this package has but
// ML-KEM without a classical part.
func DefaultGroups() []tls.CurveID {
	return []tls.CurveID{tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024,
		tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}
}

func (c *Config) groups() []tls.CurveID {
	if c.Groups != nil {
		return c.Groups
	}
	return DefaultGroups()
}

// keyShares resolves a nil KeyShares, and refuses one that section 4.2.8 does:
// groups that are listed, in the same order, each once.
func (c *Config) keyShares(groups []tls.CurveID) ([]tls.CurveID, error) {
	if c.KeyShares == nil {
		first := groups[0]
		if g, ok := groupByID(first); ok && g.classical != first && slices.Contains(groups, g.classical) {
			return []tls.CurveID{first, g.classical}, nil
		}
		return groups[:1:1], nil
	}
	rest := groups
	for _, id := range c.KeyShares {
		i := slices.Index(rest, id)
		if i < 0 {
			return nil, errors.New("tls: Config.KeyShares must be groups of Config.Groups, in their order, each once; " + id.String() + " is not")
		}
		rest = rest[i+1:]
	}
	return c.KeyShares, nil
}

// signatureAlgorithms resolves a nil SignatureAlgorithms. Our hello offers
// nothing below TLS 1.3, so the PKCS #1 v1.5 schemes, which it has for chains
// only, stand in signature_algorithms_cert.
func (c *Config) signatureAlgorithms() []tls.SignatureScheme {
	if c.SignatureAlgorithms != nil {
		return c.SignatureAlgorithms
	}
	return slices.DeleteFunc(defaultSignatureAlgorithms(), func(a tls.SignatureScheme) bool {
		_, ok := signatureHash(a)
		return !ok
	})
}

// chainSignatureAlgorithms lists what may sign the certificates of a chain, as
// crypto/tls does: x509 itself refuses the SHA-1 signatures that matter.
func chainSignatureAlgorithms() []tls.SignatureScheme {
	return append(defaultSignatureAlgorithms(), tls.PKCS1WithSHA1, tls.ECDSAWithSHA1)
}

func (c *Config) random() io.Reader {
	if c.rand != nil {
		return c.rand
	}
	return rand.Reader
}

// now is the clock of certificate verification.
func (c *Config) now(now time.Time) time.Time {
	if c.Time != nil {
		return c.Time()
	}
	return now
}
