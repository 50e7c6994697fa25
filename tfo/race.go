package tfo

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"
)

// ErrLost is why an attempt was given up that might still have succeeded: another one had its SYN-ACK first.
var ErrLost = errors.New("tfo: another attempt won")

const (
	// Connection Attempt Delay: its default, and what it "MUST NOT be less than" (RFC 8305, section 8).
	usualDelay = 250 * time.Millisecond
	leastDelay = 10 * time.Millisecond

	// How long a SYN of Fast Open may stay without an answer before a plain SYN follows it.
	leastTwinDelay = 30 * time.Millisecond
	mostTwinDelay  = 250 * time.Millisecond // and where the round-trip time is unknown
)

// race is the policy of a dial. Each address has a lane; lanes begin one Connection Attempt Delay after the other, or as soon as an attempt has failed.
// A lane sets out with Fast Open where it may. If that SYN carried something that a middlebox can stumble over, and stays without an
// answer, or is answered by an error, then a plain twin to the same address joins. The first SYN-ACK decides.
//
// Its methods run on one goroutine: that of DialContext, or one that goes on in its place (see watch). An attempt that is alone connects on that goroutine, too;
// others connect on goroutines of their own, report by events, and do not outlive the race.
type race struct {
	*dialing
	ctx    context.Context // of the dial
	info   *Info
	delay  time.Duration // between the beginnings of lanes
	serial bool          // lanes do not overlap
	single bool          // nor do attempts: they share a local port

	attempts context.Context // of the attempts: it ends with the race
	cancel   context.CancelFunc
	waiting  []netip.AddrPort // addresses without a lane yet
	nextLane time.Time        // when the next of them gets its lane
	lanes    []*lane
	starting []*attempt // that have begun, but do not connect yet
	running  int        // attempts that have not reported their end
	events   chan event
	timer    *time.Timer
	errs     attemptErrors // in the order in which attempts failed
}

// lane is the race towards one address.
type lane struct {
	ctx      context.Context
	release  context.CancelFunc
	first    *attempt
	twin     *attempt  // plain, to the same address; nil until it joins
	twinTime time.Time // when it joins unless the race is over by then; zero if nothing calls for it
	running  int
}

// event is what an attempt reports: that its SYN is out, or how it ended.
type event struct {
	t    *attempt
	syn  bool // its SYN is out, and no ordinary one
	conn *net.TCPConn
	err  error
}

// race connects to one of addrs and sends its (replayable) flight.
func (d *dialing) race(ctx context.Context, addrs []netip.AddrPort, info *Info) (*net.TCPConn, error) {
	r := &race{
		dialing: d, ctx: ctx, info: info, delay: usualDelay,
		waiting: interleave(addrs),
		events:  make(chan event, 4), // an attempt that is alone, and the twin that joins it, have no more to report
	}
	if d.net.FallbackDelay > 0 {
		r.delay = max(d.net.FallbackDelay, leastDelay)
	}
	local, _ := d.net.LocalAddr.(*net.TCPAddr)
	r.single = local != nil && local.Port != 0
	r.serial = r.single || d.net.FallbackDelay < 0
	r.attempts, r.cancel = context.WithCancel(ctx)
	defer r.cancel()
	return r.run()
}

func (r *race) run() (*net.TCPConn, error) {
	for {
		r.beginDue()
		if r.running == 0 {
			r.remember(false)
			return nil, r.failure()
		}
		var e event
		ok := true
		if t := r.starting; len(t) == 1 && r.running == 1 {
			var w *watch
			if e, w = r.connectHere(t[0]); w != nil {
				return w.outcome()
			}
		} else {
			r.connectElsewhere()
			e, ok = r.wait()
		}
		switch {
		case !ok:
		case e.syn:
			r.expectAnswer(e.t)
		case e.conn != nil:
			return r.win(e)
		case e.t.fatal != nil:
			r.finish(e, e.err)
			r.dismiss(e.t.fatal)
			return nil, e.t.fatal
		default:
			r.fail(e)
		}
	}
}

// beginDue begins every attempt whose time has come.
func (r *race) beginDue() {
	now := time.Now()
	for _, l := range r.lanes {
		if !l.twinTime.IsZero() && !now.Before(l.twinTime) {
			r.beginTwin(l)
		}
	}
	for len(r.waiting) > 0 && (r.running == 0 || !r.serial && !now.Before(r.nextLane)) {
		if err := r.ctx.Err(); err != nil {
			r.errs = r.errs.with(r.failed(r.waiting[0], err))
			r.waiting = nil
			return
		}
		l := &lane{ctx: r.attempts, release: func() {}}
		if r.serial {
			l.ctx, l.release = shareDeadline(r.attempts, now, len(r.waiting))
		}
		l.first = r.newAttempt(r.waiting[0])
		r.waiting, r.nextLane, r.lanes = r.waiting[1:], now.Add(r.delay), append(r.lanes, l)
		if l.first.Way == WayPlain && len(r.waiting) == 0 && r.running == 0 {
			l.ctx = r.ctx // nothing can join, and net does less for a context that cannot end
		}
		r.begin(l, l.first)
	}
}

// beginTwin has a plain attempt join.
func (r *race) beginTwin(l *lane) {
	l.twinTime = time.Time{}
	l.twin = r.newTwin(l.first)
	r.begin(l, l.twin)
}

