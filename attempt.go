package tlstfo

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"

	"github.com/tlstfo/tlstfo/handshake"
	"github.com/tlstfo/tlstfo/tfo"
)

// plan says what a dial may still do. A redial strips it down, never up.
type plan struct {
	early     []byte             // the replayable bytes that want to be early
	noEarly   EarlyReason        // why none of them may be, or EarlyNone
	noSession bool               // full handshake
	plain     bool               // without TCP Fast Open
	addr      string             // the literal address to dial, or "": what the caller dialled
	std       string             // why crypto/tls runs the connection, or ""
	redials   int                // dials before this one
	redial    string             // why this is not the first dial, or ""
	hedged    bool               // one of them was a hedge, or had one
	broken    int                // early bytes that left on dials that broke
	brokenTo  *handshake.Session // with which session they left, the last time
}

// info is what the plan says of a connection that is made by it.
func (p plan) info() ConnInfo {
	return ConnInfo{CryptoTLS: p.std, Redials: p.redials, Redial: p.redial, Hedged: p.hedged, Early: EarlyInfo{Broken: p.broken}}
}

// attempt is one connection attempt: an engine with its first flight.
type attempt struct {
	engine  *handshake.Client
	session *Session // taken for this attempt, or nil
	early   int      // replayable bytes in the first flight
	flight  []byte
	unsent  []byte   // what of the flight is still to be written
	info    ConnInfo // what the attempt would make true
	on      *tfo.Attempt
}

// room is what is known of the packet that the first flight will ride in.
type room struct {
	budget int  // bytes that the SYN carries, if it carries any
	syn    bool // the SYN can carry data, for all that is known
	cookie bool // ... and it is sure that there is a cookie
	once   bool // early data is still allowed in this dial
}

// seen is what tests put in place of what the kernel tells of a path; the zero value changes nothing.
type seen struct {
	room  func(*room) // of a path with a cookie, say
	acked bool        // SYN data was acknowledged
}

// newAttempt builds the first flight of an attempt: it takes a session, decides
// what may be early, chooses the hello that fits, and seals the early data. What
// it seals is replayable: plan.early has nothing else.
func (c *Conn) newAttempt(p plan, r room) (*attempt, error) {
	if c.dialer.seen.room != nil {
		c.dialer.seen.room(&r)
	}
	t := &attempt{info: p.info()}
	session, chains, why := c.takeSession(p)
	now := c.dialer.clock.now() // not before the session was there
	if session == nil {
		if p.noEarly == EarlyNone {
			p.noEarly = why
		}
	} else if p.noEarly == EarlyNone {
		p.noEarly = c.whyNotEarly(session, p, r, now)
	}
	if len(p.early) == 0 {
		p.noEarly = EarlyNotAsked
	}

	for {
		config := engineConfig(c.config, c.dialer.groups)
		config.CertificateCache = &c.dialer.certificates
		config.Buffers = &c.dialer.received
		config.Hello = c.dialer.Hello
		if session != nil {
			hs := *session.hs
			hs.VerifiedChains = chains
			config.Session = &hs
			config.TicketAge, _ = session.age(now)
			config.EarlyData = p.noEarly == EarlyNone
		}
		if err := c.chooseHello(t, config, r); err != nil {
			if session == nil {
				return nil, err
			}
			c.giveBack(session) // perhaps Dialer.Hello cannot offer it
			session, p.noEarly = nil, cmp.Or(p.noEarly, EarlyUnsupportedSession)
			continue
		}
		if config.EarlyData && t.engine.EarlyData() != handshake.EarlyOffered {
			config.EarlyData, p.noEarly = false, notOffered(t.engine.EarlyReason()) // nor may it have to
		}
		if !config.EarlyData || c.config.VerifyConnection == nil {
			break
		}
		// The application is asked before a byte leaves, and again with the
		// final state.
		err := c.config.VerifyConnection(t.engine.PredictedState())
		if err == nil {
			break
		}
		p.noEarly = EarlyIdentity
		if errors.Is(err, ErrOtherProtocol) {
			c.giveBack(session) // there is nothing wrong with it but the protocol; any other ticket is dropped
			p.noEarly = EarlyOtherProtocol
		}
		session = nil
	}
	t.session = session
	t.info.Early.Reason = p.noEarly
	if p.noEarly == EarlyNone {
		n, err := t.engine.WriteEarly(p.early)
		if err != nil {
			c.giveBack(session)
			return nil, err
		}
		t.early = n
		t.info.Early.Offered, t.info.Early.Bytes = true, n
	}
	t.info.HelloBytes = t.engine.HelloLen()
	t.flight = t.engine.AppendOutput(nil)
	if r.syn && len(t.flight) > r.budget {
		t.info.Overflow = len(t.flight) - r.budget
	}
	return t, nil
}

