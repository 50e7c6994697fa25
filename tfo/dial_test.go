package tfo

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The tests in this file hold on every system and in every build.

func TestDialSendsTheFlight(t *testing.T) {
	noLeak(t)
	address, got := sink(t, "tcp4", "127.0.0.1:0")
	small, large := []byte("the first flight"), bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	for _, test := range []struct {
		name   string
		dialer *Dialer
		data   []byte
	}{
		{"small", new(Dialer), small},
		{"large", new(Dialer), large},
		{"disabled", &Dialer{Disable: true}, small},
		{"disabled, large", &Dialer{Disable: true}, large},
		{"empty", new(Dialer), nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			info, server := dialSink(t, test.dialer, "tcp", address, test.data, got)
			if !bytes.Equal(server.data, test.data) {
				t.Errorf("the server got %d bytes", len(server.data))
			}
			if len(info.Attempts) != 1 || info.Won != info.Attempts[0] || info.Won.Err != nil || !info.Won.MayOnce || info.Won.OnceLeft {
				t.Errorf("%+v", info.Won)
			}
			if info.Won.Left != (len(test.data) > 0) {
				t.Errorf("left: %v", info.Won.Left)
			}
			if info.Won.Addr.String() != address || info.Won.Network != "tcp4" {
				t.Errorf("%+v", info.Won)
			}
			if test.dialer.Disable && (info.Won.Way != WayPlain || info.Way != WayPlain || info.Why != ReasonDisabled) {
				t.Errorf("%+v", info)
			}
			if len(test.data) == 0 && !test.dialer.Disable && (kernel{}).fastOpen() && info.Why != ReasonNothingToSend {
				t.Errorf("why: %v", info.Why)
			}
			if info.ConnectTime <= 0 {
				t.Errorf("connect time %v", info.ConnectTime)
			}
		})
	}
}

func TestDialWithoutCallback(t *testing.T) {
	address, got := sink(t, "tcp4", "127.0.0.1:0")
	conn, info, err := new(Dialer).DialContext(t.Context(), "tcp", address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if info.Why != ReasonNothingToSend || info.Way != WayPlain {
		t.Errorf("%+v", info)
	}
	if conn.RemoteAddr().String() != address {
		t.Errorf("remote address %v", conn.RemoteAddr())
	}
	conn.Write([]byte("later"))
	conn.Close()
	if server := <-got; string(server.data) != "later" {
		t.Errorf("the server got %q", server.data)
	}
}

// A plain attempt asks for its flight after the connect, and so does not ask where there is none.
func TestPlainAsksAfterConnect(t *testing.T) {
	var calls int
	d := &Dialer{Disable: true}
	_, info, err := d.DialContext(t.Context(), "tcp", closedPort(t, "127.0.0.1"), flight([]byte("x"), &calls))
	if err == nil || calls != 0 {
		t.Errorf("%v, %d calls", err, calls)
	}
	if len(info.Attempts) != 1 || info.Won != nil || info.Attempts[0].Err == nil || info.Attempts[0].Left {
		t.Errorf("%+v", info)
	}
}

func TestDialErrors(t *testing.T) {
	noLeak(t)
	first := flight([]byte("x"), nil)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	past, cancelPast := context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer cancelPast()
	closed := closedPort(t, "127.0.0.1")
	var unknown net.UnknownNetworkError
	var addr *net.AddrError
	var dns *net.DNSError
	for _, test := range []struct {
		name             string
		ctx              context.Context
		dialer           *net.Dialer
		network, address string
		is               error
		as               any
		timeout          bool
	}{
		{name: "refused", address: closed, is: syscall.ECONNREFUSED},
		{name: "cancelled", ctx: cancelled, address: closed, is: context.Canceled},
		{name: "past", ctx: past, address: closed, is: context.DeadlineExceeded, timeout: true},
		{name: "negative timeout", dialer: &net.Dialer{Timeout: -1}, address: closed, is: context.DeadlineExceeded, timeout: true},
		{name: "deadline", dialer: &net.Dialer{Deadline: time.Unix(1, 0)}, address: closed, is: context.DeadlineExceeded, timeout: true},
		{name: "network", network: "udp", address: closed, as: &unknown},
		{name: "no address", address: "", as: &addr},
		{name: "no port", address: "127.0.0.1", as: &addr},
		{name: "family", network: "tcp6", address: closed, as: &addr},
		{name: "local family", dialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv6loopback}}, address: closed, as: &addr},
		{name: "local type", dialer: &net.Dialer{LocalAddr: &net.UDPAddr{}}, address: closed, as: &addr},
		{name: "name", dialer: &net.Dialer{Resolver: hosts()}, address: "none.example:1", as: &dns},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.ctx == nil {
				test.ctx = t.Context()
			}
			if test.network == "" {
				test.network = "tcp"
			}
			conn, info, err := (&Dialer{NetDialer: test.dialer}).DialContext(test.ctx, test.network, test.address, first)
			if err == nil {
				t.Fatal("no error", conn)
			}
			if test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("%v", err)
			}
			if test.as != nil && !errors.As(err, test.as) {
				t.Errorf("%v", err)
			}
			op, ok := err.(*net.OpError)
			if !ok || op.Op != "dial" || op.Net != test.network || op.Timeout() != test.timeout {
				t.Errorf("%#v", err)
			}
			if info == nil || info.Won != nil || conn != nil {
				t.Error(info, conn)
			}
		})
	}
}

