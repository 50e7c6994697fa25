package handshake

import (
	"bytes"
	"crypto/hmac"
	"crypto/tls"
	"strings"
	"time"
)

// selectPSK looks for a session to resume among the identities of the hello
// (section 4.2.11) and checks the binder of the one that it takes.
func (s *Server) selectPSK(now time.Time) Fault {
	s.session, s.peer, s.chains, s.peerDER = nil, nil, nil, nil
	s.earlySecret.clear() // of the first hello
	s.earlySecret = newEarlySecret(s.suite, nil)
	if !s.cfg.resumes() || !bytes.Contains(s.hello.pskModes, []byte{pskModeDHE}) {
		return 0 // section 4.2.9
	}
	for i, identity := range s.hello.identities[:min(maxIdentities, len(s.hello.identities))] {
		session, fault := s.unwrap(identity.ticket)
		if fault != 0 {
			return fault
		}
		if session == nil || !s.resumable(session, now) {
			continue
		}
		early := newEarlySecret(s.suite, session.secret)
		transcript := s.suite.hash()
		transcript.Write(s.prefix)
		transcript.Write(s.hello.truncated())
		if !hmac.Equal(early.binder(transcript.Sum(nil)), s.hello.binders[i]) {
			early.clear()
			return FaultBadBinder // section 4.2.11.2
		}
		s.session, s.index, s.earlySecret = session, i, early
		s.peerDER = session.peer
		// Section 8.3: the age that the client states, against the one that we
		// see.
		stated := time.Duration(identity.age-session.ageAdd) * time.Millisecond
		s.skew = session.issuedAt.Add(stated).Sub(now.Truncate(time.Millisecond))
		return 0
	}
	return 0
}

// resumable tells whether this hello may resume a session.
func (s *Server) resumable(t *ServerSession, now time.Time) bool {
	// A time far ahead is one of a clock that was wrong: nothing is known then.
	age := now.Sub(t.authenticatedAt).Abs()
	switch {
	case t.CipherSuite != s.suite.id:
		// Section 4.2.11 asks for the same hash only, but then early data
		// would be under another suite than the session's.
		return false
	case age > MaxSessionLifetime:
		return false // section 4.6.1; no lineage outlives it
	case !strings.EqualFold(t.serverName, s.hello.serverName):
		return false // another name may have another policy
	}
	// A resumed handshake has no certificates. What the session knows of the
	// client must fit what is asked for now.
	if len(t.peer) == 0 {
		return s.cfg.ClientAuth != tls.RequireAnyClientCert && s.cfg.ClientAuth != tls.RequireAndVerifyClientCert
	}
	if s.cfg.ClientAuth != tls.NoClientCert && s.verifyClient(t.peer, now) == 0 {
		return true
	}
	s.peer, s.chains, s.cause = nil, nil, nil
	return false
}

// decideEarlyData decides about early data (section 4.2.10), and how much of it
// is to be skipped if it is refused.
func (s *Server) decideEarlyData(retry bool) {
	s.reason = s.earlyReason(retry)
	switch {
	case s.reason == ReasonAccepted:
		s.status = EarlyAccepted
		s.early = int64(s.session.maxEarlyData)
	case s.hello.earlyData:
		s.status = EarlyRejected
		allowed := s.cfg.MaxEarlyData
		if s.session != nil {
			allowed = max(allowed, s.session.maxEarlyData)
		}
		s.skip = newSkipBudget(allowed)
	}
}

func (s *Server) earlyReason(retry bool) EarlyReason {
	t := s.session
	switch {
	case s.cfg.MaxEarlyData == 0:
		return ReasonDisabled
	case s.hello.identities == nil:
		return ReasonNoSession
	case t == nil || s.index != 0: // section 4.2.10: the first identity only
		return ReasonSessionNotResumed
	case t.maxEarlyData == 0:
		return ReasonUnsupportedForSession
	}
	if !s.hello.earlyData {
		return ReasonPeerDeclined
	}
	// Section 8.1: a ticket carries early data once, whatever hello it is in. So it
	// is used up whatever the answer will be: what is refused today is not to be
	// accepted from somebody who recorded it. A ticket is known by its PSK, since
	// a WrapSession may make several of one.
	fresh := s.cfg.AntiReplay.Use(s.earlySecret.replayID(), t.issuedAt)
	window := s.cfg.window()
	switch {
	case t.alpn != s.proto:
		return ReasonALPNMismatch
	case s.skew > window || s.skew < -window: // section 8.3: not fresh
		return ReasonTicketAgeSkew
	case retry:
		return ReasonHelloRetryRequest
	case !fresh:
		return ReasonReplayed
	}
	return ReasonAccepted
}