// takeSession takes the first session that is fit for this connection, and
// drops those before it. The reason is for a nil session. The chains are today's.
func (c *Conn) takeSession(p plan) (*Session, [][]*x509.Certificate, EarlyReason) {
	const mostStale = 16
	if p.noSession || c.sessions == nil {
		return nil, nil, EarlyNoSession
	}
	for range mostStale {
		s := c.sessions.Take(c.sessionKey)
		if s == nil {
			break
		}
		if s.expired(c.dialer.clock.now()) || !fitsCertificates(s.hs, c.config) ||
			!c.offersALPN(s.hs.ALPN) {
			continue
		}
		chains, err := c.dialer.verifier.verify(s.hs, c.config)
		if err != nil {
			return nil, nil, EarlyIdentity
		}
		c.trace.ticketTaken(s, &c.dialer.clock)
		return s, chains, EarlyNone
	}
	return nil, nil, EarlyNoSession
}

// offersALPN tells whether the hello may offer a session's protocol. A Builder can have protocols of its own where NextProtos
// lists none.
func (c *Conn) offersALPN(proto string) bool {
	return proto == "" || slices.Contains(c.config.NextProtos, proto) || c.dialer.Hello != nil && len(c.config.NextProtos) == 0
}

// giveBack returns a session whose ticket never left this machine.
func (c *Conn) giveBack(s *Session) {
	if s != nil && c.sessions != nil {
		c.sessions.Put(c.sessionKey, s)
		c.trace.ticketReturned(s, &c.dialer.clock)
	}
}

// whyNotEarly says why this session may not carry early data now.
func (c *Conn) whyNotEarly(s *Session, p plan, r room, now stamp) EarlyReason {
	age, trusted := s.age(now)
	switch {
	case s.hs.MaxEarlyData == 0:
		return EarlyUnsupportedSession
	case !trusted:
		return EarlyClock
	case !r.once:
		return EarlyOnceOnly
	case now.wall.Before(c.dialer.hosts.get(c.hostKey).pauseUntil):
		return EarlyPaused
	case len(p.early) > 0 && c.dialer.EarlyData != nil && !c.dialer.EarlyData(EarlyDataOffer{
		Addr: c.addr, ServerName: s.hs.ServerName, ALPN: s.hs.ALPN, TicketAge: age, Size: len(p.early), Limit: s.hs.MaxEarlyData}):
		return EarlyPolicy
	}
	return EarlyNone
}

// chooseHello builds the engine with the groups and shares that cost the
// fewest round trips on this path (see the package documentation).
func (c *Conn) chooseHello(t *attempt, config handshake.Config, r room) error {
	build := func(listed, shares []tls.CurveID, lean bool) (err error) {
		config.Groups, config.KeyShares, config.Lean = listed, shares, lean
		t.engine, err = handshake.NewClient(&config)
		return err
	}
	t.info.ClassicalOnly = false
	if config.Hello != nil {
		// It has groups and shares of its own, and CurvePreferences only forbids some.
		return build(config.Groups, nil, false)
	}
	listed := config.Groups
	classical := slices.DeleteFunc(slices.Clone(listed), handshake.PostQuantum)
	last := c.dialer.hosts.get(c.hostKey).group
	s := config.Session
	if s != nil {
		last = s.Group
	}
	switch {
	case s != nil && r.syn && len(classical) > 0 && !c.hybridIsDue(s):
		// One small share, and no hybrid listed: a server that prefers the
		// hybrid would ask for its share by HelloRetryRequest, and that ends
		// the early data. The PSK carries the hybrid secret of its lineage on;
		// if it is refused, nothing may be sent under this key exchange.
		share := tls.X25519
		if !handshake.PostQuantum(last) && last != 0 {
			share = last
		}
		if !slices.Contains(classical, share) {
			share = classical[0]
		}
		config.RequirePSK = !s.HybridAt.IsZero() && len(classical) < len(listed)
		t.info.ClassicalOnly = config.RequirePSK
		return build(classical, []tls.CurveID{share}, false)

	case s == nil && r.cookie && slices.Contains(listed, last):
		// The share that the server chose last time, alone, if that fits.
		for _, lean := range []bool{false, true} {
			if err := build(listed, []tls.CurveID{last}, lean); err != nil || t.engine.HelloLen() <= r.budget {
				return err
			}
		}

	case last != 0 && slices.Contains(listed, last) && last != tls.X25519 && last != tls.X25519MLKEM768:
		// A server that passed over the usual shares before would ask again.
		return build(listed, []tls.CurveID{last}, false)
	}
	return build(listed, nil, false)
}

// hybridIsDue tells whether the lineage's last post-quantum key exchange is so
// old that the next one is due.
func (c *Conn) hybridIsDue(s *handshake.Session) bool {
	return !s.HybridAt.IsZero() && wallSince(s.HybridAt, c.dialer.clock.now()) > c.dialer.hybridRefresh()
}
