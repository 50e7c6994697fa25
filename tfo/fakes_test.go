package tfo

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// reply is what a fake network does with the attempts that set out one way to one address. Without one they get no answer.
type reply struct {
	after  time.Duration // from the SYN
	err    error         // nil: a connection
	option bool          // the SYN carries a Fast Open option (WayFastOpen)
	taken  int           // and so many bytes
	short  bool          // ... although the survey said that all fits
	again  bool          // the SYN had to be sent again
	self   bool          // the connection met itself: the SYN went nowhere
	block  chan struct{} // the attempt notices its end only after this
}

// fakeNet is a system of replies.
type fakeNet struct {
	t       *testing.T
	start   time.Time
	rtt     time.Duration
	from    netip.Addr       // the source address, by a survey
	now     netip.Addr       // ... when it is asked again; from, unless a test says otherwise
	answers map[string]reply // by address and way

	onConnect func(*attempt) // if not nil, called when an attempt connects, one at a time

	surveys atomic.Int32 // made

	mu    sync.Mutex
	began map[string]time.Duration // by address and way
	conns map[string]net.Conn      // the server's ends, likewise

	log []string // what began when, in the order of the Info
}

func newFakeNet(t *testing.T, answers map[string]reply) *fakeNet {
	f := &fakeNet{t: t, start: time.Now(), answers: answers, conns: make(map[string]net.Conn), began: make(map[string]time.Duration), from: netip.MustParseAddr("192.0.2.1"), now: netip.MustParseAddr("192.0.2.1")}
	t.Cleanup(func() {
		for _, conn := range f.conns {
			conn.Close()
		}
	})
	return f
}

func (f *fakeNet) fastOpen() bool { return true }

func (f *fakeNet) survey(t *attempt) {
	f.surveys.Add(1)
	t.RTT, t.Cookie, t.source = f.rtt, CookiePresent, f.from
}

func (f *fakeNet) source(*attempt) netip.Addr { return f.now }

func (f *fakeNet) observe(t *attempt, _ *net.TCPConn) {
	if t.option {
		a := f.answers[name(t)]
		t.syn.retransmitted, t.syn.acked = a.again, t.taken > 0 && !a.again
	}
}

func name(t *attempt) string { return t.Addr.Addr().String() + " " + t.Way.String() }

func (f *fakeNet) connect(ctx context.Context, t *attempt) (*net.TCPConn, error) {
	a, answered := f.answers[name(t)]
	f.mu.Lock()
	f.began[name(t)] = time.Since(f.start)
	if f.onConnect != nil {
		f.onConnect(t)
	}
	f.mu.Unlock()
	if t.Way == WayFastOpen {
		if err := t.askFlight(ctx); err != nil {
			return nil, err
		}
		t.taken = min(a.taken, len(t.flight.Data))
		if a.short {
			t.Budget = len(t.flight.Data)
		}
		t.sent(t.taken)
		if a.option || a.taken > 0 {
			t.optionSent()
		}
	}
	t.start = time.Now()
	defer func() { t.elapsed = time.Since(t.start) }()
	t.trace.synSent(t)
	var due <-chan time.Time
	if answered && a.block == nil {
		due = time.After(a.after)
	}
	select {
	case <-due:
	case <-ctx.Done():
		if a.block == nil {
			return nil, t.dial.failed(t.Addr, ctx.Err())
		}
		<-a.block // the answer came in the last moment
	}
	if a.self {
		t.option = false
	}
	if a.err != nil {
		return nil, t.dial.failed(t.Addr, a.err)
	}
	client, server := tcpPair(f.t)
	f.mu.Lock()
	f.conns[name(t)] = server
	f.mu.Unlock()
	return client, nil
}

// dial runs a race to addrs, in the order of a resolver.
func (f *fakeNet) dial(ctx context.Context, d *Dialer, addrs string, first FirstFlight) (*net.TCPConn, *Info, error) {
	dial := &dialing{dialer: d, network: "tcp", first: first, system: f, trace: newTracer(ctx, d.Trace)}
	if d.NetDialer != nil {
		dial.net = *d.NetDialer
	}
	var list []netip.AddrPort
	for _, a := range strings.Fields(addrs) {
		list = append(list, netip.AddrPortFrom(netip.MustParseAddr(a), 443))
	}
	info := new(Info)
	conn, err := dial.race(ctx, list, info)
	last := time.Duration(0)
	for _, a := range info.Attempts {
		began := f.began[a.Addr.Addr().String()+" "+a.Way.String()]
		f.log = append(f.log, fmt.Sprint(began, " ", a.Addr.Addr(), " ", a.Way))
		if began < last {
			f.t.Errorf("attempts in a wrong order: %q", f.log)
		}
		last = began
		if (a.Err == nil) != (a == info.Won) {
			f.t.Errorf("%v %v: error %v", a.Addr, a.Way, a.Err)
		}
	}
	if conn != nil {
		f.t.Cleanup(func() { conn.Close() })
	}
	if (conn == nil) != (info.Won == nil) || (conn == nil) != (err != nil) {
		f.t.Errorf("connection %v, won %v, error %v", conn != nil, info.Won, err)
	}
	return conn, info, err
}

// tcpPair returns the ends of a real connection.
func tcpPair(t *testing.T) (*net.TCPConn, net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Error(err)
		return nil, nil
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Error(err)
		return nil, nil
	}
	server, err := l.Accept()
	if err != nil {
		t.Error(err)
	}
	return client.(*net.TCPConn), server
}
