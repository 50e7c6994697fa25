package handshake

import (
	"bytes"
	"crypto/tls"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// clientHello handles the first or the second ClientHello.
func (s *Server) clientHello(msg []byte, now time.Time) Fault {
	hello, fault := parseClientHello(msg)
	if fault != 0 {
		return s.failed(fault, hello.cause)
	}
	if s.partial() {
		return FaultPartialMessage // section 5.1: the next message has another key
	}
	if fault = hello.check(); fault != 0 {
		return s.failed(fault, hello.cause)
	}
	s.first, s.hello = s.hello, hello
	if s.first != nil {
		if fault = hello.checkRetried(s.first, s.retryGroup); fault != 0 {
			return fault
		}
		hello.earlyData, s.skip = false, skipBudget{} // section 4.2.10: none may follow
	}
	s.allowCCS = true
	if fault = s.negotiate(); fault != 0 {
		return fault
	}
	if s.first != nil && s.session != nil && hello.identities == nil {
		return s.failed(FaultMissingExtension, ExtensionError(extPreSharedKey)) // section 4.1.2: the PSK fitted, so it had to stay
	}
	if fault = s.selectPSK(now); fault != 0 {
		return fault
	}
	retry := s.first == nil && hello.share(s.group) == nil
	if s.first == nil {
		s.decideEarlyData(retry)
	}
	if retry {
		return s.sendRetry()
	}
	if s.session == nil && hello.algorithms == nil {
		return s.failed(FaultMissingExtension, ExtensionError(extSignatureAlgorithms)) // section 9.2
	}
	return s.answer()
}

// negotiate chooses cipher suite, group and application protocol.
func (s *Server) negotiate() Fault {
	id, ok := firstCommon(s.cfg.suites(s.hello.suites), s.hello.suites)
	if !ok {
		return FaultNoSharedSuite
	}
	s.suite = suiteByID(id)
	if s.group, ok = s.selectGroup(); !ok {
		return FaultNoSharedGroup
	}
	if len(s.hello.protos) > 0 && len(s.cfg.NextProtos) > 0 {
		if s.proto, ok = firstCommon(s.cfg.NextProtos, s.hello.protos); !ok {
			return FaultNoSharedALPN // RFC 7301, section 3.2
		}
	}
	return 0
}

// selectGroup chooses the group by the policy.
func (s *Server) selectGroup() (tls.CurveID, bool) {
	if s.first != nil {
		return s.retryGroup, true
	}
	ours, theirs := s.cfg.groups(), s.hello.groups
	hasShare := func(id tls.CurveID) bool { return s.hello.share(id) != nil }
	keep := func(list []tls.CurveID, f func(tls.CurveID) bool) (kept []tls.CurveID) {
		for _, id := range list {
			if f(id) {
				kept = append(kept, id)
			}
		}
		return kept
	}
	lists := [][]tls.CurveID{ours}
	switch s.cfg.GroupPolicy {
	case GroupHybridFirst:
		hybrid := keep(ours, PostQuantum)
		lists = [][]tls.CurveID{keep(hybrid, hasShare), hybrid, keep(ours, hasShare), ours}
	case GroupWithShare:
		lists = [][]tls.CurveID{keep(ours, hasShare), ours}
	case GroupClientOrder:
		return firstCommon(theirs, ours)
	}
	for _, list := range lists {
		if id, ok := firstCommon(list, theirs); ok {
			return id, true
		}
	}
	return 0, false
}

// firstCommon returns the first of ours that is in theirs.
func firstCommon[T comparable](ours, theirs []T) (found T, ok bool) {
	for _, v := range ours {
		if slices.Contains(theirs, v) {
			return v, true
		}
	}
	return found, false
}

// sendRetry queues HelloRetryRequest (section 4.1.4). There is no cookie: the
// state is here.
func (s *Server) sendRetry() Fault {
	msg, err := buildMessage(typeServerHello, func(b *cryptobyte.Builder) {
		s.addServerHello(b, helloRetryRandom[:], func(b *cryptobyte.Builder) {
			addExtension(b, extKeyShare, func(b *cryptobyte.Builder) { b.AddUint16(uint16(s.group)) })
		})
	})
	if err != nil {
		return s.internal(err)
	}
	sum := s.suite.hash()
	sum.Write(s.hello.raw)
	s.prefix = append(messageHash(sum.Sum(nil)), msg...) // section 4.4.1
	s.retryGroup = s.group
	s.send(recordHandshake, msg)
	s.sendCCS()
	s.state = StateClientHelloRetried
	return 0
}

// addServerHello adds a ServerHello's body (section 4.1.3).
func (s *Server) addServerHello(b *cryptobyte.Builder, random []byte, extensions func(*cryptobyte.Builder)) {
	b.AddUint16(versionTLS12)
	b.AddBytes(random)
	addBytes8(b, s.hello.sessionID)
	b.AddUint16(s.suite.id)
	b.AddUint8(0)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		addExtension(b, extSupportedVersions, func(b *cryptobyte.Builder) { b.AddUint16(versionTLS13) })
		extensions(b)
	})
}

// sendCCS queues the compatibility change_cipher_spec behind the first message
// (section D.4). Only a client that sends a session id needs it, but all drop
// it.
func (s *Server) sendCCS() { s.send(recordCCS, []byte{1}) }

// speaksHTTP tells whether what a client begins with is a request of HTTP
// without TLS.
func speaksHTTP(first []byte) bool {
	for _, method := range []string{"GET ", "HEAD ", "POST ", "PUT ", "OPTIONS ", "CONNECT "} {
		n := min(len(method), recordHeaderLen) // so much there is
		if bytes.HasPrefix(first, []byte(method[:n])) {
			return true
		}
	}
	return false
}
