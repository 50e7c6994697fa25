package tfo

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Way is how an attempt sets out.
type Way uint8

const (
	WayPlain    Way = iota // connect, then write
	WayFastOpen            // the first data rides in the SYN where a cookie allows (RFC 7413)
)

func (w Way) String() string {
	if w == WayFastOpen {
		return "fastopen"
	}
	return "plain"
}

// CookieState is what is known of the kernel's Fast Open cookie for a destination before an attempt.
type CookieState uint8

const (
	CookieUnknown CookieState = iota // not asked, or the system cannot tell
	CookieAbsent                     // the SYN will ask for one; it carries no data
	CookiePresent                    // the SYN can carry data
)

func (c CookieState) String() string {
	switch c {
	case CookieAbsent:
		return "absent"
	case CookiePresent:
		return "present"
	}
	return "unknown"
}

// Attempt is one connection attempt to one literal address. The callback gets it with the fields above
// "results" filled; the results are filled before DialContext returns, and nothing changes them afterwards.
type Attempt struct {
	Network string         // "tcp4" or "tcp6"
	Addr    netip.AddrPort // the remote address, with its zone
	Way     Way            // how the attempt sets out; Info.Way is what became of it
	Cookie  CookieState    // what the kernel said beforehand; for WayFastOpen only

	// Budget is the number of bytes that fit into the SYN, by the path's MTU and what the kernel remembers of the peer, given that
	// there is a cookie. More than a page (4096) may be split by the kernel earlier than that. 0 if Way is WayPlain.
	Budget int

	// RTT is the round-trip time that the kernel remembers of earlier connections, at most a second, 0 if unknown.
	RTT time.Duration

	// MayOnce says whether the flight may be marked Once: no earlier attempt of this dial may have sent such bytes.
	MayOnce bool

	// Results.

	Left     bool  // bytes of the attempt's flight may have left this machine
	OnceLeft bool  // and the flight was marked Once
	recalled bool  // the survey was made for an earlier attempt
	moved    bool  // the attempt was in another network than that of source, or it is not known in which
	Err      error // why the attempt failed or was given up (ErrLost); nil for the one that won

	source netip.Addr // where its SYN comes from, as far as the survey can tell
	trace  *tracer
}

// Flight is the first data of an attempt. SYN data may be delivered twice by the network (RFC 7413, section 2.1), so every byte of it
// has to be replayable in that sense.
type Flight struct {
	Data []byte

	// Once says that Data contains bytes that may be sent by at most one attempt of a dial, as TLS early data (replayable only
	// because the caller vouched for it). It is an error to set it where Attempt.MayOnce is false.
	Once bool
}

// FirstFlight returns the first data of an attempt. It is called exactly once per attempt that gets that far: just before the SYN
// (WayFastOpen) or right after the connect (WayPlain). Without data the attempt is a plain connect. An error ends the whole dial and is
// returned as it is. Data must not be changed until DialContext returns.
//
// It may be called by several goroutines at once, for different attempts, on that of DialContext or on others. ctx ends
// when the attempt has lost; DialContext waits for the callback's return.
type FirstFlight func(ctx context.Context, a *Attempt) (Flight, error)

// onceRight is the right to send bytes that may leave once. An attempt holds it from just before its flight is built until the kernel
// proves that nothing left; whoever comes meanwhile goes without.
type onceRight struct {
	mu   sync.Mutex
	held bool
}

func (r *onceRight) take() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held {
		return false
	}
	r.held = true
	return true
}

func (r *onceRight) release() {
	r.mu.Lock()
	r.held = false
	r.mu.Unlock()
}

// attempt is the working side of an Attempt: first connect, then, if it won, deliver; in the end settle. Nothing here knows
// of other attempts but through dial.right, so several may run at once.
type attempt struct {
	*Attempt
	dial   *dialing
	lane   *lane
	events chan<- event
	watch  *watch // of an attempt that connects on the goroutine of the race

	flight   Flight
	asked    bool      // the callback was called
	option   bool      // its SYN carried a Fast Open option or data, something to stumble over
	answered bool      // by a SYN-ACK
	taken    int       // how many bytes of flight the kernel took with the SYN
	syn      synReport // what became of the SYN
	start    time.Time // just before the SYN
	elapsed  time.Duration
	fatal    error // ends the whole dial
}

