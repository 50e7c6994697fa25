//go:build (linux || darwin || freebsd || windows) && !tlstfo_portable

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
	"time"
)

// fakeSocket is an ownSocket whose system calls do what a test says.
type fakeSocket struct {
	peer   string           // to which adopt connects, and sends what was taken
	errs   map[string]error // by step
	left   int              // what start says with an error
	taken  int              // what wait says; -1: all
	silent bool             // no SYN-ACK comes
	conn   net.Conn         // what adopt returns instead, with a TCP connection inside

	steps []string
	local netip.AddrPort
	data  []byte // what start was given
}

func (s *fakeSocket) step(name string) error {
	s.steps = append(s.steps, name)
	return s.errs[name]
}

func (s *fakeSocket) Control(f func(uintptr)) error {
	f(42)
	return nil
}
func (s *fakeSocket) Read(func(uintptr) bool) error  { return errors.ErrUnsupported }
func (s *fakeSocket) Write(func(uintptr) bool) error { return errors.ErrUnsupported }

func (s *fakeSocket) bind(local netip.AddrPort) error {
	s.local = local
	return s.step("bind")
}

func (s *fakeSocket) start(_ netip.AddrPort, data []byte) (int, error) {
	s.data = data
	if err := s.step("start"); err != nil {
		return s.left, err
	}
	return len(data), nil
}

func (s *fakeSocket) wait(ctx context.Context) (int, error) {
	err := s.step("wait")
	if s.silent {
		<-ctx.Done()
		err = ctx.Err()
	}
	if s.taken < 0 {
		s.taken = len(s.data)
	}
	return s.taken, err
}

func (s *fakeSocket) keepAlive() func(uintptr) {
	return func(uintptr) { s.step("keepAlive") }
}

func (s *fakeSocket) adopt() (net.Conn, error) {
	if err := s.step("adopt"); err != nil || s.conn != nil {
		return s.conn, err
	}
	conn, err := net.Dial("tcp", s.peer)
	if err == nil {
		_, err = conn.Write(s.data[:s.taken])
	}
	return conn, err
}

func (s *fakeSocket) close(abort bool) {
	if abort {
		s.step("abort")
	}
	s.step("close")
}

// ownAttempt returns an attempt of a dial with a callback that sends data, marked Once.
func ownAttempt(address string, nd net.Dialer, data string) *attempt {
	d := &dialing{dialer: new(Dialer), network: "tcp", net: nd, control: nd.Control, controlContext: nd.ControlContext, first: onceWherePossible([]byte(data))}
	return &attempt{
		dial: d, events: make(chan event, 8),
		Attempt: &Attempt{Network: "tcp4", Addr: netip.MustParseAddrPort(address), Way: WayFastOpen, Budget: 8},
	}
}

// connectTo runs an attempt on s to its end.
func (t *attempt) connectTo(ctx context.Context, s ownSocket, why Reason) (*net.TCPConn, error) {
	conn, err := t.connectOwn(ctx, func(string) (ownSocket, Reason) { return s, why })
	if err == nil {
		err = t.deliver(ctx, conn)
	}
	t.settle(err)
	return conn, err
}

func TestOwnSocketConnects(t *testing.T) {
	noLeak(t)
	address, got := sink(t, "tcp4", "127.0.0.1:0")
	for _, test := range []struct {
		name, data, given string
		taken             int
		why               Reason
	}{
		{"cookie", "hello", "hello", -1, ReasonUnknown},
		{"no cookie", "hello", "hello", 0, ReasonUnknown},
		{"a part is taken", "hello", "hello", 2, ReasonUnknown},
		{"more than fits", "hello, world", "hello, w", -1, ReasonUnknown},
		{"nothing to send", "", "", -1, ReasonNothingToSend},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := ownAttempt(address, net.Dialer{}, test.data)
			s := &fakeSocket{peer: address, taken: test.taken}
			conn, err := a.connectTo(t.Context(), s, ReasonNone)
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
			if server := <-got; string(server.data) != test.data {
				t.Errorf("the server got %q, want %q", server.data, test.data)
			}
			if string(s.data) != test.given || a.syn.why != test.why || a.taken != s.taken {
				t.Errorf("start was given %q; %v, %d taken", s.data, a.syn.why, a.taken)
			}
			if sent := test.data != ""; a.Left != sent || a.OnceLeft != sent || a.option != sent || len(a.events) == 0 == sent {
				t.Errorf("left %v, once %v, option %v, %d events", a.Left, a.OnceLeft, a.option, len(a.events))
			}
			if want := []string{"start", "wait", "adopt", "keepAlive", "close"}; !slices.Equal(s.steps, want) {
				t.Errorf("%q, want %q", s.steps, want)
			}
		})
	}
}

