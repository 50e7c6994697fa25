package handshake

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"time"
)

// ServerConfig says what a Server accepts. A Server never changes it, so one
// ServerConfig may serve many servers at once. Unless said otherwise a field
// means what the field of the same name means in tls.Config.
type ServerConfig struct {
	// Certificates are tried in order: the first one that is valid for the
	// name that the client asks for and whose key fits the client's signature
	// algorithms; if none is valid for the name, the first whose key fits.
	Certificates []tls.Certificate
	// GetCertificate, where it is set and returns a certificate, decides
	// instead. The client is told of an error by the alert that a tls.AlertError
	// in it names, such as unrecognized_name, or else by internal_error.
	GetCertificate func(*ClientHelloInfo) (*tls.Certificate, error)

	// CertificateCompressors compress the certificate for clients that have the
	// algorithm (RFC 8879), in order of preference. nil: it is never compressed.
	CertificateCompressors []CertificateCompressor

	// NextProtos are the application protocols, in order of preference. A
	// client that offers protocols, but none of them, is refused (RFC 7301,
	// section 3.2).
	NextProtos []string
	// CipherSuites, in order of preference; nil means that of crypto/tls, in
	// which clients without AES hardware get ChaCha20-Poly1305.
	CipherSuites []uint16
	// Groups are the groups for the key exchange, in order of preference; nil
	// means DefaultGroups. GroupPolicy says how the client's key shares weigh.
	Groups      []tls.CurveID
	GroupPolicy GroupPolicy
	// SignatureAlgorithms are accepted from clients' certificates; nil means
	// those of crypto/tls.
	SignatureAlgorithms []tls.SignatureScheme

	ClientAuth            tls.ClientAuthType
	ClientCAs             *x509.CertPool
	VerifyPeerCertificate func(rawCerts [][]byte, verifiedChains [][]*x509.Certificate) error
	// VerifyConnection is called before the server answers, or after the
	// client's certificate where one was asked for; always before early data is
	// given out.
	VerifyConnection func(tls.ConnectionState) error
	// Time is the clock of certificate verification; nil means the time given
	// to Next.
	Time func() time.Time

	// TicketKeys seal the tickets. nil: sessions are neither given nor resumed,
	// unless WrapSession and UnwrapSession do it.
	TicketKeys *TicketKeys
	// WrapSession makes a ticket of a session, by keys or with a memory of its
	// own, from the session's Bytes; it must not keep the session itself. With no
	// ticket and no error there is none, nor is one of more than 32 KiB sent, which
	// clients do not take. Anybody can read what it returns.
	WrapSession func(tls.ConnectionState, *ServerSession) ([]byte, error)
	// UnwrapSession returns the session that ParseServerSession makes of what
	// WrapSession had; without an error it may be nil, if the ticket is not a good
	// one, and then there is a full handshake. Any client can send any ticket. It may
	// be asked several times in a handshake.
	UnwrapSession func(ticket []byte, state tls.ConnectionState) (*ServerSession, error)
	// NumTickets is how many tickets a full handshake gives: 0 means 2, less
	// than 0 none. A resumed one gives one.
	NumTickets int

	// MaxEarlyData is how many bytes of early data a ticket allows (RFC 8446,
	// section 4.6.1) and whether any is accepted: 0 refuses it. It needs
	// AntiReplay.
	MaxEarlyData uint32
	// AntiReplay decides which early data is new: a ticket carries some once.
	AntiReplay AntiReplay
	// FreshnessWindow is how far the age of a ticket that the client states may
	// differ from the one that the server sees before early data is refused
	// (RFC 8446, section 8.3); 0 means 10 s.
	FreshnessWindow time.Duration

	// KeyLogWriter gets each secret in one Write. Who shares it between
	// servers that run at once must make it safe for that.
	KeyLogWriter io.Writer

	rand io.Reader // tests only; nil: crypto/rand
}