// synReport says what a SYN carried and how that went.
type synReport struct {
	cookieAsked   bool
	cookieSent    bool
	acked         bool
	retransmitted bool
	why           Reason
}

// connectNet connects through net.Dialer. before, if not nil, runs after the caller's own Control and just before net connects.
func (t *attempt) connectNet(ctx context.Context, local net.Addr, before beforeConnect) (*net.TCPConn, error) {
	nd := t.dial.net
	nd.LocalAddr = local
	nd.Control = nil
	nd.ControlContext = func(ctx context.Context, network, address string, c rawConn) error {
		if err := t.dial.userControl(ctx, network, address, c); err != nil {
			return err
		}
		t.start = time.Now()
		if before != nil {
			if err := before(ctx, c); err != nil {
				return err
			}
		}
		t.trace.synSent(t)
		return nil
	}
	conn, err := nd.DialContext(ctx, t.Network, t.Addr.String())
	t.elapsed = time.Since(t.start)
	if t.fatal != nil {
		if conn != nil {
			conn.Close()
		}
		return nil, t.fatal
	}
	if err != nil {
		return nil, t.dial.asNet(err)
	}
	return conn.(*net.TCPConn), nil
}

// deliver hands what the SYN did not take of the (replayable) flight to the kernel. It is for the attempt that won; its errors
// are fatal to the dial.
func (t *attempt) deliver(ctx context.Context, conn *net.TCPConn) error {
	if err := t.askFlight(ctx); err != nil {
		return err
	}
	rest := t.flight.Data[t.taken:]
	if len(rest) == 0 {
		return nil
	}
	n, err := writeContext(ctx, conn, rest)
	t.sent(n)
	if err != nil {
		t.fatal = t.dial.asNet(err)
	}
	return t.fatal
}

// askFlight calls the callback, the first time that it is called. The flight that comes back may hold replayable data.
func (t *attempt) askFlight(ctx context.Context) error {
	if t.asked || t.dial.first == nil {
		return nil
	}
	t.asked = true
	t.MayOnce = t.dial.right.take()
	flight, err := t.dial.first(ctx, t.Attempt)
	switch {
	case err != nil:
		t.fatal = err
	case flight.Once && !t.MayOnce:
		t.fatal = ErrOnce
	default:
		t.flight = flight
	}
	return t.fatal
}

// sent notes that n bytes of the flight were taken by the kernel.
func (t *attempt) sent(n int) {
	if n > 0 {
		t.Left = true
		t.OnceLeft = t.flight.Once
	}
}

// optionSent reports that a SYN left that a middlebox can stumble over.
func (t *attempt) optionSent() {
	t.option = true
	if t.watch == nil || !t.watch.synSent(t) {
		t.events <- event{t: t, syn: true}
	}
}

// settle ends the attempt: the right to send once-only bytes passes on unless they may have left.
func (t *attempt) settle(err error) {
	t.Err = err
	if t.MayOnce && !t.OnceLeft {
		t.dial.right.release()
	}
	if m := t.dial.dialer.Memory; m != nil {
		m.surveys.settle(t)
	}
	t.trace.attemptDone(t.Attempt)
}

// writeContext writes data, replayable as every flight is, to conn. It is bound by ctx and leaves no deadline behind.
func writeContext(ctx context.Context, conn *net.TCPConn, data []byte) (int, error) {
	if ctx.Done() == nil {
		return conn.Write(data)
	}
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		conn.SetWriteDeadline(time.Unix(1, 0))
		close(interrupted)
	})
	n, err := conn.Write(data)
	if !stop() {
		<-interrupted
		conn.SetWriteDeadline(time.Time{})
		if err != nil {
			err = &net.OpError{Op: "write", Source: conn.LocalAddr(), Addr: conn.RemoteAddr(), Err: ctx.Err()}
		}
	}
	return n, err
}
