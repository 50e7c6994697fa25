//go:build !tlstfo_portable

package tfo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

// Tests between two kernels, with faults on the wire between them.

var labFuncs = netlab.Funcs{"serve": serveInLab, "dial": dialInLab, "storm": stormInLab}

const labPort = "7000"

// serveInLab reads a line per connection, prints it, answers it, and waits until the client closes.
func serveInLab([]string) error {
	l, err := Listen("tcp", ":"+labPort)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(20 * time.Second))
			line, err := bufio.NewReader(conn).ReadString('\n')
			if err == nil {
				os.Stdout.WriteString(line)
				io.WriteString(conn, "answer to "+line)
				conn.Read(make([]byte, 1))
			}
		}()
	}
}

// labRequest tells dialInLab what to do.
type labRequest struct {
	Text    string   // without a line end
	Hosts   []string // what the name resolves to
	Memory  []byte
	NetOnly bool          // net.Dialer dials
	Wait    time.Duration // for the answer; 0: 10 s
}

// labResult is what it did.
type labResult struct {
	Err      string
	Won      string // the way
	Addr     string
	Why      string
	Acked    bool
	Attempts []string
	Memory   []byte
	Text     string // of the Memory
}

// dialInLab dials, sends a line, and waits for the answer. Whatever rides in a SYN is replayable here.
func dialInLab(args []string) error {
	var req labRequest
	if err := json.Unmarshal([]byte(args[0]), &req); err != nil {
		return err
	}
	nd := &net.Dialer{Timeout: 10 * time.Second, Resolver: hosts(req.Hosts...)}
	d := &Dialer{NetDialer: nd, Memory: new(Memory)}
	if req.Memory != nil {
		if err := d.Memory.UnmarshalBinary(req.Memory); err != nil {
			return err
		}
	}
	var res labResult
	var conn net.Conn
	var info *Info
	var err error
	line := []byte(req.Text + "\n")
	address := net.JoinHostPort("name.example", labPort)
	if req.NetOnly {
		if conn, err = nd.Dial("tcp", address); err == nil {
			_, err = conn.Write(line)
		}
	} else {
		conn, info, err = d.DialContext(context.Background(), "tcp", address, flight(line, nil))
		for _, a := range info.Attempts {
			res.Attempts = append(res.Attempts, fmt.Sprint(a.Addr.Addr(), " ", a.Way))
		}
		if err == nil {
			res.Won, res.Addr, res.Why, res.Acked = info.Won.Way.String(), info.Won.Addr.Addr().String(), info.Why.String(), info.SynAcked
		}
	}
	if err == nil {
		wait := req.Wait
		if wait == 0 {
			wait = 10 * time.Second
		}
		conn.SetReadDeadline(time.Now().Add(wait))
		var answer string
		answer, err = bufio.NewReader(conn).ReadString('\n')
		if err == nil && answer != "answer to "+string(line) {
			err = fmt.Errorf("answer %q", answer)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) && info != nil {
			d.Memory.Stalled(info.Won)
		}
		conn.Close()
	}
	if err != nil {
		res.Err = err.Error()
	}
	res.Memory, _ = d.Memory.MarshalBinary()
	res.Text = d.Memory.String()
	return json.NewEncoder(os.Stdout).Encode(res)
}

// lab is a network with a server that counts what it is asked.
type lab struct {
	*testing.T
	*netlab.Lab
	*seenBy
}

// seenBy is what the server was asked.
type seenBy struct {
	mu   sync.Mutex
	seen []string
}

const labRTT = 40 * time.Millisecond

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{T: t, Lab: netlab.Start(t, netlab.Config{RTT: labRTT}), seenBy: new(seenBy)}
	server := l.Server.Func(t.Context(), "serve")
	server.Stderr = os.Stderr
	out, err := server.StdoutPipe()
	if err == nil {
		err = server.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Wait() }) // the context has ended it
	ready := make(chan struct{})
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if lines.Text() == "ready" {
				close(ready)
				continue
			}
			l.mu.Lock()
			l.seen = append(l.seen, lines.Text())
			l.mu.Unlock()
		}
	}()
	select {
	case <-ready:
	case <-time.After(20 * time.Second):
		t.Fatal("the server does not listen")
	}
	return l
}

// count says how often the server was asked text.
func (l *seenBy) count(text string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.seen {
		if s == text {
			n++
		}
	}
	return n
}

func (l *lab) faults(faults ...netlab.Fault) {
	l.Helper()
	if err := l.SetFaults(faults...); err != nil {
		l.Fatal(err)
	}
}

// dialled is a dial: what the dialler says, and what the wire saw.
type dialled struct {
	labResult
	text  string
	conns []netlab.Conn
}