// Without Fast Open net dials, and the flight follows the connect.
func TestOwnSocketSwitchedOff(t *testing.T) {
	address, got := sink(t, "tcp4", "127.0.0.1:0")
	var hooks int
	a := ownAttempt(address, net.Dialer{Control: func(string, string, syscall.RawConn) error { hooks++; return nil }}, "hello")
	conn, err := a.connectTo(t.Context(), nil, ReasonSwitchedOff)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if server := <-got; string(server.data) != "hello" || a.syn.why != ReasonSwitchedOff || a.taken != 0 || a.option || hooks != 1 {
		t.Errorf("%q, %v, %d taken, option %v, %d hooks", server.data, a.syn.why, a.taken, a.option, hooks)
	}
}

// However an attempt fails, its socket is closed without sending what it holds; the right to send once-only bytes passes on only if
// the system is sure that they did not leave.
func TestOwnSocketFails(t *testing.T) {
	noLeak(t)
	address, _ := sink(t, "tcp4", "127.0.0.1:0")
	mine := errors.New("mine")
	local := &net.TCPAddr{Port: 1234}
	a, b := net.Pipe()
	defer b.Close()
	type edit = func(*attempt, *fakeSocket)
	fails := func(step string, err error) edit {
		return func(_ *attempt, s *fakeSocket) { s.errs = map[string]error{step: err} }
	}
	for _, test := range []struct {
		name   string
		dialer net.Dialer
		edit   edit
		is     error
		steps  string
		left   bool
		option bool
	}{
		{name: "control", dialer: net.Dialer{Control: func(string, string, syscall.RawConn) error { return mine }}, steps: "", is: mine},
		{name: "bind", dialer: net.Dialer{LocalAddr: local}, edit: fails("bind", syscall.EADDRINUSE), steps: "bind", is: syscall.EADDRINUSE},
		{name: "callback", is: mine, edit: func(a *attempt, _ *fakeSocket) {
			a.dial.first = func(context.Context, *Attempt) (Flight, error) { return Flight{}, mine }
		}},
		{name: "no route", edit: fails("start", syscall.ENETUNREACH), steps: "start", is: syscall.ENETUNREACH, option: true},
		{name: "start, unclear", steps: "start", is: syscall.EIO, left: true, option: true, edit: func(_ *attempt, s *fakeSocket) {
			s.errs, s.left = map[string]error{"start": syscall.EIO}, 5
		}},
		{name: "refused", edit: fails("wait", syscall.ECONNREFUSED), steps: "start wait", is: syscall.ECONNREFUSED, left: true, option: true},
		{name: "adoption", edit: fails("adopt", syscall.EMFILE), steps: "start wait adopt", is: syscall.EMFILE, left: true, option: true},
		{name: "no TCP", edit: func(_ *attempt, s *fakeSocket) { s.conn = a }, steps: "start wait adopt", is: errors.ErrUnsupported, left: true, option: true},
		{name: "reset before the adoption", edit: func(_ *attempt, s *fakeSocket) { s.conn = new(net.TCPConn) },
			steps: "start wait adopt", is: syscall.ECONNRESET, left: true, option: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, s := ownAttempt(address, test.dialer, "hello"), new(fakeSocket)
			if test.edit != nil {
				test.edit(a, s)
			}
			conn, err := a.connectTo(t.Context(), s, ReasonNone)
			if conn != nil || !errors.Is(err, test.is) {
				t.Errorf("%v, %v", conn, err)
			}
			var op *net.OpError
			if fatal := test.name == "callback"; !fatal && (!errors.As(err, &op) || op.Op != "dial" || op.Net != "tcp" || op.Addr.String() != address) || fatal && err != mine {
				t.Errorf("%#v", err)
			}
			if a.Left != test.left || a.OnceLeft != test.left || a.option != test.option || a.dial.right.take() == test.left {
				t.Errorf("left %v, once %v, option %v", a.Left, a.OnceLeft, a.option)
			}
			if want := append(strings.Fields(test.steps), "abort", "close"); !slices.Equal(s.steps, want) {
				t.Errorf("%q, want %q", s.steps, want)
			}
		})
	}
}

