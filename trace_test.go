package tlstfo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/handshake"
	"github.com/tlstfo/tlstfo/internal/testpeer"
	"github.com/tlstfo/tlstfo/tfo"
)

// traceLog writes down what hooks are told.
type traceLog struct {
	mu    sync.Mutex
	lines []string
}

func (l *traceLog) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

// trace returns hooks that write to l.
func (l *traceLog) trace() *Trace {
	ticket := func(what string) func(TraceTicket) {
		return func(e TraceTicket) {
			l.add("ticket %s, for %s, %d bytes", what, e.ServerName, e.MaxEarlyData)
			if e.Addr == "" || e.Lifetime <= 0 || e.Age < 0 || e.Age > time.Hour {
				l.add("%+v", e)
			}
		}
	}
	return &Trace{
		FastOpen: tfo.Trace{
			DialStart:    func(network, _ string) { l.add("dial %s", network) },
			BackOffStart: func(b tfo.BackOff) { l.add("back-off: %v", b.Why) },
		},
		TicketTaken:    ticket("taken"),
		TicketReturned: ticket("returned"),
		TicketStored:   ticket("stored"),
		EarlySent:      func(e TraceEarly) { l.add("early: %d bytes", e.Bytes) },
		EarlyResult:    func(e TraceEarly) { l.add("early: %d bytes: %v", e.Bytes, e.Reason) },
		HandshakeStart: func(e TraceHandshake) { l.add("handshake, dial %d", e.Info.Redials) },
		HandshakeDone: func(e TraceHandshake) {
			l.add("handshake, dial %d, done: resumed %v, error %v", e.Info.Redials, e.Info.Resumed, cause(e.Err))
		},
		Redial: func(e TraceRedial) {
			l.add("redial, hedge %v: %s", e.Hedge, strings.ReplaceAll(e.Why, "connection reset by peer", "unexpected EOF"))
		},
	}
}

func cause(err error) string {
	if err == nil {
		return "none"
	}
	return strings.ReplaceAll(rootCause(err), "connection reset by peer", "unexpected EOF") // a race of the server's
}

// take removes the lines that begin so and returns them.
func (l *traceLog) take(prefix string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var taken []string
	l.lines = slices.DeleteFunc(l.lines, func(line string) bool {
		if !strings.HasPrefix(line, prefix) {
			return false
		}
		taken = append(taken, line)
		return true
	})
	return taken
}

// check compares what was written, and forgets it.
func (l *traceLog) check(t *testing.T, name string, want ...string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Equal(l.lines, want) {
		t.Errorf("%s: hooks:\n\t%s\nwant:\n\t%s", name, strings.Join(l.lines, "\n\t"), strings.Join(want, "\n\t"))
	}
	l.lines = nil
}

const (
	taken  = "ticket taken, for test.example, 16384 bytes"
	stored = "ticket stored, for test.example, 16384 bytes"
)

func TestTrace(t *testing.T) {
	var log traceLog
	o := newOrigin(t)
	o.Update(func(c *handshake.ServerConfig) { c.NumTickets = 1 })
	d := o.dialer()
	d.Trace = log.trace()
	send := func(knobs testpeer.Knobs) {
		t.Helper()
		o.knobsFor(knobs)
		c, err := d.DialEarly(t.Context(), "tcp", o.addr, []byte("GET 1"))
		if err != nil {
			t.Fatal(err)
		}
		finish(t, c, "GET 1")
		d.Flush(t.Context())
		o.visit(t)
		d.hosts.change(c.hostKey, func(h *host) { h.pauseUntil = time.Time{} })
	}
	const done, resumed = "handshake, dial 0, done: resumed false, error none", "handshake, dial 0, done: resumed true, error none"
	send(testpeer.Knobs{})
	log.check(t, "full", "dial tcp", "handshake, dial 0", done, stored)
	send(testpeer.Knobs{})
	log.check(t, "accepted", "dial tcp", taken, "early: 5 bytes", "handshake, dial 0", "early: 5 bytes: accepted", resumed, stored)
	send(testpeer.Knobs{RefuseEarlyData: true})
	log.check(t, "refused", "dial tcp", taken, "early: 5 bytes", "handshake, dial 0", "early: 5 bytes: peer declined", resumed, stored)
	send(testpeer.Knobs{RefusePSK: true})
	log.check(t, "not resumed", "dial tcp", taken, "early: 5 bytes", "handshake, dial 0", "early: 5 bytes: session not resumed", done, stored)
	o.RotateTicketKeys(0)
	o.prime(t, d)
	log.check(t, "primed", "dial tcp", taken, "handshake, dial 0", done, stored)
	send(testpeer.Knobs{CloseAfterRead: 1})
	log.check(t, "broken", "dial tcp", taken, "early: 5 bytes", "handshake, dial 0", "handshake, dial 0, done: resumed false, error unexpected EOF",
		"early: 5 bytes: broke before the answer", "redial, hedge false: the connection broke on early data: unexpected EOF",
		"dial tcp", "handshake, dial 1", "handshake, dial 1, done: resumed false, error none", stored)

	// A dial that never comes to a flight takes no ticket along, or gives it back.
	nowhere := &Dialer{TLSConfig: o.config(), Sessions: d.own, Trace: d.Trace, NetDialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(203, 0, 113, 1)}}}
	if _, err := nowhere.Dial("tcp", o.addr); err == nil {
		t.Fatal("dialled from an address that is not here")
	}
	if t, r := len(log.take("ticket taken")), len(log.take("ticket returned")); t != r {
		log.add("%d tickets taken, %d returned", t, r)
	}
	log.check(t, "nowhere", "dial tcp")
}

