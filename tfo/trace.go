package tfo

import (
	"context"
	"slices"
	"time"
)

// Trace is a set of hooks that are called during a dial; any of them may be nil. It is set for a Dialer (Dialer.Trace) or for a context
// (WithTrace), and must not be changed afterwards. Nothing is allocated, and no clock is read, for hooks that are not there.
//
// SynSent is called on the goroutine of its attempt, and may run beside SynSent of another attempt of the dial and beside every other hook. The other hooks of a
// dial are called one after the other, though not always on the goroutine of DialContext; BackOffStart also on that of Memory.Stalled. Different dials
// know nothing of each other. The dial waits for a hook, and the attempts race on meanwhile: a hook must not block. No lock of this package is held, so that a hook may
// call anything in it; but an Attempt that it is given is complete only in AttemptDone, and until then only the fields before the results may be read, during the
// call. After DialContext has returned, only Memory.Stalled calls hooks (BackOffStart).
//
// A hook is told numbers and addresses, never data.
type Trace struct {
	// DialStart: a dial begins. The name is resolved next; net/http/httptrace's DNS hooks tell of that.
	DialStart func(network, address string)

	// DialDone: DialContext is about to return this. info is never nil.
	DialDone func(info *Info, err error)

	// AttemptStart: an attempt begins. For each one there is an AttemptDone before DialDone.
	AttemptStart func(a *Attempt)

	// AttemptDone: an attempt has won (a.Err is nil), failed, or was given up (ErrLost).
	AttemptDone func(a *Attempt)

	// SynSent: the kernel was given an attempt's SYN, or is about to be given a plain one. It is called again if package net throws the
	// socket away and takes another one, as it does after a connection over loopback to itself.
	SynSent func(s SynSent)

	// SynAck: the answer to an attempt's SYN is here. Attempts that lose have one, too, if theirs was only a little late.
	SynAck func(s SynAck)

	// BackOffStart: the Dialer's Memory begins to avoid Fast Open towards a destination, or from a whole network, because of this dial.
	BackOffStart func(b BackOff)

	// BackOffCleared: the Memory forgets this because Fast Open worked.
	BackOffCleared func(b BackOff)
}

// SynSent says what a SYN carries.
type SynSent struct {
	Attempt *Attempt
	Bytes   int         // of the flight, that the kernel took with the SYN; FreeBSD, macOS and Windows do not say yet whether it carries them
	Cookie  CookieState // CookiePresent: the SYN carries a cookie, as far as is known; CookieAbsent: it asks for one; CookieUnknown: neither, or the system cannot tell
	Why     Reason      // why it has no data; ReasonNone if it has some
}

// SynAck says what an attempt's SYN-ACK told.
type SynAck struct {
	Attempt       *Attempt
	Bytes         int           // as in SynSent
	Acked         bool          // SYN data was acknowledged; the kernel does not say how much
	Retransmitted bool          // the SYN was sent more than once; known for WayFastOpen only
	Why           Reason        // why none was acknowledged; ReasonNone if it was
	Elapsed       time.Duration // from the SYN until the connection was there
}

type traceKey struct{}

// WithTrace returns a context whose dials call the hooks of trace, and then those of earlier calls of WithTrace and of the Dialer, as httptrace.WithClientTrace does.
func WithTrace(ctx context.Context, trace *Trace) context.Context {
	if trace == nil {
		return ctx
	}
	earlier, _ := ctx.Value(traceKey{}).([]*Trace)
	return context.WithValue(ctx, traceKey{}, append([]*Trace{trace}, earlier...))
}

// tracer has the traces of a dial, in the order in which they are called. nil: none.
type tracer struct {
	traces []*Trace
}

// newTracer gathers the traces of a dial.
func newTracer(ctx context.Context, dialer *Trace) *tracer {
	traces, _ := ctx.Value(traceKey{}).([]*Trace)
	if dialer != nil {
		traces = append(slices.Clip(traces), dialer)
	}
	if len(traces) == 0 {
		return nil
	}
	return &tracer{traces}
}

func (t *tracer) all() []*Trace {
	if t == nil {
		return nil
	}
	return t.traces
}

func (t *tracer) dialStart(network, address string) {
	for _, trace := range t.all() {
		if trace.DialStart != nil {
			trace.DialStart(network, address)
		}
	}
}

func (t *tracer) dialDone(info *Info, err error) {
	for _, trace := range t.all() {
		if trace.DialDone != nil {
			trace.DialDone(info, err)
		}
	}
}

func (t *tracer) attemptStart(a *Attempt) {
	for _, trace := range t.all() {
		if trace.AttemptStart != nil {
			trace.AttemptStart(a)
		}
	}
}

func (t *tracer) attemptDone(a *Attempt) {
	for _, trace := range t.all() {
		if trace.AttemptDone != nil {
			trace.AttemptDone(a)
		}
	}
}

func (t *tracer) synSent(a *attempt) {
	if t == nil {
		return
	}
	s := SynSent{Attempt: a.Attempt, Bytes: a.taken, Why: a.syn.why}
	switch {
	case a.syn.cookieSent:
		s.Cookie = CookiePresent
	case a.syn.cookieAsked:
		s.Cookie = CookieAbsent
	}
	if a.taken > 0 {
		s.Why = ReasonNone
	}
	for _, trace := range t.all() {
		if trace.SynSent != nil {
			trace.SynSent(s)
		}
	}
}

func (t *tracer) synAck(a *attempt) {
	if t == nil {
		return
	}
	s := SynAck{
		Attempt: a.Attempt, Bytes: a.taken, Acked: a.syn.acked, Retransmitted: a.syn.retransmitted,
		Why: a.syn.why, Elapsed: a.elapsed,
	}
	for _, trace := range t.all() {
		if trace.SynAck != nil {
			trace.SynAck(s)
		}
	}
}

func (t *tracer) backOffStart(b BackOff) {
	for _, trace := range t.all() {
		if trace.BackOffStart != nil {
			trace.BackOffStart(b)
		}
	}
}

func (t *tracer) backOffCleared(b BackOff) {
	for _, trace := range t.all() {
		if trace.BackOffCleared != nil {
			trace.BackOffCleared(b)
		}
	}
}
