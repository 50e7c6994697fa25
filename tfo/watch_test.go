package tfo

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// onStack says whether a function whose name ends so is among the callers.
func onStack(name string) bool {
	pcs := make([]uintptr, 100)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for more := true; more; {
		var f runtime.Frame
		if f, more = frames.Next(); strings.HasSuffix(f.Function, name) {
			return true
		}
	}
	return false
}

// An attempt that is alone connects on the goroutine of DialContext, whatever follows. Another one that joins does not.
func TestConnectsHere(t *testing.T) {
	for _, test := range []struct {
		name    string
		addrs   string
		answers map[string]reply
		want    map[string]bool // by address and way: on the goroutine of the dial
	}{
		{"one", six1, map[string]reply{six1 + " fastopen": {taken: 1, after: ms(10)}},
			map[string]bool{six1 + " fastopen": true}},
		{"another would have come", six1 + " " + four1, map[string]reply{six1 + " fastopen": {taken: 1, after: ms(249)}},
			map[string]bool{six1 + " fastopen": true}},
		{"a twin joins", six1, map[string]reply{six1 + " fastopen": {taken: 1, after: time.Hour}, six1 + " plain": {after: ms(10)}},
			map[string]bool{six1 + " fastopen": true, six1 + " plain": false}},
		{"a twin alone", six1, map[string]reply{six1 + " fastopen": {taken: 1, after: ms(10), err: syscall.ECONNRESET}, six1 + " plain": {after: ms(10)}},
			map[string]bool{six1 + " fastopen": true, six1 + " plain": true}},
		{"the race goes on twice", six1 + " " + four1, map[string]reply{
			six1 + " fastopen": {taken: 1, after: time.Hour}, six1 + " plain": {after: ms(20), err: syscall.ECONNRESET},
			four1 + " fastopen": {taken: 1, after: time.Hour}, four1 + " plain": {after: ms(500)}},
			map[string]bool{six1 + " fastopen": true, six1 + " plain": false, four1 + " fastopen": false, four1 + " plain": false}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				here := make(map[string]bool)
				f := newFakeNet(t, test.answers)
				f.onConnect = func(a *attempt) { here[name(a)] = onStack("(*fakeNet).dial") }
				if _, _, err := f.dial(t.Context(), new(Dialer), test.addrs, flight([]byte("x"), nil)); err != nil {
					t.Fatal(err)
				}
				for who, want := range test.want {
					if got, began := here[who]; !began || got != want {
						t.Errorf("%s: began %v, on the dial's goroutine %v, want %v", who, began, got, want)
					}
				}
				if len(here) != len(test.want) {
					t.Errorf("%v", here)
				}
			})
		})
	}
}

// A callback may end the goroutine of DialContext. The bubble of synctest finds what it leaves behind.
func TestCallbackEndsTheDial(t *testing.T) {
	for _, after := range []time.Duration{0, ms(300)} { // later the race has gone on, with a second attempt
		synctest.Test(t, func(t *testing.T) {
			f := newFakeNet(t, map[string]reply{four1 + " fastopen": {taken: 1, after: ms(40)}})
			exited, returned := make(chan struct{}), false
			go func() {
				defer close(exited)
				f.dial(t.Context(), new(Dialer), six1+" "+four1, func(_ context.Context, a *Attempt) (Flight, error) {
					if a.Addr.Addr().Is6() {
						time.Sleep(after)
						runtime.Goexit()
					}
					return Flight{Data: []byte("x")}, nil
				})
				returned = true
			}()
			<-exited
			if returned {
				t.Error("the goroutine did not end")
			}
			synctest.Wait()
			if conn := f.conns[four1+" fastopen"]; after > 0 && conn == nil {
				t.Error("no second attempt")
			} else if conn != nil {
				if _, err := conn.Read(make([]byte, 1)); err == nil {
					t.Error("the connection of the second attempt was left open")
				}
			}
		})
	}
}

// The end of an attempt here and the time of another one may come at the same moment; whoever is first, the dial has one end.
func TestTwinInTheSameMoment(t *testing.T) {
	for _, answer := range []reply{{taken: 1, after: ms(250)}, {taken: 1, after: ms(250), err: syscall.ECONNRESET}} {
		for range 50 {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeNet(t, map[string]reply{six1 + " fastopen": answer, six1 + " plain": {}})
				_, info, err := f.dial(t.Context(), new(Dialer), six1, flight([]byte("x"), nil))
				if err != nil || info.Won == nil || len(info.Attempts) > 2 || time.Since(f.start) != ms(250) {
					t.Errorf("%d attempts, %v after %v", len(info.Attempts), err, time.Since(f.start))
				}
			})
		}
	}
}

// With the context everything ends, wherever the race is.
func TestContextEndsTheRaceElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(t, map[string]reply{six1 + " fastopen": {taken: 1, after: time.Hour}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, info, err := f.dial(ctx, new(Dialer), six1+" "+four1, flight([]byte("x"), nil))
		if !errors.Is(err, context.DeadlineExceeded) || len(info.Attempts) != 3 {
			t.Errorf("%d attempts, %v", len(info.Attempts), err)
		}
		var op *net.OpError
		if !errors.As(err, &op) || !op.Timeout() {
			t.Errorf("no timeout: %v", err)
		}
	})
}
