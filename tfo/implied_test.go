//go:build (linux || freebsd) && !tlstfo_portable

package tfo

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// fakeImplied makes the system calls of an implied connect, and is the socket that they get.
type fakeImplied struct {
	errs  map[string]error
	taken int // -1: all
	steps []string
	local netip.AddrPort
}

func (f *fakeImplied) step(name string) error {
	f.steps = append(f.steps, name)
	return f.errs[name]
}

func (f *fakeImplied) bind(_ uintptr, local netip.AddrPort) error {
	f.local = local
	return f.step("bind")
}

func (f *fakeImplied) enable(uintptr) error { return f.step("enable") }

func (f *fakeImplied) resetOnClose(uintptr) (func(uintptr), error) {
	return func(uintptr) { f.step("restore") }, f.step("reset")
}

func (f *fakeImplied) sendTo(_ uintptr, data []byte, _ netip.AddrPort) (int, error) {
	if err := f.step("send"); err != nil {
		return -1, err
	}
	if f.taken < 0 {
		return len(data), nil
	}
	return f.taken, nil
}

func (f *fakeImplied) Control(g func(uintptr)) error {
	g(42)
	return f.errs["control"]
}
func (f *fakeImplied) Read(func(uintptr) bool) error  { return errors.ErrUnsupported }
func (f *fakeImplied) Write(func(uintptr) bool) error { return errors.ErrUnsupported }

func TestImpliedConnect(t *testing.T) {
	mine := errors.New("mine")
	for _, test := range []struct {
		name  string
		data  string
		taken int
		errs  map[string]error
		local net.Addr
		is    error  // nil: net goes on, on the same socket
		steps string // and "flight" if the callback was called
		n     int
		left  bool
		opt   bool
		why   Reason
	}{
		{name: "all taken", data: "hello", taken: -1, steps: "enable reset send", n: 5, left: true, opt: true, why: ReasonUnknown},
		{name: "a part", data: "hello", taken: 2, steps: "enable reset send", n: 2, left: true, opt: true, why: ReasonUnknown},
		{name: "more than fits", data: "hello, world", taken: -1, steps: "enable reset send", n: 8, left: true, opt: true, why: ReasonUnknown},
		{name: "local address", data: "hello", taken: -1, local: &net.TCPAddr{Port: 7}, steps: "bind enable reset send", n: 5, left: true, opt: true, why: ReasonUnknown},
		{name: "nothing to send", steps: "enable", why: ReasonNothingToSend},
		{name: "switched off", data: "hello", errs: map[string]error{"enable": syscall.EPERM}, local: &net.TCPAddr{}, steps: "bind enable", why: ReasonSwitchedOff},
		{name: "no such option", data: "hello", errs: map[string]error{"enable": syscall.ENOPROTOOPT}, steps: "enable", why: ReasonUnsupported},
		{name: "bind", data: "hello", errs: map[string]error{"bind": syscall.EADDRINUSE}, local: &net.TCPAddr{}, is: syscall.EADDRINUSE, steps: "bind"},
		{name: "no route", data: "hello", errs: map[string]error{"send": syscall.EHOSTUNREACH}, is: syscall.EHOSTUNREACH, steps: "enable reset send", opt: true},
		{name: "refused here", data: "hello", errs: map[string]error{"send": syscall.EACCES}, is: syscall.EACCES, steps: "enable reset send", opt: true},
		{name: "unclear", data: "hello", errs: map[string]error{"send": syscall.EIO}, is: syscall.EIO, steps: "enable reset send", left: true, opt: true},
		{name: "no reset", data: "hello", errs: map[string]error{"reset": syscall.EINVAL}, is: syscall.EINVAL, steps: "enable reset", opt: true},
		{name: "callback", data: "fail", is: mine, steps: "enable"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, f := ownAttempt("192.0.2.1:443", net.Dialer{LocalAddr: test.local}, test.data), &fakeImplied{errs: test.errs, taken: test.taken}
			if test.data == "fail" {
				a.dial.first = func(context.Context, *Attempt) (Flight, error) { return Flight{}, mine }
			}
			restore, err := a.sendImplied(t.Context(), f, f)
			if !errors.Is(err, test.is) || test.is == nil && err != nil {
				t.Error(err)
			}
			if !slices.Equal(f.steps, strings.Fields(test.steps)) {
				t.Errorf("%q", f.steps)
			}
			if (restore != nil) != (err == nil && test.opt) {
				t.Errorf("the reset on close is undone: %v", restore != nil)
			}
			if a.taken != test.n || a.Left != test.left || a.OnceLeft != test.left || a.option != test.opt || a.syn.why != test.why {
				t.Errorf("%d taken, left %v, once %v, option %v, %v", a.taken, a.Left, a.OnceLeft, a.option, a.syn.why)
			}
			if test.local != nil && f.local != netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(test.local.(*net.TCPAddr).Port)) {
				t.Errorf("bound to %v", f.local)
			}
			a.settle(nil)
			if a.dial.right.take() == test.left {
				t.Errorf("the right to send once is free: %v", !test.left)
			}
		})
	}
}

// net calls the hook again for a dial that met itself: the data of the first socket is lost.
func TestImpliedConnectAgain(t *testing.T) {
	for _, once := range []bool{false, true} {
		a, f := ownAttempt("127.0.0.1:1", net.Dialer{LocalAddr: &net.TCPAddr{}}, "hello"), &fakeImplied{taken: -1}
		a.dial.first = func(context.Context, *Attempt) (Flight, error) { return Flight{Data: []byte("hello"), Once: once}, nil }
		if _, err := a.sendImplied(t.Context(), f, f); err != nil {
			t.Fatal(err)
		}
		f.steps = nil
		restore, err := a.sendImplied(t.Context(), f, f)
		if restore != nil {
			t.Error("the second socket has nothing to undo")
		}
		if once && (err != errSelfConnect || len(f.steps) > 0 || !a.OnceLeft) {
			t.Errorf("once: %v, %q", err, f.steps)
		}
		if !once && (err != nil || !slices.Equal(f.steps, []string{"bind"}) || a.taken != 0 || a.option || a.syn.why != ReasonUnknown) {
			t.Errorf("%v, %q, %d taken", err, f.steps, a.taken)
		}
	}
}

// A socket that net has closed ends the attempt.
func TestImpliedConnectClosed(t *testing.T) {
	f := &fakeImplied{errs: map[string]error{"control": net.ErrClosed}, taken: -1}
	a := ownAttempt("192.0.2.1:443", net.Dialer{LocalAddr: &net.TCPAddr{}}, "hello")
	if _, err := a.sendImplied(t.Context(), f, f); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}