func TestCallbackError(t *testing.T) {
	noLeak(t)
	address, _ := sink(t, "tcp4", "127.0.0.1:0")
	mine := errors.New("mine")
	for _, disable := range []bool{false, true} {
		d := &Dialer{Disable: disable, NetDialer: &net.Dialer{Resolver: hosts("127.0.0.1", "127.0.0.2")}}
		_, port, _ := net.SplitHostPort(address)
		conn, info, err := d.DialContext(t.Context(), "tcp4", "name.example:"+port, func(context.Context, *Attempt) (Flight, error) {
			return Flight{Data: []byte("x")}, mine
		})
		if err != mine || conn != nil {
			t.Error(conn, err)
		}
		if len(info.Attempts) != 1 || info.Attempts[0].Err != mine || info.Attempts[0].Left {
			t.Errorf("%+v", info.Attempts[0])
		}
	}
}

func TestUserControl(t *testing.T) {
	address, got := sink(t, "tcp4", "127.0.0.1:0")
	var order []string
	control := func(network, addr string, c syscall.RawConn) error {
		order = append(order, "control "+network+" "+addr)
		return nil
	}
	type key struct{}
	both := &net.Dialer{Control: control, ControlContext: func(ctx context.Context, network, addr string, c syscall.RawConn) error {
		if ctx.Value(key{}) != "value" {
			t.Error("the context's values are lost")
		}
		order = append(order, "context "+network+" "+addr)
		return nil
	}}
	for _, test := range []struct {
		dialer *net.Dialer
		want   []string
	}{
		{&net.Dialer{Control: control}, []string{"control tcp4 " + address, "flight"}},
		{both, []string{"context tcp4 " + address, "flight"}}, // ControlContext wins, as in net
	} {
		order = nil
		ctx := context.WithValue(t.Context(), key{}, "value")
		conn, _, err := (&Dialer{NetDialer: test.dialer}).DialContext(ctx, "tcp", address, func(ctx context.Context, _ *Attempt) (Flight, error) {
			if ctx.Value(key{}) != "value" {
				t.Error("the context's values are lost")
			}
			order = append(order, "flight")
			return Flight{Data: []byte("x")}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		<-got
		if !reflect.DeepEqual(order, test.want) {
			t.Errorf("%q, want %q", order, test.want)
		}
	}
	mine := errors.New("mine")
	var calls int
	d := &Dialer{NetDialer: &net.Dialer{Control: func(string, string, syscall.RawConn) error { return mine }}}
	if _, _, err := d.DialContext(t.Context(), "tcp", address, flight([]byte("x"), &calls)); !errors.Is(err, mine) || calls != 0 {
		t.Errorf("%v, %d calls", err, calls)
	}
}

// A dead first address of several: the next one is dialled, every error is kept.
func TestSeveralAddresses(t *testing.T) {
	noLeak(t)
	address, got := sink(t, "tcp4", "127.0.0.3:0")
	_, port, _ := net.SplitHostPort(address)
	d := &Dialer{NetDialer: &net.Dialer{Resolver: hosts("127.0.0.2", "127.0.0.3")}}
	conn, info, err := d.DialContext(t.Context(), "tcp4", "name.example:"+port, flight([]byte("x"), nil))
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	<-got
	if n := len(info.Attempts); n < 2 || info.Won != info.Attempts[n-1] || !errors.Is(info.Attempts[0].Err, syscall.ECONNREFUSED) || info.ResolveTime <= 0 {
		t.Errorf("%+v", info)
	}

	d.NetDialer = &net.Dialer{Resolver: hosts("127.0.0.2", "127.0.0.4")}
	_, info, err = d.DialContext(t.Context(), "tcp4", "name.example:"+port, flight([]byte("x"), nil))
	var op *net.OpError
	if !errors.As(err, &op) || op.Timeout() || !errors.Is(err, syscall.ECONNREFUSED) || len(info.Attempts) < 2 || info.Won != nil {
		t.Errorf("%v", err)
	}
	for _, a := range info.Attempts {
		if strings.Count(err.Error(), a.Addr.String()) != 1 {
			t.Errorf("not one word of %v in %q", a.Addr, err)
		}
	}
}

// A callback cannot send once-only bytes twice.
func TestErrOnce(t *testing.T) {
	address, _ := sink(t, "tcp4", "127.0.0.1:0")
	d := &dialing{dialer: &Dialer{Disable: true}, network: "tcp", system: kernel{}, first: func(context.Context, *Attempt) (Flight, error) {
		return Flight{Data: []byte("x"), Once: true}, nil
	}}
	if !d.right.take() {
		t.Fatal("the right is gone")
	}
	info := new(Info)
	conn, err := d.race(t.Context(), []netip.AddrPort{netip.MustParseAddrPort(address)}, info)
	if !errors.Is(err, ErrOnce) || conn != nil || info.Attempts[0].Left || info.Attempts[0].MayOnce {
		t.Errorf("%v, %+v", err, info.Attempts[0])
	}
}

// The rest of a flight is written under the context, and a failure closes the connection.
func TestCancelDuringWrite(t *testing.T) {
	noLeak(t)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, disable := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		ended, over := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			if conn, err := l.Accept(); err == nil {
				defer conn.Close()
				io.ReadFull(conn, make([]byte, 64<<10)) // more than a SYN holds: the rest is being written
				cancel()
				<-over // nothing more is read, so it cannot all go out
			}
		}()
		conn, info, err := (&Dialer{Disable: disable}).DialContext(ctx, "tcp", l.Addr().String(), onceWherePossible(make([]byte, 64<<20)))
		close(over)
		if conn != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("%v, %v", conn, err)
		}
		if a := info.Attempts[0]; a.Err == nil || !a.Left || !a.OnceLeft {
			t.Errorf("%+v", a)
		}
		<-ended
	}
}

// A context that ends just when the flight was written leaves no deadline on the connection.
func TestNoDeadlineLeft(t *testing.T) {
	address, got := sink(t, "tcp4", "127.0.0.1:0")
	conn, _, err := new(Dialer).DialContext(t.Context(), "tcp", address, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := writeContext(ctx, conn, []byte("x")); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := conn.Write([]byte("y")); err != nil {
		t.Error(err)
	}
	conn.Close()
	<-got
}

// A context that ends after the dial does not touch the connection.
func TestContextEndsAfterwards(t *testing.T) {
	address, got := sink(t, "tcp4", "127.0.0.1:0")
	ctx, cancel := context.WithCancel(t.Context())
	conn, _, err := new(Dialer).DialContext(ctx, "tcp", address, flight([]byte("first "), nil))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := conn.Write([]byte("second")); err != nil {
		t.Error(err)
	}
	conn.Close()
	if server := <-got; string(server.data) != "first second" {
		t.Errorf("the server got %q", server.data)
	}
}