// dial dials in a process of its own; over IPv4 unless the request says otherwise.
func (l *lab) dial(req labRequest) dialled {
	l.Helper()
	if req.Hosts == nil {
		req.Hosts = []string{l.Server.IPv4.String()}
	}
	req.Text = "request " + strconv.FormatInt(time.Now().UnixNano(), 36)
	if err := l.ResetLog(); err != nil {
		l.Fatal(err)
	}
	arg, err := json.Marshal(req)
	if err != nil {
		l.Fatal(err)
	}
	cmd := l.Client.Func(l.Context(), "dial", string(arg))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	d := dialled{text: req.Text}
	if err != nil || json.Unmarshal(out, &d.labResult) != nil {
		l.Fatalf("%v: %s", err, out)
	}
	packets, err := l.Packets()
	if err != nil {
		l.Fatal(err)
	}
	d.conns = packets.Conns()
	return d
}

// firstByte returns the time from the first SYN of the dial to the first byte of the answer.
func (d dialled) firstByte() time.Duration {
	first := time.Duration(-1)
	for _, c := range d.conns {
		if p, ok := c.FirstResponse(); ok && connected(c) && (first < 0 || p.Delivered < first) {
			first = p.Delivered
		}
	}
	if len(d.conns) == 0 || first < 0 {
		return -1
	}
	syn, _ := d.conns[0].SYN()
	return first - syn.Sent
}

// turns returns how many round trips the connection that was answered took, by cause.
func (d dialled) turns() int {
	for _, c := range d.conns {
		if n := c.Turns(nil); n > 0 && connected(c) {
			return n
		}
	}
	return 0
}

// connected says whether the client got a SYN-ACK: without one the server's data is nothing to it.
func connected(c netlab.Conn) bool {
	return slices.ContainsFunc(c.FromServer(), func(p netlab.Packet) bool {
		return p.Flags.Has(netlab.SYN|netlab.ACK) && p.Fate == netlab.Delivered
	})
}

func (d dialled) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%+v, first byte after %v, %d round trips\n", d.labResult, d.firstByte(), d.turns())
	for _, c := range d.conns {
		fmt.Fprint(&s, c.Packets, "\n")
	}
	return s.String()
}

// succeeded checks that the answer came and how often the server saw the question.
func (l *lab) succeeded(d dialled, times int) {
	l.Helper()
	for range 100 {
		if l.count(d.text) >= times {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if n := l.count(d.text); d.Err != "" || n != times {
		l.Errorf("the server was asked %d times, want %d: %v", n, times, d)
	}
}

// until repeats a dial up to ten times, until the result is good: a busy machine is late at times, and then a twin is in its right.
func (l *lab) until(good func(dialled) bool, dial func() dialled) (d dialled) {
	l.Helper()
	for range 10 {
		if d = dial(); good(d) {
			return d
		}
	}
	l.Errorf("in ten attempts: %v", d)
	return d
}

// within is a dial whose first byte comes in time.
func within(limit time.Duration) func(dialled) bool {
	return func(d dialled) bool { return d.firstByte() >= 0 && d.firstByte() <= limit }
}

// cookie has the client's kernel fetch a cookie for hosts[0], or for the server's IPv4 address. After data that was not acknowledged the kernel
// may ask anew, and by the other option, so that takes a few dials.
func (l *lab) cookie(hosts ...string) {
	l.Helper()
	l.faults()
	d := l.until(func(d dialled) bool { return d.Acked }, func() dialled { return l.dial(labRequest{Hosts: hosts}) })
	l.succeeded(d, 1)
}

// alone is a dial with one attempt.
func alone(d dialled) bool { return len(d.Attempts) == 1 && len(d.conns) == 1 }

func waysOf(attempts []string) (ways []string) {
	for _, a := range attempts {
		ways = append(ways, a[strings.LastIndexByte(a, ' ')+1:])
	}
	return slices.Clip(ways)
}

// stormInLab dials args[0] times to the address args[1], many at once, and checks that nothing is left of it.
func stormInLab(args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	// No Memory, so that Fast Open races to the end.
	d := &Dialer{NetDialer: &net.Dialer{Timeout: 5 * time.Second, Resolver: hosts(args[1:]...)}}
	left := func() (goroutines, files int) {
		entries, _ := os.ReadDir("/proc/self/fd")
		return runtime.NumGoroutine(), len(entries)
	}
	one := func() error {
		line := []byte("storm\n")
		conn, _, err := d.DialContext(context.Background(), "tcp", net.JoinHostPort("name.example", labPort), flight(line, nil))
		if err != nil {
			return err
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(5 * time.Second))
		_, err = bufio.NewReader(conn).ReadString('\n')
		return err
	}
	one()
	goroutines, files := left()
	var wg sync.WaitGroup
	var failed atomic.Int32
	limit := make(chan struct{}, 16)
	for range n {
		limit <- struct{}{}
		wg.Go(func() {
			defer func() { <-limit }()
			if err := one(); err != nil {
				failed.Add(1)
			}
		})
	}
	wg.Wait()
	for range 300 {
		if g, f := left(); g <= goroutines && f <= files {
			fmt.Println(failed.Load())
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	g, f := left()
	return fmt.Errorf("%d goroutines and %d files, before %d and %d", g, f, goroutines, files)
}
