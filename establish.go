package tlstfo

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"

	"github.com/tlstfo/tlstfo/tfo"
)

// establish dials and completes the handshake, with the redials that redial
// allows. What it sends early is *replayable* (Conn.early), and is sent early at most
// once, whatever happens.
func (c *Conn) establish(ctx context.Context) error {
	if ctx.Err() != nil {
		return c.wrap(outcome{op: "dial", err: context.Cause(ctx)}, nil)
	}
	p := plan{early: c.first[:c.early], std: c.dialer.std}
	if p.std != "" && c.dialer.Hello != nil {
		return c.wrap(outcome{op: "dial", err: errors.New("crypto/tls has a ClientHello of its own, and Dialer.Hello is set: " + p.std)}, nil)
	}
	if p.std == "" && c.mayBeOlder() && c.dialer.clock.now().wall.Before(c.dialer.hosts.get(c.hostKey).stdUntil) {
		p.std = "the server did not speak TLS 1.3 when it was last dialled"
	}
	uncertain := false // early bytes left, and nobody knows what became of them
	for {
		out := c.try(ctx, p)
		if out.earlyLeft && !out.earlyTold {
			c.trace.earlyResult(out.early, EarlyBroke)
		}
		if out.silent() {
			// Something on the path let the handshake through and dropped what
			// followed. Whether it was the SYN's data is found out by leaving it away.
			c.dialer.fastOpen().Stalled(out.synData)
		}
		if out.earlyToBlame(ctx) { // this host is not sent early data for a while
			until := c.dialer.clock.now().wall.Add(earlyPause)
			c.dialer.hosts.change(c.hostKey, func(h *host) { h.pauseUntil = until })
		}
		switch {
		case out.err == nil:
			return nil
		case out.accepted:
			return c.wrap(out, ErrEarlyDataAccepted)
		case out.earlyLeft && !errors.Is(out.err, ErrEarlyDataRejected): // the one rejection that was authenticated
			uncertain = true
			p.broken, p.brokenTo = p.broken+out.early, out.earlyTo
		}
		next, ok := c.redial(p, out)
		if !ok || ctx.Err() != nil {
			switch {
			case uncertain:
				return c.wrap(out, ErrEarlyDataUncertain)
			case isOlder(out.err):
				return c.wrap(out, ErrNotTLS13)
			}
			return c.wrap(out, nil)
		}
		p = next
		c.trace.redial(p.redial, false)
		p.redials += 1 + out.redials
	}
}

// try dials once, or twice where there is a hedge, and completes the
// handshake. What is early in it is *replayable*.
func (c *Conn) try(ctx context.Context, p plan) outcome {
	if p.std != "" {
		return c.tryStd(ctx, p)
	}
	raw, t, out := c.connect(ctx, p)
	if out.earlyLeft {
		c.trace.earlySent(out.early)
	}
	if out.err != nil {
		c.setInfo(out.info)
		return out
	}
	c.setTransport(raw, t)
	c.trace.handshakeStart(&t.info)
	s := &shaking{c: c, plan: p, t: t, raw: raw, out: out, earlyTo: cmp.Or(out.earlyTo, p.brokenTo)}
	return s.run(ctx)
}

// setInfo publishes what is known so far.
func (c *Conn) setInfo(info ConnInfo) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.info = info
}

// setTransport publishes what a dial came to.
func (c *Conn) setTransport(raw net.Conn, t *attempt) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw, c.info, c.state = raw, t.info, tls.ConnectionState{}
	if t.info.Early.Offered {
		c.state = t.engine.PredictedState()
	}
	if c.lingerSec >= 0 {
		setLinger(raw, int(c.lingerSec))
	}
	if c.up != nil {
		close(c.up)
		c.up = nil
	}
}

// connect makes the transport and hands over the first flight, whose early
// data is *replayable*.
func (c *Conn) connect(ctx context.Context, p plan) (net.Conn, *attempt, outcome) {
	if c.given != nil || !overTCP(c.network) {
		return c.connectOther(ctx, p)
	}
	var mu sync.Mutex // attempts may run at once
	var attempts []*attempt
	conn, info, err := c.tfoDialer(p).DialContext(ctx, c.network, cmp.Or(p.addr, c.addr),
		func(_ context.Context, a *tfo.Attempt) (tfo.Flight, error) {
			t, err := c.newAttempt(p, room{
				budget: a.Budget,
				syn:    a.Way == tfo.WayFastOpen && a.Cookie != tfo.CookieAbsent,
				cookie: a.Way == tfo.WayFastOpen && a.Cookie == tfo.CookiePresent,
				once:   a.MayOnce,
			})
			if err != nil {
				return tfo.Flight{}, err
			}
			t.on = a
			mu.Lock()
			defer mu.Unlock()
			attempts = append(attempts, t)
			return tfo.Flight{Data: t.flight, Once: t.early > 0}, nil
		})
	out := outcome{op: "dial", err: err, beforeHello: true, info: p.info()}
	var won *attempt
	for _, t := range attempts {
		out.left = out.left || t.on.Left
		if t.on.OnceLeft {
			out.noteEarly(t)
		}
		if !out.earlyLeft || t.on.OnceLeft {
			out.info = t.info
		}
		switch {
		case err == nil && t.on == info.Won:
			won = t
		case !t.on.Left:
			c.giveBack(t.session) // its ticket was never on the wire
		}
	}
	out.info.FastOpen = *info
	if out.earlyLeft {
		out.info.Early.Reason = EarlyBroke
	}
	switch {
	case err != nil:
		if ctx.Err() != nil {
			out.err = context.Cause(ctx)
		}
		return nil, nil, out
	case won.early == 0 && out.earlyLeft && c.dialer.FailOnReject:
		conn.Close()
		out.err = errors.New("another attempt of the dial may have sent the early data")
		return nil, nil, out
	}
	if won.early == 0 {
		won.info.Early.Broken += out.early
	}
	out.synData = c.synData(p, info)
	won.info.FastOpen = *info
	won.info.RTT = info.ConnectTime
	return conn, won, out
}

// synData returns the attempt that won if its SYN carried data that was
// acknowledged, else nil.
func (c *Conn) synData(p plan, info *tfo.Info) *tfo.Attempt {
	if info.SynAcked || c.dialer.seen.acked && !p.plain {
		return info.Won
	}
	return nil
}

// connectOther is connect for a Conn of Client and for networks without TCP.
func (c *Conn) connectOther(ctx context.Context, p plan) (net.Conn, *attempt, outcome) {
	out := outcome{op: "dial", beforeHello: true, info: p.info()}
	raw := c.given
	if raw == nil {
		if raw, out.err = c.dialer.netDialer().DialContext(ctx, c.network, c.addr); out.err != nil {
			if ctx.Err() != nil {
				out.err = context.Cause(ctx)
			}
			return nil, nil, out
		}
	}
	t, err := c.newAttempt(p, room{once: true})
	if err != nil {
		if c.given == nil {
			raw.Close()
		}
		out.err = err
		return nil, nil, out
	}
	t.unsent, out.left = t.flight, true
	if t.early > 0 {
		out.noteEarly(t)
	}
	return raw, t, out
}

// tfoDialer returns what dials the transport.
func (c *Conn) tfoDialer(p plan) *tfo.Dialer {
	d := &tfo.Dialer{NetDialer: c.dialer.NetDialer, Disable: c.dialer.NoFastOpen || p.plain, Memory: c.dialer.fastOpen()}
	if trace := c.dialer.Trace; trace != nil {
		d.Trace = &trace.FastOpen
	}
	return d
}
