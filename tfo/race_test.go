package tfo

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// The policy, with fake answers and a fake clock. Addresses 2001:db8::x and 192.0.2.x.

const (
	six1, six2   = "2001:db8::1", "2001:db8::2"
	four1, four2 = "192.0.2.11", "192.0.2.12"
)

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// Which attempts begin, and when: every row up to its end, by a winner or by the deadline.
func TestRaceSchedule(t *testing.T) {
	refused := error(syscall.ECONNREFUSED)
	silentOption := reply{option: true, after: time.Hour}
	port := &net.TCPAddr{Port: 4000}
	for _, test := range []struct {
		name     string
		addrs    string
		answers  map[string]reply
		rtt      time.Duration
		net      net.Dialer
		disable  bool
		deadline time.Duration // 0: an hour
		want     []string
	}{
		{name: "one that answers", addrs: six1,
			answers: map[string]reply{six1 + " fastopen": {after: ms(100), taken: 1}},
			want:    []string{"0s " + six1 + " fastopen"}},
		{name: "families take turns (RFC 8305, section 4)", addrs: six1 + " " + six2 + " " + four1 + " " + four2, deadline: ms(900),
			want: []string{"0s " + six1 + " fastopen", "250ms " + four1 + " fastopen", "500ms " + six2 + " fastopen", "750ms " + four2 + " fastopen"}},
		{name: "the resolver's first family begins", addrs: four1 + " " + four2 + " " + six1, deadline: ms(600),
			want: []string{"0s " + four1 + " fastopen", "250ms " + six1 + " fastopen", "500ms " + four2 + " fastopen"}},
		{name: "settable delay", addrs: six1 + " " + four1, net: net.Dialer{FallbackDelay: ms(100)}, deadline: ms(300),
			want: []string{"0s " + six1 + " fastopen", "100ms " + four1 + " fastopen"}},
		{name: "the delay MUST NOT be less than 10 ms (RFC 8305, section 8)", addrs: six1 + " " + four1, net: net.Dialer{FallbackDelay: 1}, deadline: ms(300),
			want: []string{"0s " + six1 + " fastopen", "10ms " + four1 + " fastopen"}},
		{name: "one after the other", addrs: six1 + " " + four1, net: net.Dialer{FallbackDelay: -1}, deadline: 10 * time.Second,
			want: []string{"0s " + six1 + " fastopen", "5s " + four1 + " fastopen"}},
		{name: "an address that fails gives way at once", addrs: six1 + " " + four1 + " " + six2, disable: true, deadline: ms(300),
			answers: map[string]reply{six1 + " plain": {after: ms(20), err: refused}},
			want:    []string{"0s " + six1 + " plain", "20ms " + four1 + " plain", "270ms " + six2 + " plain"}},

		{name: "twin, round-trip time unknown", addrs: four1, answers: map[string]reply{four1 + " fastopen": silentOption}, deadline: time.Second,
			want: []string{"0s " + four1 + " fastopen", "250ms " + four1 + " plain"}},
		{name: "twin after 1.5 round trips", addrs: four1, answers: map[string]reply{four1 + " fastopen": silentOption}, rtt: ms(100), deadline: time.Second,
			want: []string{"0s " + four1 + " fastopen", "150ms " + four1 + " plain"}},
		{name: "twin, short round trip", addrs: four1, answers: map[string]reply{four1 + " fastopen": silentOption}, rtt: ms(1), deadline: time.Second,
			want: []string{"0s " + four1 + " fastopen", "30ms " + four1 + " plain"}},
		{name: "twin, long round trip", addrs: four1, answers: map[string]reply{four1 + " fastopen": silentOption}, rtt: time.Second, deadline: time.Second,
			want: []string{"0s " + four1 + " fastopen", "250ms " + four1 + " plain"}},
		{name: "twin of a dial in a hurry", addrs: four1, answers: map[string]reply{four1 + " fastopen": silentOption}, deadline: ms(150),
			want: []string{"0s " + four1 + " fastopen", "50ms " + four1 + " plain"}},
		{name: "data without an option is something to stumble over, too", addrs: four1, deadline: time.Second,
			answers: map[string]reply{four1 + " fastopen": {taken: 1, after: time.Hour}},
			want:    []string{"0s " + four1 + " fastopen", "250ms " + four1 + " plain"}},
		{name: "an ordinary SYN has no twin", addrs: four1, deadline: ms(400),
			answers: map[string]reply{four1 + " fastopen": {after: ms(300), err: refused}},
			want:    []string{"0s " + four1 + " fastopen"}},
		{name: "no twin of a plain attempt", addrs: four1, disable: true, deadline: time.Second,
			want: []string{"0s " + four1 + " plain"}},
		{name: "a twin at once after an error, and the next address", addrs: six1 + " " + four1, deadline: ms(200),
			answers: map[string]reply{six1 + " fastopen": {option: true, after: ms(50), err: refused}},
			want:    []string{"0s " + six1 + " fastopen", "50ms " + six1 + " plain", "50ms " + four1 + " fastopen"}},
		{name: "one twin only", addrs: four1, rtt: ms(20),
			answers: map[string]reply{four1 + " fastopen": {option: true, after: ms(60), err: refused}, four1 + " plain": {after: ms(20), err: refused}},
			want:    []string{"0s " + four1 + " fastopen", "30ms " + four1 + " plain"}},
		{name: "no twin of a connection that met itself", addrs: four1 + " " + four2, deadline: ms(300),
			answers: map[string]reply{four1 + " fastopen": {taken: 1, after: ms(10), err: errors.New("itself"), self: true}},
			want:    []string{"0s " + four1 + " fastopen", "10ms " + four2 + " fastopen"}},
		{name: "every lane has its twin", addrs: six1 + " " + four1, rtt: ms(100), deadline: ms(1250),
			answers: map[string]reply{six1 + " fastopen": silentOption, four1 + " fastopen": silentOption},
			want:    []string{"0s " + six1 + " fastopen", "150ms " + six1 + " plain", "250ms " + four1 + " fastopen", "400ms " + four1 + " plain"}},
		{name: "one after the other, with twins", addrs: six1 + " " + four1, net: net.Dialer{FallbackDelay: -1}, rtt: ms(100),
			answers: map[string]reply{six1 + " fastopen": {option: true, after: ms(200), err: refused}, six1 + " plain": {after: ms(100), err: refused}},
			want:    []string{"0s " + six1 + " fastopen", "150ms " + six1 + " plain", "250ms " + four1 + " fastopen"}},

		{name: "one local port, one socket", addrs: four1 + " " + four2, net: net.Dialer{LocalAddr: port}, deadline: 10 * time.Second,
			answers: map[string]reply{four1 + " fastopen": silentOption},
			want:    []string{"0s " + four1 + " fastopen", "5s " + four2 + " fastopen"}},
		{name: "one local port: a twin after a failure", addrs: four1 + " " + four2, net: net.Dialer{LocalAddr: port},
			answers: map[string]reply{four1 + " fastopen": {taken: 1, after: ms(10), err: refused}, four1 + " plain": {after: ms(10), err: refused}},
			want:    []string{"0s " + four1 + " fastopen", "10ms " + four1 + " plain", "20ms " + four2 + " fastopen"}},
		{name: "a local address without a port binds nothing", addrs: four1 + " " + four2, net: net.Dialer{LocalAddr: &net.TCPAddr{}}, deadline: ms(300),
			want: []string{"0s " + four1 + " fastopen", "250ms " + four2 + " fastopen"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if test.deadline == 0 {
					test.deadline = time.Hour
				}
				ctx, cancel := context.WithTimeout(t.Context(), test.deadline)
				defer cancel()
				f := newFakeNet(t, test.answers)
				f.rtt = test.rtt
				_, _, err := f.dial(ctx, &Dialer{NetDialer: &test.net, Disable: test.disable}, test.addrs, flight([]byte("x"), nil))
				if !slices.Equal(f.log, test.want) {
					t.Errorf("%q\nwant %q (%v)", f.log, test.want, err)
				}
			})
		})
	}
}

