package tfo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// Where SYNs with Fast Open die on the way to one of two addresses, only the first dial loses time over it, whichever address wins.
func TestSuspicionOfALoser(t *testing.T) {
	for _, fault := range []reply{{option: true, taken: 1, after: time.Hour}, {option: true, taken: 1, after: ms(100), err: syscall.ECONNREFUSED}} {
		for _, rtt := range []time.Duration{0, ms(100), ms(300)} {
			t.Run(fmt.Sprint(fault.err, " ", rtt), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					d := &Dialer{Memory: new(Memory)}
					plain := max(rtt, ms(100)) // the second address is a little nearer
					for i := range 5 {
						f := newFakeNet(t, map[string]reply{six1 + " fastopen": fault, six1 + " plain": {after: plain}, four1 + " fastopen": {taken: 1, after: plain - ms(10)}})
						f.rtt = rtt
						if _, _, err := f.dial(t.Context(), d, six1+" "+four1, flight([]byte("x"), nil)); err != nil {
							t.Fatal(err)
						}
						if took := time.Since(f.start); i > 0 && took > plain {
							t.Errorf("dial %d takes %v, and would take %v without Fast Open", i, took, plain)
						}
					}
				})
			})
		}
	}
}

// A dial whose time is up before a plain attempt could be answered is the last that fails so.
func TestSuspicionOfADialInAHurry(t *testing.T) {
	for _, rtt := range []time.Duration{0, ms(110)} {
		for _, local := range []net.Addr{nil, &net.TCPAddr{Port: 4000}} { // with a port there is no race
			synctest.Test(t, func(t *testing.T) {
				d := &Dialer{Memory: new(Memory), NetDialer: &net.Dialer{LocalAddr: local}}
				for i := range 4 {
					f := newFakeNet(t, map[string]reply{four1 + " fastopen": {option: true, taken: 1, after: time.Hour}, four1 + " plain": {after: ms(110)}})
					f.rtt = rtt
					ctx, cancel := context.WithTimeout(t.Context(), ms(150))
					_, _, err := f.dial(ctx, d, four1, flight([]byte("x"), nil))
					cancel()
					if (err != nil) != (i == 0) {
						t.Errorf("rtt %v, from %v: dial %d: %v, %v", rtt, local, i, err, d.Memory)
					}
				}
			})
		}
	}
}

// On whom a suspicion falls.
func TestSuspicion(t *testing.T) {
	const fast, plain, other = six1 + " fastopen", six1 + " plain", four1 + " fastopen"
	refused := error(syscall.ECONNREFUSED)
	silent, up := reply{taken: 1, after: time.Hour}, reply{taken: 1, after: ms(100)}
	for _, test := range []struct {
		name     string
		addrs    string
		replies  map[string]reply
		rtt      time.Duration
		deadline time.Duration // 0: an hour
		want     Failure
	}{
		{"no answer, another address won", six1 + " " + four1, map[string]reply{fast: silent, other: up}, ms(300), 0, FailureSuspected},
		{"the answer was not overdue yet", six1 + " " + four1, map[string]reply{fast: silent, other: {taken: 1, after: ms(10)}}, ms(300), 0, FailureNone},
		{"a plain SYN waited for as long", six1 + " " + four1, map[string]reply{fast: silent, other: {taken: 1, after: ms(400)}}, ms(100), 0, FailureNone},
		{"a plain SYN was refused, too", six1 + " " + four1, map[string]reply{fast: {taken: 1, after: ms(10), err: refused}, plain: {after: ms(10), err: refused}, other: up}, ms(100), 0, FailureNone},
		{"refused, and a plain SYN on its way", six1 + " " + four1, map[string]reply{fast: {taken: 1, after: ms(10), err: refused}, plain: {after: ms(110), err: refused}, other: up}, ms(100), 0, FailureSuspected},
		{"an ordinary SYN", six1 + " " + four1, map[string]reply{fast: {after: time.Hour}, other: up}, ms(100), 0, FailureNone},

		{"time was up", six1, map[string]reply{fast: silent}, ms(100), ms(120), FailureSuspected},
		{"time was up within a round trip", six1, map[string]reply{fast: silent}, ms(100), ms(90), FailureNone},
		{"time was up, round-trip time unknown", six1, map[string]reply{fast: silent}, 0, ms(40), FailureSuspected},
		{"time was up at once", six1, map[string]reply{fast: silent}, 0, ms(20), FailureNone},
		{"time was up, and a plain SYN had had enough of it", six1, map[string]reply{fast: silent}, ms(100), ms(500), FailureNone},
		{"refused, and time was up", six1, map[string]reply{fast: {taken: 1, after: ms(50), err: refused}}, ms(100), ms(120), FailureSuspected},
		{"everything was refused", six1, map[string]reply{fast: {taken: 1, after: ms(50), err: refused}, plain: {after: ms(50), err: refused}}, ms(100), 0, FailureNone},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &Dialer{Memory: new(Memory)}
				f := newFakeNet(t, test.replies)
				f.rtt = test.rtt
				if test.deadline == 0 {
					test.deadline = time.Hour
				}
				ctx, cancel := context.WithTimeout(t.Context(), test.deadline)
				defer cancel()
				f.dial(ctx, d, test.addrs, flight([]byte("x"), nil))
				s := d.Memory.Snapshot()
				if (len(s) == 1) != (test.want != FailureNone) || len(s) == 1 && (s[0].Why != test.want || s[0].Destination.String() != six1) {
					t.Errorf("%v, want %v", s, test.want)
				}
			})
		})
	}
}

// Nobody learns from a dial that its caller breaks off before a plain attempt would join, although a round trip may have passed; from one that waited
// for longer, yes.
func TestSuspicionOfACancelledDial(t *testing.T) {
	for after, want := range map[time.Duration]int{ms(90): 0, ms(120): 0, ms(149): 0, ms(151): 1} {
		synctest.Test(t, func(t *testing.T) {
			d := &Dialer{Memory: new(Memory)}
			f := newFakeNet(t, map[string]reply{six1 + " fastopen": {taken: 1, after: time.Hour}})
			f.rtt = ms(100)
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(after, cancel)
			if _, _, err := f.dial(ctx, d, six1, flight([]byte("x"), nil)); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			if s := d.Memory.Snapshot(); len(s) != want {
				t.Errorf("after %v: %v", after, s)
			}
		})
	}
}

// A suspicion is no word against the network, lasts as long as any back-off, and ends with a success.
func TestSuspicionBounds(t *testing.T) {
	m := newMemoryTest(t)
	for i := range 2 * networkFailures {
		m.failed(host(i, 1), FailureSuspected)
		m.want(host(i, 1), true)
	}
	m.want(host(99, 1), false)
	m.lasts(host(1, 1), firstBackOff)
	m.failed(host(1, 1), FailureSuspected)
	m.lasts(host(1, 1), 2*firstBackOff)
	m.worked(host(1, 1))
	m.failed(host(1, 1), FailureSuspected)
	m.lasts(host(1, 1), firstBackOff)
}
