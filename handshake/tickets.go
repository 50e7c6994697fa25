package handshake

import (
	"bytes"
	"time"
)

// resumption makes sessions out of a connection's tickets (section 4.6.1).
type resumption struct {
	suite    *suite
	secret   []byte
	template Session // what all sessions of the connection have in common
}

// newResumption is called when the handshake ends, at now.
func (c *Client) newResumption(secret []byte, now time.Time) *resumption {
	r := &resumption{suite: c.suite, secret: secret, template: Session{
		CipherSuite:                 c.suite.id,
		ALPN:                        c.info.alpn,
		ServerName:                  c.cfg.ServerName,
		PeerCertificates:            c.info.peer,
		VerifiedChains:              c.info.chains,
		OCSPResponse:                c.info.ocsp,
		SignedCertificateTimestamps: c.info.scts,
		Group:                       c.info.group,
		AuthenticatedAt:             c.info.authenticatedAt,
		ClientCertificate:           c.info.clientSum,
	}}
	if c.info.resumed {
		r.template.Group, r.template.HybridAt = c.cfg.Session.Group, c.cfg.Session.HybridAt
	}
	if isHybrid(c.info.group) {
		r.template.HybridAt = now
	}
	return r
}

// session handles the body of a NewSessionTicket. A ticket that must be
// discarded immediately, having a lifetime of zero, gives none.
func (r *resumption) session(body []byte, now time.Time) (*Session, Fault) {
	t, fault := parseNewSessionTicket(body)
	if fault != 0 || t.lifetime == 0 || len(t.ticket) > maxTicketLen {
		return nil, fault
	}
	s := new(Session)
	*s = r.template
	s.Secret, s.Ticket = r.suite.resumptionPSK(r.secret, t.nonce), bytes.Clone(t.ticket)
	s.Lifetime, s.AgeAdd, s.MaxEarlyData, s.ReceivedAt = t.lifetime, t.ageAdd, t.maxEarlyData, now
	return s, 0
}
