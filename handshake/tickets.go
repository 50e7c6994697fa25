package handshake

import (
	"bytes"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// resumption makes sessions out of a connection's tickets (section 4.6.1).
type resumption struct {
	suite    *suite
	template Session // what all sessions of the connection have in common; its secret is the resumption master secret
}

// newResumption is called when the handshake ends, at now.
func (c *Client) newResumption(secret []byte, now time.Time) *resumption {
	r := &resumption{suite: c.suite, template: Session{
		Secret:                      secret,
		CipherSuite:                 c.suite.id,
		SuiteOrder:                  c.hello.suiteOrder(),
		ALPN:                        c.info.alpn,
		ServerName:                  c.cfg.ServerName,
		PeerCertificates:            c.info.peer,
		VerifiedChains:              c.info.chains,
		OCSPResponse:                c.info.ocsp,
		SignedCertificateTimestamps: c.info.scts,
		Group:                       c.info.group,
		AuthenticatedAt:             c.info.authenticatedAt,
		ClientCertificate:           c.info.clientSum,
		CredentialExpiry:            c.info.credentialExpiry,
	}}
	if c.sendLimit < maxPlaintext {
		r.template.RecordLimit = c.sendLimit
	}
	if s := c.settings; s != nil {
		r.template.HasApplicationSettings, r.template.ApplicationSettings, r.template.PeerApplicationSettings = true, s.ours, s.theirs
	}
	if c.info.resumed {
		r.template.Group, r.template.HybridAt = c.cfg.Session.Group, c.cfg.Session.HybridAt
	}
	if PostQuantum(c.info.group) {
		r.template.HybridAt = now
	}
	return r
}

// session handles the body of a NewSessionTicket. A ticket that must be
// discarded immediately, having a lifetime of zero, gives none; nor does one
// that came when the server's delegated credential had expired.
func (r *resumption) session(body []byte, now time.Time) (*Session, Fault) {
	t, fault := parseNewSessionTicket(body)
	if end := r.template.CredentialExpiry; !end.IsZero() {
		t.lifetime = min(t.lifetime, end.Sub(now)) // RFC 9345, section 7.4
	}
	if fault != 0 || t.lifetime <= 0 || len(t.ticket) > maxTicketLen {
		return nil, fault
	}
	s := new(Session)
	*s = r.template
	s.Secret, s.Ticket = r.suite.resumptionPSK(r.template.Secret, t.nonce), bytes.Clone(t.ticket)
	s.Lifetime, s.AgeAdd, s.MaxEarlyData, s.ReceivedAt = t.lifetime, t.ageAdd, t.maxEarlyData, now
	return s, 0
}

// newSessionTicket is a NewSessionTicket (section 4.6.1).
type newSessionTicket struct {
	lifetime     time.Duration
	ageAdd       uint32
	nonce        []byte
	ticket       []byte
	maxEarlyData uint32
}

func parseNewSessionTicket(body cryptobyte.String) (t newSessionTicket, fault Fault) {
	var seconds uint32
	var nonce, ticket cryptobyte.String
	if !body.ReadUint32(&seconds) || !body.ReadUint32(&t.ageAdd) || !body.ReadUint8LengthPrefixed(&nonce) ||
		!body.ReadUint16LengthPrefixed(&ticket) || ticket.Empty() {
		return t, FaultDecode
	}
	exts, fault := readExtensions(&body)
	if fault != 0 {
		return t, fault
	}
	if !body.Empty() {
		return t, FaultDecode
	}
	t.lifetime, t.nonce, t.ticket = time.Duration(seconds)*time.Second, nonce, ticket
	if t.lifetime > MaxSessionLifetime {
		return t, FaultBadTicket // section 4.6.1: at most seven days
	}
	for _, e := range exts {
		if e.typ != extEarlyData {
			continue // section 4.6.1: unknown extensions are ignored
		}
		data := cryptobyte.String(e.data)
		if !data.ReadUint32(&t.maxEarlyData) || !data.Empty() {
			return t, FaultDecode
		}
	}
	return t, 0
}
