package tfo

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
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
	// mean what they mean there; nil is the zero net.Dialer. Its control hook may be called by several goroutines at once.
	//
	// FallbackDelay is the Connection Attempt Delay of RFC 8305, section 8, between any two addresses: 0 means 250 ms, and it is at least 10 ms.
	// If it is negative, an address is tried only when the one before it has failed or used up its share of the time that is left. A LocalAddr
	// with a port has the same effect, for it can have one socket only.
	//
	// Multipath TCP is not used (with Fast Open it stalls). NetDialer is never changed.
	NetDialer *net.Dialer

	// Disable switches TCP Fast Open off: every attempt is plain.
	Disable bool

	// Memory remembers where Fast Open did harm, so that dials set out plainly there for a while. On Linux it also spares dials that follow within a second
	// about ten system calls. Nil: nothing is remembered.
	Memory *Memory

	// Trace has hooks that are called during dials. Nil: none, but for those of the context (see WithTrace).
	Trace *Trace
}

type (
	rawConn       = syscall.RawConn
	beforeConnect = func(context.Context, rawConn) error
)

// DialContext connects to address over network ("tcp", "tcp4" or "tcp6") as net.Dialer.DialContext does, and sends the flight that first returns for
// the attempt: in the SYN where possible, else right after the connect. That data must be replayable (see Flight). A nil first
// sends nothing.
//
// The addresses of a name race as RFC 8305 says. To each of them a plain attempt joins one with Fast Open whose SYN has had no answer for one and a half times the
// round-trip time that the kernel remembers (at least 30 ms, at most 250 ms, and that where it remembers none; a third of the time that is left, if
// that is less), or which failed. The first SYN-ACK wins; the other connections are closed at once. A callback error, ErrOnce and a failed write
// end the dial.
//
// It returns when the SYN-ACK has come and the kernel has taken the whole flight. The context and the dialer's
// deadlines bind until then, and never afterwards.
//
// The Info is never nil: after an error it has the attempts. The error of a lone attempt is a *net.OpError as net has it; those of several
// are joined in one, what they have in common said once.
func (d *Dialer) DialContext(ctx context.Context, network, address string, first FirstFlight) (*net.TCPConn, *Info, error) {
	info := new(Info)
	dial := &dialing{dialer: d, network: network, first: first, system: kernel{}, trace: newTracer(ctx, d.Trace)}
	dial.trace.dialStart(network, address)
	conn, err := dial.dial(ctx, address, info)
	dial.trace.dialDone(info, err)
	return conn, info, err
}

// dial resolves address and races.
func (dial *dialing) dial(ctx context.Context, address string, info *Info) (*net.TCPConn, error) {
	d := dial.dialer
	if d.NetDialer != nil {
		dial.net = *d.NetDialer
	}
	dial.control, dial.controlContext = dial.net.Control, dial.net.ControlContext
	dial.net.SetMultipathTCP(false)
	ctx, cancel := bindContext(ctx, &dial.net)
	defer cancel()

	start := time.Now()
	addrs, err := resolve(ctx, &dial.net, dial.network, address)
	info.ResolveTime = time.Since(start)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: dial.network, Err: err}
	}
	return dial.race(ctx, addrs, info)
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
	system         system
	trace          *tracer
}

// system is what a dial needs of the operating system.
type system interface {
	// fastOpen says whether it has Fast Open.
	fastOpen() bool

	// survey fills in what is known of the way to t.Addr, without sending anything.
	survey(t *attempt)

	// source says where a SYN to t.Addr would come from now, or nothing.
	source(t *attempt) netip.Addr

	// connect returns once the SYN-ACK is here. With WayFastOpen replayable data has been given to the kernel by then, where it had a cookie.
	connect(ctx context.Context, t *attempt) (*net.TCPConn, error)

	// observe asks what became of the SYN, once the SYN-ACK is here and before anything else is sent.
	observe(t *attempt, conn *net.TCPConn)
}

// kernel is the real system.
type kernel struct{}

func (kernel) connect(ctx context.Context, t *attempt) (*net.TCPConn, error) {
	if t.Way == WayFastOpen {
		return t.connectFastOpen(ctx)
	}
	return t.connectNet(ctx, t.dial.net.LocalAddr, nil)
}

// newAttempt plans an attempt.
func (d *dialing) newAttempt(addr netip.AddrPort) *attempt {
	t := &attempt{dial: d, Attempt: &Attempt{Network: "tcp4", Addr: addr, trace: d.trace}}
	if addr.Addr().Is6() {
		t.Network = "tcp6"
	}
	switch {
	case d.first == nil:
		t.syn.why = ReasonNothingToSend
	case d.dialer.Disable:
		t.syn.why = ReasonDisabled
	case !d.system.fastOpen():
		t.syn.why = ReasonUnsupported
	default:
		t.Way = WayFastOpen
		d.survey(t)
		if d.dialer.Memory.avoids(t.source, addr.Addr()) {
			t.Way, t.Cookie, t.Budget = WayPlain, CookieUnknown, 0
			t.syn.why = ReasonAvoided
		}
	}
	return t
}

// survey fills in what is known of the way to t.Addr, by asking the system unless that was done a moment ago.
func (d *dialing) survey(t *attempt) {
	m := d.dialer.Memory
	if m == nil {
		d.system.survey(t)
		return
	}
	if now := m.now(); !m.surveys.recall(t, now) {
		d.system.survey(t)
		m.surveys.keep(t, now)
	}
}

// newTwin plans the plain attempt that joins t.
func (d *dialing) newTwin(t *attempt) *attempt {
	return &attempt{
		dial: d, Attempt: &Attempt{Network: t.Network, Addr: t.Addr, RTT: t.RTT, trace: d.trace},
		syn: synReport{why: ReasonPlainWay},
	}
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

// attemptErrors are the errors of a dial's attempts, in the order in which they came.
type attemptErrors []error

// with adds err, unless an error says the same already: the attempts to one address often fail alike.
func (e attemptErrors) with(err error) attemptErrors {
	text := err.Error()
	if slices.ContainsFunc(e, func(other error) bool { return other.Error() == text }) {
		return e
	}
	return append(e, err)
}

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