// Who wins, when, and what becomes of the others.
func TestRaceWinner(t *testing.T) {
	for _, test := range []struct {
		name    string
		addrs   string
		answers map[string]reply
		rtt     time.Duration
		won     string
		after   time.Duration
	}{
		{"Fast Open", four1, map[string]reply{four1 + " fastopen": {taken: 1, after: ms(100)}}, ms(100), four1 + " fastopen", ms(100)},
		{"twin", four1, map[string]reply{four1 + " fastopen": {taken: 1, after: ms(1100)}, four1 + " plain": {after: ms(100)}}, ms(100), four1 + " plain", ms(250)},
		{"Fast Open in spite of its twin", four1, map[string]reply{four1 + " fastopen": {taken: 1, after: ms(200)}, four1 + " plain": {after: ms(100)}}, ms(100), four1 + " fastopen", ms(200)},
		{"twin after a reset", four1, map[string]reply{four1 + " fastopen": {taken: 1, after: ms(50), err: syscall.ECONNREFUSED}, four1 + " plain": {after: ms(100)}}, ms(100), four1 + " plain", ms(150)},
		{"the second family", six1 + " " + four1, map[string]reply{four1 + " fastopen": {taken: 1, after: ms(100)}}, 0, four1 + " fastopen", ms(350)},
		{"the first family, late", six1 + " " + four1, map[string]reply{six1 + " fastopen": {taken: 1, after: ms(300)}, four1 + " fastopen": {taken: 1, after: ms(100)}}, 0, six1 + " fastopen", ms(300)},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeNet(t, test.answers)
				f.rtt = test.rtt
				conn, info, err := f.dial(t.Context(), new(Dialer), test.addrs, flight([]byte("hello"), nil))
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(f.start); took != test.after {
					t.Errorf("took %v, want %v", took, test.after)
				}
				if got := info.Won.Addr.Addr().String() + " " + info.Won.Way.String(); got != test.won {
					t.Errorf("%s won, not %s", got, test.won)
				}
				if info.Won.Way == WayPlain && (info.Why != ReasonPlainWay || info.Way != WayPlain) {
					t.Errorf("%+v", info)
				}
				for _, a := range info.Attempts {
					if a != info.Won && !errors.Is(a.Err, ErrLost) && !errors.Is(a.Err, syscall.ECONNREFUSED) {
						t.Errorf("%v %v: %v", a.Addr, a.Way, a.Err)
					}
				}
				conn.Close()
				want := "hello"
				if info.Won.Way == WayFastOpen {
					want = "ello" // the SYN took the first byte
				}
				if got := readAll(f.conns[test.won]); string(got) != want {
					t.Errorf("the server got %q after the handshake", got)
				}
			})
		})
	}
}

