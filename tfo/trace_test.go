package tfo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
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
	return &Trace{
		DialStart:    func(network, address string) { l.add("dial %s %s", network, address) },
		DialDone:     func(info *Info, err error) { l.add("dialled, %d attempts, error %v", len(info.Attempts), err != nil) },
		AttemptStart: func(a *Attempt) { l.add("%v %v", a.Addr.Addr(), a.Way) },
		AttemptDone:  func(a *Attempt) { l.add("%v %v: %v", a.Addr.Addr(), a.Way, a.Err) },
		SynSent: func(s SynSent) {
			l.add("%v %v syn %d cookie %v (%v)", s.Attempt.Addr.Addr(), s.Attempt.Way, s.Bytes, s.Cookie, s.Why)
		},
		SynAck: func(s SynAck) {
			l.add("%v %v syn-ack %d %v %v (%v)", s.Attempt.Addr.Addr(), s.Attempt.Way, s.Bytes, s.Acked, s.Retransmitted, s.Why)
		},
		BackOffStart:   func(b BackOff) { l.add("back-off %v: %v %d", b.Destination, b.Why, b.Failures) },
		BackOffCleared: func(b BackOff) { l.add("cleared %v: %v %d", b.Destination, b.Why, b.Failures) },
	}
}

func (l *traceLog) check(t *testing.T, want ...string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Equal(l.lines, want) {
		t.Errorf("hooks:\n%q\nwant:\n%q", l.lines, want)
	}
	l.lines = nil
}

func TestTraceOfARace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(t, map[string]reply{
			four1 + " fastopen": {option: true, taken: 5, after: time.Hour},
			four1 + " plain":    {after: ms(100)},
		})
		var log traceLog
		d := &Dialer{Memory: new(Memory), Trace: log.trace()}
		_, info, err := f.dial(t.Context(), d, four1, flight([]byte("hello"), nil))
		if err != nil {
			t.Fatal(err)
		}
		log.check(t,
			four1+" fastopen", four1+" fastopen syn 5 cookie unknown (none)",
			four1+" plain", four1+" plain syn 0 cookie unknown (plain attempt won)",
			four1+" plain syn-ack 0 false false (plain attempt won)",
			four1+" fastopen: "+ErrLost.Error(),
			"back-off "+four1+": no answer to the SYN 1",
			four1+" plain: <nil>")

		// A Memory tells the hooks of the dial whose attempt did harm, whenever that shows.
		time.Sleep(time.Hour)
		d.Memory.Stalled(info.Attempts[0])
		log.check(t, "back-off "+four1+": stalled 2")

		// A stall is cleared by a success after the back-off and as much time again.
		time.Sleep(time.Hour)
		f.answers = map[string]reply{four1 + " fastopen": {option: true, taken: 5, after: ms(100)}}
		if _, _, err := f.dial(t.Context(), d, four1, flight([]byte("hello"), nil)); err != nil {
			t.Fatal(err)
		}
		log.check(t,
			four1+" fastopen", four1+" fastopen syn 5 cookie unknown (none)",
			four1+" fastopen syn-ack 5 true false (none)",
			"cleared "+four1+": stalled 2",
			four1+" fastopen: <nil>")
	})
}

// A hook may call the Memory that it is told about, and a whole network's back-off is told too.
func TestTraceOfANetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var memory Memory
		var held []int
		d := &Dialer{Memory: &memory, Trace: &Trace{BackOffStart: func(BackOff) { held = append(held, len(memory.Snapshot())) }}}
		for _, addr := range []string{four1, four2, six1} {
			f := newFakeNet(t, map[string]reply{
				addr + " fastopen": {option: true, after: ms(10), err: syscall.ECONNRESET},
				addr + " plain":    {after: ms(10)},
			})
			if _, _, err := f.dial(t.Context(), d, addr, flight([]byte("hello"), nil)); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(held, []int{1, 2, 4, 4}) {
			t.Errorf("%v: three destinations and then their network", held)
		}
	})
}

// The hooks of a context come first, the latest before the earlier ones, then the Dialer's. A dial that fails early has its two.
func TestTracesCompose(t *testing.T) {
	var order []string
	mark := func(name string) *Trace {
		return &Trace{
			DialStart: func(network, address string) { order = append(order, name+" "+network+" "+address) },
			DialDone: func(info *Info, err error) {
				if info == nil || !errors.As(err, new(net.UnknownNetworkError)) {
					t.Errorf("%v, %v", info, err)
				}
				order = append(order, name)
			},
		}
	}
	outer := WithTrace(t.Context(), mark("outer"))
	inner := WithTrace(outer, mark("inner"))
	sibling := WithTrace(outer, mark("sibling"))
	if WithTrace(inner, nil) != inner {
		t.Error("no trace, but another context")
	}
	d := &Dialer{Trace: mark("dialer")}
	for _, test := range []struct {
		ctx  context.Context
		want []string
	}{
		{t.Context(), []string{"dialer"}},
		{outer, []string{"outer", "dialer"}},
		{inner, []string{"inner", "outer", "dialer"}},
		{sibling, []string{"sibling", "outer", "dialer"}},
	} {
		order = nil
		d.DialContext(test.ctx, "udp", "host:1", nil)
		var want []string
		for _, name := range test.want {
			want = append(want, name+" udp host:1")
		}
		if want = append(want, test.want...); !slices.Equal(order, want) {
			t.Errorf("%q, want %q", order, want)
		}
	}
}

// Without hooks nothing is allocated for them.
func TestTraceIsFree(t *testing.T) {
	ctx := context.WithValue(t.Context(), new(int), "value")
	a := &attempt{Attempt: new(Attempt)}
	info := new(Info)
	var b BackOff
	if n := testing.AllocsPerRun(100, func() {
		trace := newTracer(ctx, nil)
		trace.dialStart("tcp", "host:1")
		trace.attemptStart(a.Attempt)
		trace.synSent(a)
		trace.synAck(a)
		trace.attemptDone(a.Attempt)
		trace.backOffStart(b)
		trace.backOffCleared(b)
		trace.dialDone(info, nil)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
