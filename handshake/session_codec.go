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
