package tlstfo

import (
	"cmp"
	"net"
	"sync"
	"time"
)

// SetDeadline sets both deadlines. It works in every phase of the Conn's life.
func (c *Conn) SetDeadline(t time.Time) error {
	return c.setDeadlines(t, &c.readDeadline, &c.writeDeadline)
}

// SetReadDeadline sets the deadline of Reads. Before the handshake is complete
// it binds the wait for it; passing does not end the dial.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(t, &c.readDeadline) }

// SetWriteDeadline sets the deadline of Writes. Before the handshake is
// complete it binds the wait for it; passing does not end the dial. Nor does it end the delivery of
// what was handed over before: by DialEarly, or by a Write that gathered.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, &c.writeDeadline) }

func (c *Conn) setDeadlines(t time.Time, which ...*deadline) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	var err error
	for _, d := range which {
		d.set(t)
		if c.established() && !c.defers(d) { // else the handshake has deadlines of its own, and settle applies these
			err = cmp.Or(err, c.applyDeadline(d))
		}
	}
	return err
}

// defers tells whether a deadline must wait: what is owed was reported as written, so that no deadline may cut it any
// more. The caller holds mu.
func (c *Conn) defers(d *deadline) bool {
	return d == &c.writeDeadline && len(c.first) > 0 && !d.get().IsZero()
}

// startDeadlines hands over the deadlines that the transport did not get before. The caller holds mu.
func (c *Conn) startDeadlines(which ...*deadline) {
	for _, d := range which {
		own := c.given != nil && d.get().IsZero() // the caller's transport may have one already
		if !c.closed && !own && !c.defers(d) {
			c.applyDeadline(d)
		}
	}
}

// applyDeadline hands a deadline to the transport. The caller holds mu.
func (c *Conn) applyDeadline(d *deadline) error {
	var conn net.Conn = c.raw
	if c.std != nil {
		conn = c.std
	}
	if d == &c.readDeadline {
		return conn.SetReadDeadline(d.get())
	}
	return conn.SetWriteDeadline(d.get())
}

// deadline is a read or write deadline that wakes who waits for something
// else than the transport: the dial, the handshake. The zero value is no
// deadline.
type deadline struct {
	mu    sync.Mutex
	t     time.Time
	timer *time.Timer
	ch    chan struct{} // closed when t has passed; nil until somebody waits
}

// set changes the deadline. The zero time removes it.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.t = t
	if d.ch != nil {
		d.arm()
	}
}

// get returns the deadline.
func (d *deadline) get() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.t
}

// passed returns a channel that is closed while the deadline is in the past.
// It stays right when the deadline is changed: extending a deadline that has
// not passed keeps the channel.
func (d *deadline) passed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ch == nil {
		d.ch = make(chan struct{})
		d.arm()
	}
	return d.ch
}

// arm sets the timer for t. The caller holds mu.
func (d *deadline) arm() {
	if d.timer != nil && !d.timer.Stop() {
		<-d.ch // the timer fired: wait until it has closed the channel
	}
	d.timer = nil
	closed := false
	select {
	case <-d.ch:
		closed = true
	default:
	}
	left := time.Until(d.t)
	switch {
	case !d.t.IsZero() && left <= 0:
		if !closed {
			close(d.ch)
		}
		return
	case closed:
		d.ch = make(chan struct{})
	}
	if !d.t.IsZero() {
		ch := d.ch
		d.timer = time.AfterFunc(left, func() { close(ch) })
	}
}

// stop releases the timer and the channel: nobody waits for it any more.
func (d *deadline) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
	d.timer, d.ch = nil, nil
}
