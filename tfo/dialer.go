package tfo

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// ErrOnce ends a dial whose callback marked a flight Once although Attempt.MayOnce was false. Nothing of that flight was sent.
var ErrOnce = errors.New("tfo: first flight is marked Once, but an earlier attempt may have sent such bytes")

// Dialer dials TCP connections with initial data. The zero value works. It is safe for concurrent use and must not be changed
// after first use.
type Dialer struct {
	// NetDialer says how to dial: Timeout, Deadline, LocalAddr, Resolver, KeepAlive, KeepAliveConfig, Control, ControlContext and Cancel
	// mean what they mean there; nil is the zero net.Dialer. Addresses are tried one after the other, so FallbackDelay
	// means nothing; Multipath TCP is not used (with Fast Open it stalls). It is never changed.
	NetDialer *net.Dialer

	// Disable switches TCP Fast Open off: every attempt is plain.
	Disable bool
}

type (
	rawConn       = syscall.RawConn
	beforeConnect = func(context.Context, rawConn) error
)

// DialContext connects to address over network ("tcp", "tcp4" or "tcp6") as net.Dialer.DialContext does, and sends the flight that first returns for
// the attempt: in the SYN where possible, else right after the connect. That data must be replayable (see Flight). A nil first
// sends nothing.
//
// It returns when the SYN-ACK has come and the kernel has taken the whole flight. The context and the dialer's
// deadlines bind until then, and never afterwards.
//
// The Info is never nil: after an error it has the attempts. The error of a lone attempt is a *net.OpError as net has it; those of several
// are joined in one.
func (d *Dialer) DialContext(ctx context.Context, network, address string, first FirstFlight) (*net.TCPConn, *Info, error) {
	info := new(Info)
	dial := &dialing{dialer: d, network: network, first: first}
	if d.NetDialer != nil {
		dial.net = *d.NetDialer
	}
	dial.control, dial.controlContext = dial.net.Control, dial.net.ControlContext
	dial.net.SetMultipathTCP(false)
	ctx, cancel := bindContext(ctx, &dial.net)
	defer cancel()

	start := time.Now()
	addrs, err := resolve(ctx, &dial.net, network, address)
	info.ResolveTime = time.Since(start)
	if err != nil {
		return nil, info, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	conn, err := dial.inTurn(ctx, addrs, info)
	return conn, info, err
}

// dialing is one call of DialContext: what its attempts share.
type dialing struct {
	dialer         *Dialer
	net            net.Dialer // the caller's, copied
	control        func(network, address string, c rawConn) error
	controlContext func(ctx context.Context, network, address string, c rawConn) error
	network        string
	first          FirstFlight
	right          onceRight
}

// inTurn is the policy: one address after the other, each with its share of the time that is left. Every attempt may send its own replayable flight.
func (d *dialing) inTurn(ctx context.Context, addrs []netip.AddrPort, info *Info) (*net.TCPConn, error) {
	var errs attemptErrors
	for i, addr := range addrs {
		if err := ctx.Err(); err != nil {
			errs = append(errs, d.failed(addr, err))
			break
		}
		t := d.newAttempt(addr)
		info.Attempts = append(info.Attempts, t.Attempt)
		share, cancel := shareDeadline(ctx, time.Now(), len(addrs)-i)
		conn, err := t.connect(share)
		cancel()
		if err == nil {
			t.observe(conn)
			if err = t.deliver(ctx, conn); err != nil {
				conn.Close()
			}
		}
		t.settle(err)
		if err == nil {
			info.won(t)
			return conn, nil
		}
		if t.fatal != nil {
			return nil, t.fatal
		}
		errs = append(errs, err)
	}
	if len(errs) == 1 {
		return nil, errs[0]
	}
	return nil, &net.OpError{Op: "dial", Net: d.network, Source: d.net.LocalAddr, Err: errs}
}

// newAttempt plans an attempt.
func (d *dialing) newAttempt(addr netip.AddrPort) *attempt {
	t := &attempt{dial: d, Attempt: &Attempt{Network: "tcp4", Addr: addr}}
	if addr.Addr().Is6() {
		t.Network = "tcp6"
	}
	switch {
	case d.first == nil:
		t.syn.why = ReasonNothingToSend
	case d.dialer.Disable:
		t.syn.why = ReasonDisabled
	case !supported:
		t.syn.why = ReasonUnsupported
	default:
		t.Way = WayFastOpen
		t.survey()
	}
	return t
}

// userControl calls the hook that the caller set, as net does.
func (d *dialing) userControl(ctx context.Context, network, address string, c rawConn) error {
	if d.controlContext != nil {
		return d.controlContext(ctx, network, address, c)
	}
	if d.control != nil {
		return d.control(network, address, c)
	}
	return nil
}

// asNet fills an error of net with what the caller asked for instead of what an attempt made of it.
func (d *dialing) asNet(err error) error {
	if e, ok := err.(*net.OpError); ok {
		e.Op, e.Net = "dial", d.network
		if e.Source == nil {
			e.Source = d.net.LocalAddr
		}
	}
	return err
}

func (d *dialing) failed(addr netip.AddrPort, err error) error {
	return &net.OpError{Op: "dial", Net: d.network, Source: d.net.LocalAddr, Addr: net.TCPAddrFromAddrPort(addr), Err: err}
}

// attemptErrors are the errors of a dial's attempts, in their order.
type attemptErrors []error

func (e attemptErrors) Error() string {
	var b strings.Builder
	for i, err := range e {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(err.Error())
	}
	return b.String()
}

func (e attemptErrors) Unwrap() []error { return e }

// Timeout reports whether the attempt that ended the dial ran out of time.
func (e attemptErrors) Timeout() bool {
	if len(e) == 0 {
		return false
	}
	t, ok := e[len(e)-1].(interface{ Timeout() bool })
	return ok && t.Timeout()
}

// bindContext narrows ctx to d's Timeout, Deadline and Cancel, and clears those: they are for the whole dial, not for one attempt.
func bindContext(ctx context.Context, d *net.Dialer) (context.Context, context.CancelFunc) {
	deadline := d.Deadline
	if d.Timeout != 0 {
		if t := time.Now().Add(d.Timeout); deadline.IsZero() || t.Before(deadline) {
			deadline = t
		}
	}
	//lint:ignore SA1019 callers may still set it
	abort := d.Cancel
	//lint:ignore SA1019 as above
	d.Timeout, d.Deadline, d.Cancel = 0, time.Time{}, nil

	cancel := func() {}
	if !deadline.IsZero() {
		ctx, cancel = context.WithDeadline(ctx, deadline)
	}
	if abort == nil {
		return ctx, cancel
	}
	ctx, cancelAbort := context.WithCancel(ctx)
	go func() {
		select {
		case <-abort:
			cancelAbort()
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancelAbort(); cancel() }
}

// shareDeadline gives one of n remaining addresses its share of the time that ctx leaves, but at least two seconds of it, as net does.
func shareDeadline(ctx context.Context, now time.Time, n int) (context.Context, context.CancelFunc) {
	const least = 2 * time.Second
	deadline, ok := ctx.Deadline()
	if !ok || n <= 1 {
		return ctx, func() {}
	}
	left := deadline.Sub(now)
	return context.WithDeadline(ctx, now.Add(max(left/time.Duration(n), min(left, least))))
}