func TestOwnSocketContext(t *testing.T) {
	noLeak(t)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		name    string
		timeout time.Duration // 0: the context has ended before
		is      error
		steps   []string
	}{
		{"before", 0, context.Canceled, []string{"abort", "close"}},
		{"while connecting", 10 * time.Millisecond, context.DeadlineExceeded, []string{"start", "wait", "abort", "close"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx := cancelled
			if test.timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(t.Context(), test.timeout)
				defer cancel()
			}
			a, s := ownAttempt("127.0.0.1:1", net.Dialer{}, "hello"), &fakeSocket{silent: true}
			conn, err := a.connectTo(ctx, s, ReasonNone)
			if conn != nil || !errors.Is(err, test.is) || err.(net.Error).Timeout() != (test.timeout > 0) {
				t.Errorf("%v, %v", conn, err)
			}
			if !slices.Equal(s.steps, test.steps) || a.OnceLeft != (test.timeout > 0) || a.asked != (test.timeout > 0) {
				t.Errorf("%q, %+v", s.steps, a.Attempt)
			}
		})
	}
	t.Run("ended by the callback", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		a, s := ownAttempt("127.0.0.1:1", net.Dialer{}, ""), new(fakeSocket)
		a.dial.first = func(context.Context, *Attempt) (Flight, error) {
			cancel()
			return Flight{Data: []byte("x"), Once: true}, nil
		}
		if _, err := a.connectTo(ctx, s, ReasonNone); !errors.Is(err, context.Canceled) || a.Left || len(s.steps) != 2 {
			t.Errorf("%v, %q", err, s.steps)
		}
	})
}

// A callback that ends its goroutine leaves no socket behind, also where a connect is under way.
func TestOwnSocketGoexit(t *testing.T) {
	for steps, edit := range map[string]func(d *dialing){
		"abort close": func(d *dialing) {
			d.first = func(context.Context, *Attempt) (Flight, error) {
				runtime.Goexit()
				return Flight{}, nil
			}
		},
		"start abort close": func(d *dialing) {
			d.trace = newTracer(context.Background(), &Trace{SynSent: func(SynSent) { runtime.Goexit() }})
		},
	} {
		a, s := ownAttempt("127.0.0.1:1", net.Dialer{}, "hello"), new(fakeSocket)
		edit(a.dial)
		a.trace = a.dial.trace
		over := make(chan struct{})
		go func() {
			defer close(over)
			a.connectTo(t.Context(), s, ReasonNone)
		}()
		<-over
		if got := strings.Join(s.steps, " "); got != steps {
			t.Errorf("%q, want %q", got, steps)
		}
	}
}

// The hooks get the network, the address and the socket that they get from net, before the bind; the local address is of the remote's family.
func TestOwnSocketHooks(t *testing.T) {
	address, got := sink(t, "tcp4", "127.0.0.1:0")
	s := &fakeSocket{peer: address, taken: -1}
	var called string
	nd := net.Dialer{
		LocalAddr: &net.TCPAddr{Port: 0},
		Control:   func(string, string, syscall.RawConn) error { return errors.New("ControlContext wins, as in net") },
		ControlContext: func(_ context.Context, network, address string, c syscall.RawConn) error {
			s.step("hook")
			called = network + " " + address
			if c.Read(nil) == nil || c.Write(nil) == nil {
				t.Error("a socket that is not connected was read or written")
			}
			return c.Control(func(fd uintptr) {
				if fd != 42 {
					t.Errorf("socket %d", fd)
				}
			})
		},
	}
	conn, err := ownAttempt(address, nd, "hello").connectTo(t.Context(), s, ReasonNone)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	<-got
	if called != "tcp4 "+address || s.local.String() != "0.0.0.0:0" || !slices.Equal(s.steps[:3], []string{"hook", "bind", "start"}) {
		t.Errorf("%q, %v, %q", called, s.local, s.steps)
	}
}
