package tfo

import (
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A survey is believed for a second. How a dial went decides whether it is kept so long: only if all went as it said.
func TestSurveysAreKeptForASecond(t *testing.T) {
	fine := reply{option: true, taken: 1, after: ms(10)}
	for _, test := range []struct {
		name   string
		answer reply
		wait   time.Duration
		want   int // surveys, of two dials
	}{
		{"at once", fine, 0, 1},
		{"just before", fine, surveyTime - ms(11), 1},
		{"a second later", fine, surveyTime - ms(10), 2},
		{"the kernel had no cookie", reply{option: true, after: ms(10)}, 0, 2},
		{"less fitted than the survey said", reply{option: true, taken: 1, short: true, after: ms(10)}, 0, 2},
		{"the SYN was sent again", reply{option: true, taken: 1, again: true, after: ms(10)}, surveyTime / 2, 2},
		{"an error", reply{option: true, taken: 1, after: ms(10), err: syscall.ECONNRESET}, 0, 2},
		{"no answer", reply{option: true, taken: 1, after: time.Hour}, 0, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeNet(t, map[string]reply{six1 + " fastopen": test.answer, six1 + " plain": {after: ms(10)}})
				var memory Memory
				for range 2 {
					data := []byte("x")
					if test.answer.short {
						data = []byte("xx")
					}
					if _, _, err := f.dial(t.Context(), &Dialer{Memory: &memory}, six1, flight(data, nil)); err != nil {
						t.Fatal(err)
					}
					memory.entries = nil // a back-off would send the next dial plainly
					time.Sleep(test.wait)
				}
				if int(f.surveys.Load()) != test.want {
					t.Errorf("%d surveys, want %d", f.surveys.Load(), test.want)
				}
			})
		})
	}
}

// A dial from which the kernel has not learned the round-trip time yet tells it to the next one, so that a twin of that does not wait for longest.
func TestSurveyLearnsRoundTripTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var memory Memory
		f := newFakeNet(t, map[string]reply{six1 + " fastopen": {option: true, taken: 1, after: ms(10)}})
		for i, want := range []time.Duration{0, ms(10), ms(10)} {
			_, info, err := f.dial(t.Context(), &Dialer{Memory: &memory}, six1, flight([]byte("x"), nil))
			if err != nil {
				t.Fatal(err)
			}
			if got := info.Won.RTT; got != want {
				t.Errorf("dial %d knows a round-trip time of %v, want %v", i, got, want)
			}
		}
		if f.surveys.Load() != 1 {
			t.Errorf("%d surveys, want one", f.surveys.Load())
		}
	})
}

// Without a Memory, for other addresses and from other local ones, a survey is made.
func TestSurveysAreNotMixedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var memory Memory
		for i, test := range []struct {
			memory  *Memory
			address string
		}{{nil, six1}, {nil, six1}, {&memory, six1}, {&memory, six2}} {
			f := newFakeNet(t, map[string]reply{test.address + " fastopen": {option: true, taken: 1}})
			if _, _, err := f.dial(t.Context(), &Dialer{Memory: test.memory}, test.address, flight([]byte("x"), nil)); err != nil {
				t.Fatal(err)
			}
			if f.surveys.Load() != 1 {
				t.Errorf("%d: %d surveys", i, f.surveys.Load())
			}
		}
	})
}

// The network changes within the second for which a survey is believed: what happens in the new one is not held against the old one, nor in its favour.
func TestMemoryAndAChangeOfNetworks(t *testing.T) {
	home, away := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1")
	good := reply{option: true, taken: 1, after: ms(10)}
	for _, test := range []struct {
		name string
		bad  reply
	}{
		{"no answer", reply{option: true, taken: 1, after: time.Hour}},
		{"an error", reply{option: true, taken: 1, after: ms(10), err: syscall.ECONNRESET}},
		{"sent again", reply{option: true, taken: 1, again: true, after: ms(10)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeNet(t, map[string]reply{four1 + " fastopen": good, four1 + " plain": {after: ms(10)}})
				var memory Memory
				dial := func(answer reply) *Info {
					f.answers[four1+" fastopen"] = answer
					_, info, err := f.dial(t.Context(), &Dialer{Memory: &memory}, four1, flight([]byte("x"), nil))
					if err != nil {
						t.Fatal(err)
					}
					return info
				}
				held := func(want ...netip.Addr) {
					t.Helper()
					list := memory.Snapshot()
					for i := range list {
						if i >= len(want) || list[i].Network != want[i] {
							t.Errorf("%v, want one for each of %v", list, want)
						}
					}
					if len(list) != len(want) {
						t.Errorf("%v, want one for each of %v", list, want)
					}
				}
				dial(good) // surveyed at home
				f.from, f.now = away, away
				info := dial(test.bad)
				held()
				memory.Stalled(info.Attempts[0]) // nor later
				held()
				dial(test.bad) // surveyed anew
				held(away)

				// When the back-off is over, the same the other way round: a success at home does not clear it.
				time.Sleep(2 * firstBackOff)
				dial(good)
				memory.entries = map[place]*entry{{away, netip.MustParseAddr(four1)}: {failures: 1, why: FailureError}}
				f.from, f.now = home, home
				dial(good)
				held(away)
			})
		})
	}
}

func TestSurveysAreBounded(t *testing.T) {
	var s surveys
	now := time.Now()
	d := &dialing{dialer: new(Dialer)}
	at := func(i int) *attempt {
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 443)
		return &attempt{dial: d, Attempt: &Attempt{Addr: addr, Cookie: CookiePresent}}
	}
	for i := range maxSurveys {
		s.keep(at(i), now)
	}
	if len(s.held) != maxSurveys {
		t.Errorf("%d held", len(s.held))
	}
	s.keep(at(0), now.Add(surveyTime)) // all but this one are too old by now
	if len(s.held) != 1 {
		t.Errorf("%d held", len(s.held))
	}
	for i := range 10 * maxSurveys {
		s.keep(at(i), now)
		if len(s.held) > maxSurveys {
			t.Fatalf("%d held", len(s.held))
		}
	}
	if !s.recall(at(10*maxSurveys-1), now) || s.recall(at(10*maxSurveys-1), now.Add(-1)) {
		t.Error("the latest survey is not there, or one of the future is believed")
	}
}

func TestSurveysAtOnce(t *testing.T) {
	var memory Memory
	source := netip.MustParseAddr("192.0.2.1")
	d := &dialing{dialer: &Dialer{Memory: &memory}, system: &fakeNet{from: source}, first: flight(nil, nil)}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for k := range 100 {
				a := d.newAttempt(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(k % 3)}), 443))
				if a.source != source || a.Cookie != CookiePresent {
					t.Errorf("source %v, cookie %v", a.source, a.Cookie)
				}
				a.syn.acked = i%2 == 0
				memory.surveys.settle(a)
			}
		})
	}
	all.Wait()
	if n := len(memory.surveys.held); n > 3 {
		t.Errorf("%d held of 3 destinations", n)
	}
}
