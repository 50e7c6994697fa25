package tfo

import (
	"context"
	"errors"
	"net"
	"runtime"
	"syscall"
	"testing"
)

func TestListen(t *testing.T) {
	noLeak(t)
	var called []string
	lc := ListenConfig{NetListenConfig: net.ListenConfig{Control: func(network, address string, _ syscall.RawConn) error {
		called = append(called, network+" "+address)
		return nil
	}}}
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if len(called) != 1 || called[0] != "tcp4 127.0.0.1:0" {
		t.Errorf("%q", called)
	}
	switch why := l.FastOpen(); why {
	case ReasonNone, ReasonSwitchedOff, ReasonUnknown, ReasonUnsupported:
	default:
		t.Errorf("fast open: %v", why)
	}

	mine := errors.New("mine")
	lc.NetListenConfig.Control = func(string, string, syscall.RawConn) error { return mine }
	if _, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0"); !errors.Is(err, mine) {
		t.Error(err)
	}
	var unknown net.UnknownNetworkError
	if _, err := Listen("unix", "x"); !errors.As(err, &unknown) {
		t.Error(err)
	}
	if _, err := Listen("tcp", l.Addr().String()); !errors.Is(err, syscall.EADDRINUSE) && runtime.GOOS != "windows" {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := new(ListenConfig).Listen(ctx, "tcp", "name.example:0"); err == nil {
		t.Error("no error after the context ended")
	}
}

func TestConnInfoWithoutSocket(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if _, err := ConnInfo(a); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
}
