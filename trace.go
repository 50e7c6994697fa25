package tlstfo

import (
	"context"
	"slices"
	"time"

	"github.com/tlstfo/tlstfo/tfo"
)

// Trace is a set of hooks that are called while connections are made; any of
// them may be nil. It is set for a Dialer (Dialer.Trace) or for a context (WithTrace), and
// must not be changed afterwards. Nothing is allocated for hooks that are not there.
//
// The hooks of a dial are called on the goroutine that dials: that of the caller
// of Dial and DialContext, else one of the Conn's own. Those of its attempts may
// come from others, and so may those of a hedge (see ConnInfo.Hedged): hooks may
// run at once, even those of one dial. Tickets that come after the handshake are told of
// on the goroutine that reads, or after Close on one that waits for them.
//
// Whatever calls a hook waits for it: it must not block, and must not call the
// Conn, which nobody may have yet. It is told numbers, names and addresses,
// never data, keys or tickets.
type Trace struct {
	// FastOpen has the hooks of package tfo: dials, attempts, SYNs and what
	// answers them, back-offs. Client calls none of them.
	FastOpen tfo.Trace

	// TicketTaken: a ticket was taken for an attempt, to be offered; or by
	// NextProto for a look, if the SessionCache has no Peek.
	TicketTaken func(TraceTicket)
	// TicketReturned: the ticket never left this machine, and went back.
	TicketReturned func(TraceTicket)
	// TicketStored: the server gave a ticket, and it was kept.
	TicketStored func(TraceTicket)

	// EarlySent: early data, *replayable* by the caller's word, left this machine, or may have.
	EarlySent func(TraceEarly)
	// EarlyResult: the server accepted it or refused it, or the connection broke before
	// the answer. It comes once for each EarlySent.
	EarlyResult func(TraceEarly)

	// HandshakeStart: a transport is up, and a ClientHello is with it.
	HandshakeStart func(TraceHandshake)
	// HandshakeDone: that handshake is complete, or has failed, or was given up for
	// another connection of the dial (tfo.ErrLost). It comes once for each HandshakeStart.
	HandshakeDone func(TraceHandshake)

	// Redial: the address is dialled once more, in place of a connection that failed or beside one that is silent.
	Redial func(TraceRedial)
}

// TraceTicket is what hooks are told of a ticket.
type TraceTicket struct {
	Addr         string        // what the caller dialled
	ServerName   string        // whom the session was authenticated as
	Age          time.Duration // since it was received
	Lifetime     time.Duration // as the server gave it (RFC 8446, section 4.6.1)
	MaxEarlyData uint32        // in bytes; 0: none
}

// TraceEarly is what hooks are told of early data.
type TraceEarly struct {
	Addr   string      // what the caller dialled
	Bytes  int         // of early data
	Reason EarlyReason // of EarlyResult: EarlyAccepted, why it was refused, or EarlyBroke
}

// TraceHandshake is what hooks are told of a handshake.
type TraceHandshake struct {
	Addr string   // what the caller dialled
	Info ConnInfo // as far as it is known
	Err  error    // why the handshake failed; nil if it did not
}

// TraceRedial is what hooks are told of another dial of the same call.
type TraceRedial struct {
	Addr  string // what the caller dialled
	Why   string
	Hedge bool // beside the connection that is there, which may still win
}

type traceKey struct{}

// WithTrace returns a context whose dials call the hooks of trace, then those
// of earlier calls of WithTrace and of the Dialer.
func WithTrace(ctx context.Context, trace *Trace) context.Context {
	if trace == nil {
		return ctx
	}
	ctx = tfo.WithTrace(ctx, &trace.FastOpen)
	earlier, _ := ctx.Value(traceKey{}).([]*Trace)
	return context.WithValue(ctx, traceKey{}, append([]*Trace{trace}, earlier...))
}

// tracer has the traces of a Conn, in the order in which they are called; nil:
// none.
type tracer struct {
	addr   string
	traces []*Trace
}

func newTracer(ctx context.Context, addr string, dialer *Trace) *tracer {
	traces, _ := ctx.Value(traceKey{}).([]*Trace)
	if dialer != nil {
		traces = append(slices.Clip(traces), dialer)
	}
	if len(traces) == 0 {
		return nil
	}
	return &tracer{addr, traces}
}

// tell calls one of the hooks of each trace.
func tell[E any](t *tracer, hook func(*Trace) func(E), event E) {
	for _, trace := range t.traces {
		if f := hook(trace); f != nil {
			f(event)
		}
	}
}

func (t *tracer) ticket(hook func(*Trace) func(TraceTicket), s *Session, clock *clock) {
	age, _ := s.age(clock.now())
	tell(t, hook, TraceTicket{t.addr, s.hs.ServerName, age, s.hs.Lifetime, s.hs.MaxEarlyData})
}

func (t *tracer) ticketTaken(s *Session, clock *clock) {
	if t != nil {
		t.ticket(func(trace *Trace) func(TraceTicket) { return trace.TicketTaken }, s, clock)
	}
}

func (t *tracer) ticketReturned(s *Session, clock *clock) {
	if t != nil {
		t.ticket(func(trace *Trace) func(TraceTicket) { return trace.TicketReturned }, s, clock)
	}
}

func (t *tracer) ticketStored(s *Session, clock *clock) {
	if t != nil {
		t.ticket(func(trace *Trace) func(TraceTicket) { return trace.TicketStored }, s, clock)
	}
}

func (t *tracer) earlySent(n int) {
	if t != nil {
		tell(t, func(trace *Trace) func(TraceEarly) { return trace.EarlySent }, TraceEarly{Addr: t.addr, Bytes: n})
	}
}

func (t *tracer) earlyResult(n int, why EarlyReason) {
	if t != nil {
		tell(t, func(trace *Trace) func(TraceEarly) { return trace.EarlyResult }, TraceEarly{t.addr, n, why})
	}
}

func (t *tracer) handshakeStart(info *ConnInfo) {
	if t != nil {
		tell(t, func(trace *Trace) func(TraceHandshake) { return trace.HandshakeStart }, TraceHandshake{Addr: t.addr, Info: *info})
	}
}

func (t *tracer) handshakeDone(info *ConnInfo, err error) {
	if t != nil {
		tell(t, func(trace *Trace) func(TraceHandshake) { return trace.HandshakeDone }, TraceHandshake{t.addr, *info, err})
	}
}

func (t *tracer) redial(why string, hedge bool) {
	if t != nil {
		tell(t, func(trace *Trace) func(TraceRedial) { return trace.Redial }, TraceRedial{t.addr, why, hedge})
	}
}
