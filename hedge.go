package tlstfo

import (
	"cmp"
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/tlstfo/tlstfo/tfo"
)

// A hedge is a plain connection beside one whose SYN carried data: something on
// the path acknowledged that, and then let nothing through any more, or the
// server is slow. Nobody can tell which, so both may go on until one of them hears
// a valid ServerHello or HelloRetryRequest (where crypto/tls runs the connection: anything). Until then the
// hedge sends a ClientHello and nothing else, but for the alert that answers what is invalid, so that it costs a
// slow server a handshake at most, and its application sees nothing of it.
//
// The first answer would be here one round trip after the SYN. A dial that falls
// into such a hole has its answer after one round trip, the wait, and the three
// round trips of a plain dial: with a wait of 200 ms that is at most 300 ms more than
// the three alone, where a round trip takes up to 100 ms. Where it takes longer
// the wait is 2 round trips, as a lost packet or a slow server is likelier
// than a hole then.
const (
	hedgeMin  = 200 * time.Millisecond
	hedgeRTTs = 2
)

// hedgeDelay is how long a connection may stay silent after its SYN-ACK. slow is
// what its server took for an answer when the last hedge was in vain: a server under
// load must not get twice the load. A dial in a hurry leaves the hedge most of its time, and
// the two round trips that it takes with half of one to spare, if a round trip of silence leaves as much.
func hedgeDelay(ctx context.Context, rtt, slow time.Duration) time.Duration {
	d := min(max(hedgeMin, hedgeRTTs*rtt, 2*slow), silenceMax)
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		d = min(d, max(min(left/3, left-5*rtt/2), rtt))
	}
	return d
}

// beside returns the plan of a hedge for the connection of a.
func (p plan) beside(a *tfo.Attempt) plan {
	p.plain, p.addr = true, a.Addr.String()
	p.redials, p.redial, p.hedged = p.redials+1, errSilence.Error(), true
	return p
}

var errEnded = errors.New("a callback ended the goroutine of the dial")

// pair is a connection that stays silent and its hedge. Each has its goroutine,
// and they take turns at their engines, so that only one is ever chosen.
type pair struct {
	first  *shaking
	cancel context.CancelFunc // ends the hedge
	done   chan struct{}      // closed when the hedge's goroutine has ended

	mu     sync.Mutex
	left   time.Time // when the hedge's hello had left; zero before
	hedge  *shaking  // nil until it has ended
	chosen *shaking  // the one that goes on; nil: not decided
	failed bool      // the hedge did not help
}

// mayHedge tells whether a hedge may join: SYN data was acknowledged, what
// was early would be allowed to go again, and a second connection can have a port.
func (s *shaking) mayHedge() bool {
	return s.pair == nil && s.guard && s.out.synData != nil && s.out.beforeHello &&
		!(s.out.earlyLeft && s.c.dialer.FailOnReject) && !s.c.dialer.onePort()
}

// onePort tells whether the caller chose the local port, which two connections
// to a server cannot share.
func (d *Dialer) onePort() bool {
	if d.NetDialer == nil {
		return false
	}
	local, _ := d.NetDialer.LocalAddr.(*net.TCPAddr)
	return local != nil && local.Port != 0
}

// openHedge lets a hedge join.
func (s *shaking) openHedge(ctx context.Context) {
	plan := s.plan.beside(s.out.synData)
	// Nothing is early on the hedge. What was, on the first, goes once
	// under traffic keys if the hedge is chosen: as on a redial.
	plan.noEarly = cmp.Or(s.t.info.Early.Reason, EarlyOnceOnly)
	if s.out.earlyLeft {
		plan.noEarly = EarlyBroke
		plan.broken, plan.brokenTo = plan.broken+s.out.early, s.out.earlyTo
	}
	ctx, cancel := context.WithCancel(ctx)
	s.pair = &pair{first: s, cancel: cancel, done: make(chan struct{})}
	s.sent = s.began
	s.out.hedged, s.t.info.Hedged = true, true
	s.c.setInfo(s.t.info)
	s.c.trace.redial(plan.redial, true)
	go s.pair.runHedge(ctx, plan)
}

