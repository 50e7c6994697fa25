package tlstfo

import (
	"cmp"
	"context"
	"net"
	"strings"
	"time"

	"github.com/tlstfo/tlstfo/tfo"
)

const (
	defaultTimeout       = 30 * time.Second
	defaultCork          = time.Millisecond
	defaultReadGrace     = 20 * time.Millisecond
	defaultHybridRefresh = 24 * time.Hour
)

// timeout is Timeout with its default.
func (d *Dialer) timeout() time.Duration {
	switch {
	case d.Timeout > 0:
		return d.Timeout
	case d.NetDialer != nil && d.NetDialer.Timeout > 0:
		return d.NetDialer.Timeout
	}
	return defaultTimeout
}

// cork is Cork with its default.
func (d *Dialer) cork() time.Duration { return cmp.Or(d.Cork, defaultCork) }

// readGrace is ReadGrace with its default.
func (d *Dialer) readGrace() time.Duration { return cmp.Or(d.ReadGrace, defaultReadGrace) }

// hybridRefresh is HybridRefresh with its default.
func (d *Dialer) hybridRefresh() time.Duration { return cmp.Or(d.HybridRefresh, defaultHybridRefresh) }

// netDialer is NetDialer with its default.
func (d *Dialer) netDialer() *net.Dialer { return cmp.Or(d.NetDialer, new(net.Dialer)) }

// overTCP tells whether a network is TCP, which alone has SYNs, hosts and ports.
func overTCP(network string) bool { return strings.HasPrefix(network, "tcp") }

// bind narrows a context to NetDialer's limits, which are for dial and
// handshake together, as tls.Dialer has it.
func (d *Dialer) bind(ctx context.Context) (context.Context, context.CancelFunc) {
	nd := d.NetDialer
	if nd == nil {
		return ctx, func() {}
	}
	deadline := nd.Deadline
	if nd.Timeout > 0 {
		if t := time.Now().Add(nd.Timeout); deadline.IsZero() || t.Before(deadline) {
			deadline = t
		}
	}
	if deadline.IsZero() {
		return ctx, func() {}
	}
	return context.WithDeadlineCause(ctx, deadline, ErrTimeout)
}

// deadline is when what runs on after a dialling call ends: NetDialer.Deadline is
// for all of a dial.
func (d *Dialer) deadline() time.Time {
	t := time.Now().Add(d.timeout())
	if nd := d.NetDialer; nd != nil && !nd.Deadline.IsZero() && nd.Deadline.Before(t) {
		return nd.Deadline
	}
	return t
}

// fastOpen is FastOpen with its default.
func (d *Dialer) fastOpen() *tfo.Memory {
	if d.FastOpen != nil {
		return d.FastOpen
	}
	return &d.ownFastOpen
}
