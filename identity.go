package tlstfo

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/tlstfo/tlstfo/handshake"
)

// sessionKey names the place where the sessions of a server are kept. Two
// connections share a place only if a ticket of one is right for the other: the
// same place, server name, protocols on offer and client certificates.
func sessionKey(partition, place string, config *tls.Config) string {
	var b strings.Builder
	add := func(s string) {
		var n [4]byte
		binary.BigEndian.PutUint32(n[:], uint32(len(s)))
		b.Write(n[:])
		b.WriteString(s)
	}
	add("tlstfo session 1")
	add(partition)
	add(place)
	add(strings.TrimSuffix(strings.ToLower(config.ServerName), "."))
	for _, proto := range config.NextProtos {
		add(proto)
	}
	add("") // the end of the protocols: none is empty
	for _, cert := range config.Certificates {
		add(string(handshake.ChainSum(cert.Certificate)))
	}
	return b.String()
}

// placeOf names what was dialled. The name of a host is the same in either case, and leads to the same server over IPv4 and IPv6;
// a path may be neither. No address over TCP has a zero byte.
func placeOf(network, addr string) string {
	if overTCP(network) {
		return strings.ToLower(addr)
	}
	return network + "\x00" + addr
}

// helloScope names the kind of hello that a Builder makes, if it has such a name. Hellos of different names share no sessions: a
// server that sees tickets of one line under both knows that they are one client's.
func helloScope(b handshake.Builder) string {
	if named, ok := b.(interface{ SessionScope() string }); ok {
		return named.SessionScope()
	}
	return ""
}

// fitsCertificates tells whether the client certificate that a session was
// made with is still one that the config would send.
func fitsCertificates(s *handshake.Session, config *tls.Config) bool {
	if len(s.ClientCertificate) == 0 || config.GetClientCertificate != nil {
		return true // a GetClientCertificate keeps its sessions within its Dialer
	}
	for _, cert := range config.Certificates {
		if bytes.Equal(handshake.ChainSum(cert.Certificate), s.ClientCertificate) {
			return true
		}
	}
	return false
}

// privateSessions tells whether sessions made under this config may serve its
// own Dialer only: what was checked, or not checked, cannot be told from
// the session.
func privateSessions(config *tls.Config, partition string) bool {
	return config.GetClientCertificate != nil ||
		partition == "" && (config.InsecureSkipVerify || config.VerifyPeerCertificate != nil)
}

// verifier checks stored identities and remembers the good ones. The zero
// value works.
type verifier struct {
	mu   sync.Mutex
	good map[verifiedKey]verifiedChains
}

// verifiedKey holds the pool by its address: a CertPool can only grow, so that
// what once verified in it does so until a certificate expires.
type verifiedKey struct {
	roots *x509.CertPool
	id    [sha256.Size]byte // of the name and the chain
}

type verifiedChains struct {
	chains           [][]*x509.Certificate
	notBefore, until time.Time // the first chain's validity
}

const maxVerified = 1024

var (
	errNoStoredChain     = errors.New("the session has no certificate chain")
	errExpiredCredential = errors.New("the delegated credential of the session has expired")
)

// verify checks, before any early data leaves, that the server a session was
// made with would still be accepted today: its chain is there, not expired,
// good for the name, and leads to today's RootCAs.
func (v *verifier) verify(s *handshake.Session, config *tls.Config) ([][]*x509.Certificate, error) {
	now := verifyTime(config)
	if end := s.CredentialExpiry; !end.IsZero() && now.After(end) {
		return nil, errExpiredCredential // RFC 9345, section 7.4; the ticket's lifetime knows one clock only
	}
	if config.InsecureSkipVerify {
		return nil, nil
	}
	if len(s.PeerCertificates) == 0 {
		return nil, errNoStoredChain
	}
	key := verifiedKey{config.RootCAs, chainID(config.ServerName, s.PeerCertificates)}
	v.mu.Lock()
	got, ok := v.good[key]
	v.mu.Unlock()
	if ok && !now.Before(got.notBefore) && now.Before(got.until) {
		return got.chains, nil
	}
	opts := x509.VerifyOptions{
		DNSName:       config.ServerName,
		Roots:         config.RootCAs,
		CurrentTime:   now,
		Intermediates: x509.NewCertPool(),
	}
	for _, cert := range s.PeerCertificates[1:] {
		opts.Intermediates.AddCert(cert)
	}
	chains, err := s.PeerCertificates[0].Verify(opts)
	if err != nil {
		return nil, err
	}
	got = verifiedChains{chains: chains, until: chains[0][0].NotAfter}
	for _, chain := range chains { // every chain that is handed out must still hold
		for _, cert := range chain {
			if cert.NotBefore.After(got.notBefore) {
				got.notBefore = cert.NotBefore
			}
			if cert.NotAfter.Before(got.until) {
				got.until = cert.NotAfter
			}
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.good == nil || len(v.good) >= maxVerified {
		v.good = make(map[verifiedKey]verifiedChains)
	}
	v.good[key] = got
	return chains, nil
}

func chainID(name string, chain []*x509.Certificate) [sha256.Size]byte {
	h := sha256.New()
	h.Write([]byte(name))
	for _, cert := range chain {
		var n [5]byte // a zero first, so that no name runs into the chain
		binary.BigEndian.PutUint32(n[1:], uint32(len(cert.Raw)))
		h.Write(n[:])
		h.Write(cert.Raw)
	}
	return [sha256.Size]byte(h.Sum(nil))
}
