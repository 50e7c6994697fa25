package tfo

import (
	"maps"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	surveyTime = time.Second // for so long a survey is believed
	maxSurveys = 256
)

// surveys are what the system said of ways with a cookie, for a moment: to ask takes as many system calls as to dial. A survey
// that has become wrong meanwhile does no harm, and is not believed any longer once that shows:
//
//   - The kernel decides by itself what the SYN carries. Without the cookie it asks for one, and the flight follows; what is too long for
//     the path now follows, too.
//   - A Memory is told only about networks that the attempt was really in (see attempt.checkNetwork). But a dial asks it about the network of up to a second ago: so
//     the first dials after a change of networks may set out with Fast Open although it is avoided there, or plainly although it is not.
//
// What there is no cookie for is not kept: the next dial should use the one that this one asks for.
type surveys struct {
	mu   sync.Mutex
	held map[surveyKey]survey
}

type surveyKey struct {
	local  netip.Addr // that the caller chose; zero if none
	remote netip.Addr
}

type survey struct {
	at     time.Time
	source netip.Addr
	budget int
	rtt    time.Duration
}

// recall fills in a recent survey, if there is one.
func (s *surveys) recall(t *attempt, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	held, ok := s.held[t.surveyKey()]
	if !ok || !held.recent(now) {
		return false
	}
	t.source, t.Budget, t.RTT, t.Cookie = held.source, held.budget, held.rtt, CookiePresent
	t.recalled = true
	return true
}

func (s survey) recent(now time.Time) bool {
	age := now.Sub(s.at)
	return age >= 0 && age < surveyTime
}

// keep keeps the survey of t.
func (s *surveys) keep(t *attempt, now time.Time) {
	if t.Cookie != CookiePresent {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.held) >= maxSurveys {
		maps.DeleteFunc(s.held, func(_ surveyKey, held survey) bool { return !held.recent(now) })
	}
	if s.held == nil || len(s.held) >= maxSurveys {
		s.held = make(map[surveyKey]survey)
	}
	s.held[t.surveyKey()] = survey{now, t.source, t.Budget, t.RTT}
}

// settle forgets the survey of t unless all went as it said. Then it adds the round-trip time if that was unknown: the kernel tells of a
// connection only once it has ended, and meanwhile a plain attempt would join late (see twinDelay).
func (s *surveys) settle(t *attempt) {
	asSurveyed := t.syn.acked && !t.syn.retransmitted && !t.moved && t.taken >= min(len(t.flight.Data), t.Budget)
	if t.Cookie != CookiePresent || asSurveyed && t.RTT > 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	held, ok := s.held[t.surveyKey()]
	switch {
	case !ok:
	case !asSurveyed:
		delete(s.held, t.surveyKey())
	case held.rtt == 0:
		held.rtt = t.elapsed
		s.held[t.surveyKey()] = held
	}
}

func (t *attempt) surveyKey() surveyKey {
	k := surveyKey{remote: t.Addr.Addr()}
	if local, _ := t.dial.net.LocalAddr.(*net.TCPAddr); local != nil {
		k.local = local.AddrPort().Addr()
	}
	return k
}

// checkNetwork makes sure that t was in the network that its survey names. conn is its connection, if it had an answer.
func (t *attempt) checkNetwork(conn *net.TCPConn) {
	if !t.recalled {
		return
	}
	if conn != nil {
		if local, ok := conn.LocalAddr().(*net.TCPAddr); ok && local.AddrPort().Addr().Unmap().WithZone("") == t.source {
			return
		}
	}
	// Either the network is another one by now, or the caller's control hook bound the socket to an interface, which no survey knows about.
	t.moved = t.dial.system.source(t) != t.source
}