// A loser whose SYN-ACK came in the last moment is reset, so that the server does not wait for it.
func TestLoserIsReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		f := newFakeNet(t, map[string]reply{four1 + " fastopen": {taken: 1, block: block}, four1 + " plain": {after: ms(100)}})
		time.AfterFunc(ms(400), func() { close(block) })
		_, info, err := f.dial(t.Context(), new(Dialer), four1, flight([]byte("hello"), nil))
		if err != nil || info.Won.Way != WayPlain || !errors.Is(info.Attempts[0].Err, ErrLost) || !info.Attempts[0].Left {
			t.Errorf("%v, %+v", err, info)
		}
		if took := time.Since(f.start); took != ms(400) {
			t.Errorf("took %v: the dial did not wait for the loser's end", took)
		}
		if _, err := f.conns[four1+" fastopen"].Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the loser's server got %v", err)
		}
	})
}

// The right to send bytes that may leave once passes on to the twin that won exactly when nothing of them had left.
func TestOnceInTheRace(t *testing.T) {
	for _, test := range []struct {
		name  string
		fast  reply
		moves bool
	}{
		{"no answer, data left", reply{taken: 5, after: time.Hour}, false},
		{"no answer, cookie asked", reply{option: true, after: time.Hour}, true},
		{"reset, data left", reply{taken: 5, after: ms(50), err: syscall.ECONNREFUSED}, false},
		{"reset, cookie asked", reply{option: true, after: ms(50), err: syscall.ECONNREFUSED}, true},
		{"one byte left", reply{taken: 1, after: time.Hour}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeNet(t, map[string]reply{four1 + " fastopen": test.fast, four1 + " plain": {after: ms(100)}})
				conn, info, err := f.dial(t.Context(), new(Dialer), four1, onceWherePossible([]byte("hello")))
				if err != nil {
					t.Fatal(err)
				}
				conn.Close()
				if a := info.Attempts[0]; !a.MayOnce || a.Left == test.moves || a.OnceLeft == test.moves {
					t.Errorf("Fast Open: %+v", a)
				}
				if a := info.Won; a.Way != WayPlain || a.MayOnce != test.moves || !a.Left || a.OnceLeft != test.moves {
					t.Errorf("twin: %+v", a)
				}
			})
		})
	}
}