// begin notes an attempt that is to connect now.
func (r *race) begin(l *lane, t *attempt) {
	t.lane, t.events = l, r.events
	r.info.Attempts = append(r.info.Attempts, t.Attempt)
	r.starting = append(r.starting, t)
	r.running++
	l.running++
	t.trace.attemptStart(t.Attempt)
}

// connectElsewhere has the attempts that have begun connect.
func (r *race) connectElsewhere() {
	for _, t := range r.starting {
		go func() {
			e := event{t: t, err: errExited}
			defer func() {
				if e.err == errExited {
					t.fatal = errExited
				}
				r.events <- e
			}()
			e.conn, e.err = r.system.connect(t.lane.ctx, t)
		}()
	}
	r.starting = nil
}

// errExited is left by a callback that ended its goroutine (runtime.Goexit).
var errExited = errors.New("tfo: the goroutine of the attempt was ended")

// next is when the time of another attempt comes, or zero.
func (r *race) next() (next time.Time) {
	if len(r.waiting) > 0 && !r.serial {
		next = r.nextLane
	}
	for _, l := range r.lanes {
		if !l.twinTime.IsZero() && (next.IsZero() || l.twinTime.Before(next)) {
			next = l.twinTime
		}
	}
	return next
}

// wait returns the next event, or false when the time of another attempt has come.
func (r *race) wait() (event, bool) {
	next := r.next()
	if next.IsZero() {
		return <-r.events, true
	}
	if r.timer == nil {
		r.timer = time.NewTimer(time.Until(next))
	} else {
		r.timer.Reset(time.Until(next))
	}
	defer r.timer.Stop()
	select {
	case e := <-r.events:
		return e, true
	case <-r.timer.C:
		return event{}, false
	}
}

// expectAnswer sets the time at which a twin joins t, whose SYN has just left.
func (r *race) expectAnswer(t *attempt) {
	if r.single || t.lane.twin != nil {
		return
	}
	delay := twinDelay(t.RTT)
	now := time.Now()
	if deadline, ok := t.lane.ctx.Deadline(); ok {
		delay = min(delay, deadline.Sub(now)/3) // a dial in a hurry leaves the twin time, too
	}
	t.lane.twinTime = now.Add(delay)
}

// twinDelay is a round trip and half of one, where that is known.
func twinDelay(rtt time.Duration) time.Duration {
	if rtt <= 0 {
		return mostTwinDelay
	}
	return min(max(rtt+rtt/2, leastTwinDelay), mostTwinDelay)
}

// fail goes on after an attempt failed: with a twin to the same address, and with the next address at once, which would be late if the twin failed too.
func (r *race) fail(e event) {
	l := e.t.lane
	r.finish(e, e.err)
	r.errs = r.errs.with(e.err)
	r.nextLane = time.Now()
	l.twinTime = time.Time{} // now or never
	if l.twin == nil && e.t.option && l.ctx.Err() == nil {
		r.beginTwin(l)
	}
	if l.running == 0 {
		l.release()
	}
}

// win ends the race in favour of e's attempt. The others are settled first, so that the right to send once-only bytes can have passed
// on to the winner before it sends the rest of its (replayable) flight.
func (r *race) win(e event) (*net.TCPConn, error) {
	t := e.t
	r.system.observe(t, e.conn)
	t.answered = true
	t.trace.synAck(t)
	t.checkNetwork(e.conn)
	r.running--
	r.dismiss(ErrLost)
	r.remember(true)
	err := t.deliver(r.ctx, e.conn)
	t.settle(err)
	if err != nil {
		e.conn.Close()
		return nil, err
	}
	r.info.won(t)
	return e.conn, nil
}

// dismiss gives up all running attempts and waits for their ends.
func (r *race) dismiss(why error) {
	r.cancel()
	for r.running > 0 {
		if e := <-r.events; !e.syn {
			r.finish(e, why)
		}
	}
	for _, l := range r.lanes {
		l.release()
	}
}

// finish notes the end of an attempt that did not win, for the given reason.
func (r *race) finish(e event, why error) {
	if e.conn != nil {
		e.t.answered = true
		r.system.observe(e.t, e.conn)
		e.t.trace.synAck(e.t)
		e.t.checkNetwork(e.conn)
		e.conn.SetLinger(0) // what it may still hold must not reach the server
		e.conn.Close()
	}
	r.running--
	e.t.lane.running--
	e.t.settle(why)
}

// failure is the error of a dial of which every attempt failed.
func (r *race) failure() error {
	if len(r.errs) == 1 {
		return r.errs[0]
	}
	return &net.OpError{Op: "dial", Net: r.network, Source: r.net.LocalAddr, Err: r.errs}
}

// interleave orders addresses as RFC 8305, section 4, wants them: the families take turns, beginning with that of the resolver's first
// address, each in the resolver's order.
func interleave(addrs []netip.AddrPort) []netip.AddrPort {
	if len(addrs) == 1 {
		return addrs
	}
	var families [2][]netip.AddrPort
	for _, a := range addrs {
		i := 0
		if a.Addr().Is4() != addrs[0].Addr().Is4() {
			i = 1
		}
		families[i] = append(families[i], a)
	}
	turns := min(len(families[0]), len(families[1]))
	ordered := make([]netip.AddrPort, 0, len(addrs))
	for i := range turns {
		ordered = append(ordered, families[0][i], families[1][i])
	}
	return slices.Concat(ordered, families[0][turns:], families[1][turns:])
}