// GroupPolicy says how a server chooses a group.
type GroupPolicy uint8

const (
	// GroupHybridFirst takes a post-quantum group where both sides list one,
	// by HelloRetryRequest if its key share is missing; else a group with a key
	// share; else what the server prefers. So does crypto/tls.
	GroupHybridFirst GroupPolicy = iota
	// GroupWithShare takes a group with a key share where there is one, and so
	// asks for another hello only if it must.
	GroupWithShare
	// GroupServerOrder takes what the server prefers, key share or not.
	GroupServerOrder
	// GroupClientOrder takes what the client prefers, key share or not.
	GroupClientOrder
)

// ClientHelloInfo is what a client asks for.
type ClientHelloInfo struct {
	tls.ClientHelloInfo          // Conn is nil
	AcceptableCAs       [][]byte // DER of distinguished names (RFC 8446, section 4.2.4), or nil
}

const (
	defaultFreshnessWindow = 10 * time.Second // RFC 8446, section 8.3
	defaultTickets         = 2
)

func (c *ServerConfig) check() error {
	if c == nil || len(c.Certificates) == 0 && c.GetCertificate == nil {
		return errors.New("tls: neither Certificates nor GetCertificate set in ServerConfig")
	}
	if len(c.groups()) == 0 || len(c.suites(nil)) == 0 {
		return errors.New("tls: ServerConfig lists no group or no cipher suite")
	}
	for _, id := range c.groups() {
		if _, ok := groupByID(id); !ok {
			return fmt.Errorf("tls: unsupported group %v in ServerConfig.Groups", id)
		}
	}
	for _, id := range c.CipherSuites {
		if suiteByID(id) == nil {
			return fmt.Errorf("tls: unsupported cipher suite %#04x in ServerConfig.CipherSuites", id)
		}
	}
	if c.SignatureAlgorithms != nil && len(c.SignatureAlgorithms) == 0 {
		return errors.New("tls: ServerConfig.SignatureAlgorithms lists no algorithm") // section 4.2.3: at least one
	}
	for _, proto := range c.NextProtos {
		if len(proto) == 0 || len(proto) > 255 {
			return errors.New("tls: invalid NextProtos value in ServerConfig")
		}
	}
	if err := checkCompressors(c.CertificateCompressors); err != nil {
		return err
	}
	return c.checkSessions()
}

func (c *ServerConfig) groups() []tls.CurveID {
	if c.Groups != nil {
		return c.Groups
	}
	return DefaultGroups()
}

// suites is the order of preference for a client that lists offered.
func (c *ServerConfig) suites(offered []uint16) []uint16 {
	if c.CipherSuites != nil {
		return c.CipherSuites
	}
	aes := hasAESHardware()
	for _, id := range offered {
		// A client with AES hardware puts AES first.
		if suiteByID(id) != nil {
			aes = aes && id != tls.TLS_CHACHA20_POLY1305_SHA256
			break
		}
	}
	return preferredSuites(aes)
}

func (c *ServerConfig) signatureAlgorithms() []tls.SignatureScheme {
	if c.SignatureAlgorithms != nil {
		return c.SignatureAlgorithms
	}
	return defaultSignatureAlgorithms()
}

func (c *ServerConfig) tickets(resumed bool) int {
	switch {
	case !c.resumes() || c.NumTickets < 0:
		return 0
	case resumed:
		return 1
	case c.NumTickets == 0:
		return defaultTickets
	}
	return min(c.NumTickets, 255) // the nonce is one byte
}

func (c *ServerConfig) window() time.Duration {
	if c.FreshnessWindow > 0 {
		return c.FreshnessWindow
	}
	return defaultFreshnessWindow
}

func (c *ServerConfig) now(now time.Time) time.Time {
	if c.Time != nil {
		return c.Time()
	}
	return now
}

func (c *ServerConfig) random() io.Reader {
	if c.rand != nil {
		return c.rand
	}
	return rand.Reader
}