// However the addresses answer, bytes that may leave once leave on one attempt at most.
func TestOnceAtMostOnce(t *testing.T) {
	ways := []reply{
		{after: time.Hour}, {taken: 5, after: time.Hour}, {option: true, after: time.Hour},
		{taken: 5, after: ms(300)}, {option: true, after: ms(300)}, {after: ms(300)},
		{taken: 5, after: ms(20), err: syscall.ECONNREFUSED}, {option: true, after: ms(20), err: syscall.ECONNREFUSED},
	}
	for i := range len(ways) * len(ways) * 2 {
		synctest.Test(t, func(t *testing.T) {
			answers := map[string]reply{six1 + " fastopen": ways[i%len(ways)], four1 + " fastopen": ways[i/len(ways)%len(ways)]}
			if i >= len(ways)*len(ways) {
				answers[six1+" plain"] = reply{after: ms(100)}
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, info, _ := newFakeNet(t, answers).dial(ctx, new(Dialer), six1+" "+four1, onceWherePossible([]byte("hello")))
			left := 0
			for _, a := range info.Attempts {
				if a.OnceLeft {
					left++
				}
			}
			if left > 1 {
				t.Errorf("%+v: they left %d times", answers, left)
			}
		})
	}
}

// All errors are there when all attempts failed; an address that failed twice alike is mentioned once.
func TestRaceErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(t, map[string]reply{
			six1 + " fastopen":  {taken: 1, after: ms(10), err: syscall.ECONNREFUSED},
			six1 + " plain":     {after: ms(10), err: syscall.ECONNREFUSED},
			four1 + " fastopen": {option: true, after: ms(500), err: syscall.EHOSTUNREACH},
			four1 + " plain":    {after: ms(600), err: syscall.ETIMEDOUT},
		})
		_, info, err := f.dial(t.Context(), new(Dialer), six1+" "+four1, flight([]byte("x"), nil))
		var op *net.OpError
		if !errors.As(err, &op) || op.Op != "dial" || !op.Timeout() || len(info.Attempts) != 4 {
			t.Errorf("%#v", err)
		}
		for _, want := range []error{syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ETIMEDOUT} {
			if !errors.Is(err, want) || strings.Count(err.Error(), want.Error()) != 1 {
				t.Errorf("%v in %v", want, err)
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(t, map[string]reply{
			four1 + " fastopen": {taken: 1, after: ms(10), err: syscall.ECONNREFUSED},
			four1 + " plain":    {after: ms(10), err: syscall.ECONNREFUSED},
		})
		_, _, err := f.dial(t.Context(), new(Dialer), four1, flight([]byte("x"), nil))
		if op, ok := err.(*net.OpError); !ok || op.Err != syscall.ECONNREFUSED {
			t.Errorf("not the error of one attempt: %#v", err)
		}
	})
}

