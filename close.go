package tlstfo

import (
	"cmp"
	"context"
	"net"
	"sync"
	"time"

	"github.com/tlstfo/tlstfo/handshake"
)

// Close closes the connection. Reads and Writes that wait return net.ErrClosed.
//
// What was handed over by DialEarly or gathered by Writes is delivered first, whatever the deadlines:
// Close waits for the handshake and then until it is written, each at most for Dialer.Timeout, unless SetLinger(0) was
// called. If that fails, Close returns why, also where it failed after the handshake and before Close; a handshake that failed
// before is told of by every other call. A Conn that was never written to nor read from sends nothing.
//
// An established connection sends close_notify. Servers give their tickets
// after the handshake, so that a short connection would miss them: where the
// Dialer has few left for the server, the transport stays half open in the background until
// they came, for at most two round trips and 50 ms, and never more than 3 s (see Dialer.Flush).
func (c *Conn) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return net.ErrClosed
	}
	c.closed = true
	close(c.closing)
	slow, _ := c.raw.(*unbuffered)
	left := len(c.first) > 0 || c.info.Early.Accepted && slow.busy()
	began, owed, done := c.began, left && c.lingerSec != 0, c.isDone()
	if !began && !owed {
		c.began = true // for good: goBegin does nothing any more
		if c.cork != nil {
			c.cork.Stop()
		}
	}
	c.mu.Unlock()

	switch {
	case done:
	case owed:
		c.goBegin()
		timer := time.NewTimer(c.dialer.timeout())
		defer timer.Stop()
		select {
		case <-c.done:
		case <-timer.C:
			if c.drop() {
				return &Error{Op: "handshake", Addr: c.addr, Err: ErrTimeout, Info: c.Info()}
			}
		}
		if c.err != nil {
			return c.err // what was written is lost
		}
	case began:
		if c.drop() {
			return nil
		}
	default:
		c.settle(net.ErrClosed)
	}
	if c.err != nil {
		return nil
	}
	return c.closeEstablished(owed)
}

// isDone tells whether settle was called.
func (c *Conn) isDone() bool { return isClosed(c.done) }

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// drop ends run, and leaves it to settle: it may be held up by a callback of
// the application, even by the one that calls Close. It returns false if run
// had come to its end.
func (c *Conn) drop() bool {
	c.mu.Lock()
	if c.isDone() {
		c.mu.Unlock()
		return false
	}
	c.dropped = true
	raw := c.raw
	c.mu.Unlock()
	c.abandon(net.ErrClosed)
	if raw != nil {
		raw.Close()
	}
	return true
}

// closeEstablished closes an established connection. What is owed is delivered
// first.
func (c *Conn) closeEstablished(owed bool) error {
	switch {
	case c.dropsAll():
		return c.raw.Close()
	case owed:
		timer := time.AfterFunc(c.dialer.timeout(), func() { c.raw.Close() })
		defer timer.Stop()
		c.wmu.Lock()
		if c.owed != nil {
			<-c.owed
		}
		if slow, ok := c.raw.(*unbuffered); ok {
			<-slow.flights()
		}
	case c.owed != nil && !isClosed(c.owed), !c.wmu.TryLock(): // a Write is stuck, and closing frees it
		if c.std != nil {
			return c.std.Close()
		}
		return c.raw.Close()
	}
	var err error
	if c.std != nil {
		err = c.werr
		c.wmu.Unlock()
		return cmp.Or(err, c.std.Close())
	}
	err = c.closeNotify()
	c.wmu.Unlock()
	if c.mayLinger() && c.dialer.first().lingers.add(c) {
		return nil
	}
	return cmp.Or(c.raw.Close(), err)
}

// mayLinger tells whether tickets are worth waiting for, and takes the read
// half if so.
func (c *Conn) mayLinger() bool {
	if c.sessions == nil || c.werr != nil || c.hasTickets() {
		return false
	}
	half, ok := bare(c.raw).(interface{ CloseWrite() error })
	// A Read that waits gives the read half free, where there are deadlines.
	if !ok || c.raw.SetReadDeadline(time.Now()) != nil || half.CloseWrite() != nil {
		return false
	}
	c.rmu.Lock()
	defer c.rmu.Unlock()
	if c.rerr != nil {
		return false
	}
	c.rerr, c.input = net.ErrClosed, nil
	return true
}

// hasTickets tells whether there are enough tickets for the next connections.
func (c *Conn) hasTickets() bool {
	pool, ok := c.sessions.(sessionCounter)
	return ok && pool.Len(c.sessionKey) >= enoughTickets
}

const (
	// enoughTickets are enough for a Dialer: a resumption gives one back.
	enoughTickets = 2

	maxLingers   = 64
	maxLingering = 3 * time.Second
	lingerRTTs   = 2
	// lingerGrace is for the server's own time and for the scheduler's.
	lingerGrace = 50 * time.Millisecond
	lingerBytes = 64 << 10
)

// lingers are the closed connections that still wait for tickets. The zero
// value works.
type lingers struct {
	mu    sync.Mutex
	conns map[*Conn]struct{}
	idle  chan struct{} // closed when conns is empty; nil if nobody waits
}

// add lets a connection linger, if there is room.
func (l *lingers) add(c *Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.conns) >= maxLingers {
		return false
	}
	if l.conns == nil {
		l.conns = make(map[*Conn]struct{})
	}
	l.conns[c] = struct{}{}
	go func() {
		c.linger()
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.conns, c)
		if len(l.conns) == 0 && l.idle != nil {
			close(l.idle)
			l.idle = nil
		}
	}()
	return true
}

// wait waits until none lingers.
func (l *lingers) wait(ctx context.Context) error {
	l.mu.Lock()
	if len(l.conns) == 0 {
		l.mu.Unlock()
		return nil
	}
	if l.idle == nil {
		l.idle = make(chan struct{})
	}
	idle := l.idle
	l.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// end ends them all.
func (l *lingers) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		c.raw.Close()
	}
}

// linger reads tickets from a closed connection, until there are enough, within
// its bounds. Nothing but tickets is taken: the first application data ends it.
func (c *Conn) linger() {
	defer c.raw.Close()
	defer c.opener.Release() // mayLinger saw to it that nobody reads any more
	wait := maxLingering
	if rtt := c.info.RTT; rtt > 0 {
		wait = min(lingerRTTs*rtt+lingerGrace, maxLingering)
	}
	c.raw.SetReadDeadline(time.Now().Add(wait))
	for left := lingerBytes; ; {
		ev, err := c.opener.Next(time.Now())
		switch {
		case err != nil, ev.Kind == handshake.EventData, ev.Kind == handshake.EventCloseNotify:
			return
		case ev.Kind == handshake.EventTicket:
			c.keep(ev.Session)
			if c.hasTickets() {
				return
			}
		case left <= 0:
			return
		default:
			n, err := c.raw.Read(c.opener.Buffer())
			c.opener.Advance(n)
			left -= n
			if err != nil && n == 0 {
				return
			}
		}
	}
}

// maxTickets is how many tickets of one connection are kept. More are of no use, and
// a store may be slow.
const maxTickets = 8

// keep puts a ticket into the cache.
func (c *Conn) keep(s *handshake.Session) {
	c.mu.Lock()
	c.info.Tickets++
	n := c.info.Tickets
	c.mu.Unlock()
	if c.sessions != nil && n <= maxTickets {
		session := newSession(s, c.dialer.clock.now())
		c.sessions.Put(c.sessionKey, session)
		c.trace.ticketStored(session, &c.dialer.clock)
	}
}