// TestTraceHedge: both connections of a pair have their start and their end, whichever wins.
func TestTraceHedge(t *testing.T) {
	t.Parallel()
	for _, wins := range []bool{true, false} {
		var log traceLog
		o := newOrigin(t)
		o.Update(func(c *handshake.ServerConfig) { c.NumTickets = 1 })
		d := o.suspect(t)
		d.Trace = log.trace()
		var fast atomic.Bool
		d.Trace.FastOpen.AttemptStart = func(a *tfo.Attempt) { fast.Store(fast.Load() || a.Way == tfo.WayFastOpen) }
		open := make(chan struct{})
		o.script(func(n int, conn net.Conn) net.Conn {
			if wins == (n == 1) {
				return &hole{Conn: conn, came: func() {
					if !wins {
						close(open)
					}
				}}
			}
			if n == 1 {
				return slowConn{conn, open}
			}
			return conn
		})
		c, err := d.DialEarly(t.Context(), "tcp", o.addr, []byte("GET 1"))
		if err != nil {
			t.Fatal(err)
		}
		finish(t, c, "GET 1")
		d.Flush(t.Context())
		want := []string{"dial tcp", taken, "early: 5 bytes", "handshake, dial 0", "redial, hedge true: " + errSilence.Error(), "dial tcp"}
		hedge := []string{"handshake, dial 1", "handshake, dial 1, done: resumed false, error none"} // beside the others
		if wins {
			want = append(want, "handshake, dial 0, done: resumed false, error "+tfo.ErrLost.Error(), "early: 5 bytes: broke before the answer")
			if mark := log.take("back-off: stalled"); (len(mark) == 1) != fast.Load() {
				t.Errorf("back-offs: %q", mark)
			}
			want = append(want, stored)
		} else {
			want = append(want, "early: 5 bytes: accepted", "handshake, dial 0, done: resumed true, error none", stored)
			hedge[1] = "handshake, dial 1, done: resumed false, error " + tfo.ErrLost.Error()
		}
		if got := log.take("handshake, dial 1"); !slices.Equal(got, hedge) {
			t.Errorf("%q, want %q", got, hedge)
		}
		log.check(t, fmt.Sprintf("the hedge wins: %v", wins), want...)
	}
}

// TestTraceOfContext: hooks of a context come before the Dialer's, those set last first, and reach DialDeferred's dial.
func TestTraceOfContext(t *testing.T) {
	o := newOrigin(t)
	var order []string
	hook := func(name string) *Trace {
		return &Trace{
			FastOpen:       tfo.Trace{DialStart: func(string, string) { order = append(order, name+" dial") }},
			HandshakeStart: func(TraceHandshake) { order = append(order, name) },
		}
	}
	d := o.dialer()
	d.Trace = hook("dialer")
	ctx, cancel := context.WithCancel(WithTrace(WithTrace(WithTrace(t.Context(), hook("outer")), nil), hook("inner")))
	c, err := d.DialDeferred(ctx, "tcp", o.addr)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	exchange(t, c, "x")
	c.Close()
	if want := []string{"inner dial", "outer dial", "dialer dial", "inner", "outer", "dialer"}; !slices.Equal(order, want) {
		t.Errorf("%v, want %v", order, want)
	}
}

// TestNoTraceNoAllocation: hooks that are not there cost no allocation.
func TestNoTraceNoAllocation(t *testing.T) {
	ctx := context.Background()
	session, clock := newSession(&handshake.Session{}, stamp{}), new(clock)
	info, err := new(ConnInfo), errors.New("x")
	if n := testing.AllocsPerRun(100, func() {
		tr := newTracer(ctx, "addr", nil)
		tr.ticketTaken(session, clock)
		tr.ticketReturned(session, clock)
		tr.ticketStored(session, clock)
		tr.earlySent(1)
		tr.earlyResult(1, EarlyBroke)
		tr.handshakeStart(info)
		tr.handshakeDone(info, err)
		tr.redial("why", true)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