// The end of the context ends every attempt.
func TestRaceCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(ms(600), cancel)
		f := newFakeNet(t, map[string]reply{six1 + " fastopen": {taken: 1, after: time.Hour}})
		_, info, err := f.dial(ctx, new(Dialer), six1+" "+four1+" "+six2+" "+four2, flight([]byte("x"), nil))
		if !errors.Is(err, context.Canceled) || len(info.Attempts) != 4 || time.Since(f.start) != ms(600) {
			t.Errorf("%v after %v, %d attempts", err, time.Since(f.start), len(info.Attempts))
		}
	})
}

// An error of the callback ends the dial, whichever attempt it is for.
func TestRaceFatal(t *testing.T) {
	mine := errors.New("mine")
	for _, test := range []struct {
		name    string
		answers map[string]reply
		first   FirstFlight
		want    error
		after   time.Duration
	}{
		{"in the second lane", nil, func(_ context.Context, a *Attempt) (Flight, error) {
			if a.Addr.Addr().Is4() {
				return Flight{}, mine
			}
			return Flight{Data: []byte("x")}, nil
		}, mine, ms(250)},
		{"for a twin", map[string]reply{six1 + " fastopen": {taken: 1, after: time.Hour}, six1 + " plain": {after: ms(100)}},
			func(_ context.Context, a *Attempt) (Flight, error) {
				if a.Way == WayPlain {
					return Flight{}, mine
				}
				return Flight{Data: []byte("x")}, nil
			}, mine, ms(350)},
		{"once-only bytes twice", nil, func(_ context.Context, a *Attempt) (Flight, error) {
			return Flight{Data: []byte("x"), Once: true}, nil
		}, ErrOnce, ms(250)},
		{"the end of its goroutine, in the second lane", nil, func(_ context.Context, a *Attempt) (Flight, error) {
			if a.Addr.Addr().Is4() {
				runtime.Goexit()
			}
			return Flight{Data: []byte("x")}, nil
		}, errExited, ms(250)},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeNet(t, test.answers)
				_, info, err := f.dial(t.Context(), new(Dialer), six1+" "+four1, test.first)
				if err != test.want && !errors.Is(err, errExited) || !errors.Is(err, test.want) || time.Since(f.start) != test.after {
					t.Errorf("%v after %v", err, time.Since(f.start))
				}
				for _, a := range info.Attempts {
					if !errors.Is(a.Err, test.want) && !errors.Is(a.Err, ErrLost) {
						t.Errorf("%v: %v", a.Addr, a.Err)
					}
				}
			})
		})
	}
}

// A callback that notices the end of a lost attempt, and says so, does not end the dial.
func TestLoserCallbackError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(t, map[string]reply{six1 + " fastopen": {taken: 1, after: ms(300)}})
		_, info, err := f.dial(t.Context(), new(Dialer), six1+" "+four1, func(ctx context.Context, a *Attempt) (Flight, error) {
			if a.Addr.Addr().Is4() {
				<-ctx.Done()
				return Flight{}, ctx.Err()
			}
			return Flight{Data: []byte("x")}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range info.Attempts {
			if a.Addr.Addr().Is4() && (!errors.Is(a.Err, ErrLost) || a.Left) {
				t.Errorf("%+v", a)
			}
		}
	})
}

func TestInterleave(t *testing.T) {
	for _, test := range []struct{ addrs, want string }{
		{"6a", "6a"},
		{"6a 6b 4a 4b 4c", "6a 4a 6b 4b 4c"},
		{"4a 6a 6b 6c", "4a 6a 6b 6c"},
		{"4a 4b 6a", "4a 6a 4b"},
	} {
		parse := func(s string) (addrs []netip.AddrPort) {
			for _, f := range strings.Fields(s) {
				ip := netip.AddrFrom4([4]byte{192, 0, 2, f[1]})
				if f[0] == '6' {
					ip = netip.AddrFrom16([16]byte{0x20, 15: f[1]})
				}
				addrs = append(addrs, netip.AddrPortFrom(ip, 1))
			}
			return addrs
		}
		if got := interleave(parse(test.addrs)); !slices.Equal(got, parse(test.want)) {
			t.Errorf("%s: %v, want %s", test.addrs, got, test.want)
		}
	}
}