// runHedge dials the hedge and drives its handshake as far as it may.
func (p *pair) runHedge(ctx context.Context, plan plan) {
	defer close(p.done)
	c := p.first.c
	h := &shaking{c: c, plan: plan, pair: p, stop: func() bool { return true }, earlyTo: plan.brokenTo}
	h.out.err = errEnded
	defer func() { p.end(h) }()
	raw, t, out := c.connect(ctx, plan)
	if out.err != nil {
		h.out = out
		return
	}
	out.op, out.err = "handshake", errEnded
	h.raw, h.t, h.out = raw, t, out
	p.mu.Lock()
	p.left = time.Now()
	p.mu.Unlock()
	h.stop = context.AfterFunc(ctx, func() { reset(raw) })
	c.trace.handshakeStart(&t.info)
	h.out.err = h.exchange(ctx)
}

// began is when the hedge's hello had left; zero if it did not.
func (p *pair) began() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.left
}

// end is the end of the hedge's goroutine. A hedge that failed leaves the
// first to the watchdog, unless what it was told is true of the first as well.
func (p *pair) end(h *shaking) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hedge = h
	switch {
	case p.chosen != nil:
	case looksOlder(h.out.err):
		p.choose(h)
	default:
		p.failed = true
		p.first.raw.SetReadDeadline(time.Now().Add(silence(p.first.t.info.RTT)))
	}
}

// choose decides, once. The other connection is closed. The caller holds mu.
func (p *pair) choose(s *shaking) {
	if p.chosen != nil {
		return
	}
	p.chosen = s
	if s == p.first {
		p.cancel()
	} else {
		reset(p.first.raw)
	}
}

// giveUp ends a hedge that heard no ServerHello.
func (p *pair) giveUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.chosen == nil {
		p.cancel()
	}
}

// result returns the connection that goes on, after the first's handshake has
// ended in its outcome.
func (p *pair) result(ctx context.Context) *shaking {
	first := p.first
	p.mu.Lock()
	if err := first.out.err; err == nil || p.failed || looksOlder(err) || ctx.Err() != nil {
		p.choose(first)
	}
	chosen := p.chosen
	p.mu.Unlock()
	if chosen != first {
		// The hedge was chosen, or goes on alone, and then for as long as the
		// watchdog has patience: the error of the first would be here already.
		timer := time.AfterFunc(silence(first.t.info.RTT), p.giveUp)
		<-p.done
		timer.Stop()
		p.mu.Lock()
		p.choose(first) // if the hedge has failed too
		chosen = p.chosen
		p.mu.Unlock()
	}
	if chosen == first {
		return first
	}
	h := chosen
	out := first.out
	out.err, out.op, out.beforeHello = h.out.err, h.out.op, h.out.beforeHello
	out.redials, out.stalled = 1, !first.heard
	h.out = out
	h.c.setTransport(h.raw, h.t)
	return h
}

// leave ends the pair, if there is one, once its result is settled: no goroutine of the dial is
// left afterwards.
func (s *shaking) leave() {
	p := s.pair
	if p == nil {
		return
	}
	p.cancel()
	<-p.done
	for _, s := range []*shaking{p.first, p.hedge} {
		if s == p.chosen || s.raw == nil {
			continue
		}
		s.stop()
		reset(s.raw)
		if s.out.err == nil || errors.Is(s.out.err, net.ErrClosed) {
			s.out.err = tfo.ErrLost
		}
		s.t.info.Early.broke()
		s.c.trace.handshakeDone(&s.t.info, s.out.err)
	}
}

// reset closes a connection at once: what the kernel may still hold must not
// reach the server.
func reset(conn net.Conn) {
	setLinger(conn, 0)
	conn.Close()
}
