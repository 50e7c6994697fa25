package tfogrpc

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/tlstfo/tlstfo"
	"github.com/tlstfo/tlstfo/internal/testpeer"
)

// quick makes attempts follow each other without much of a pause.
var quick = grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: time.Minute, Backoff: backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1, MaxDelay: 10 * time.Millisecond}})

// TestReconnect: a server that restarts is found again, by a session with early data, and calls go on.
func TestReconnect(t *testing.T) {
	noLeak(t)
	ca := newAuthority(t)
	creds := newEarlyCreds(t, issue(t, ca, serverName))
	addr := freeAddr(t)
	server := startGRPC(t, creds, addr)
	c := newClient(t, newDialer(ca), addr, quick)
	defer c.Close()
	c.call()
	if info := c.info(); info.Resumed {
		t.Errorf("%+v", info)
	}
	for range 3 {
		server.Stop()
		c.wait(connectivity.TransientFailure) // refused
		if err := <-c.spy.errs; !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%v", err)
		}
		server = startGRPC(t, creds, addr)
		c.call()
		c.chat()
		if info := c.info(); !info.Early.Accepted {
			t.Errorf("%+v", info)
		}
		creds.last(t).checkOpening(t, true)
	}
}

// TestCancelled: whoever gives up a handshake has it ended at once, and nothing stays behind.
func TestCancelled(t *testing.T) {
	noLeak(t)
	ca := newAuthority(t)
	creds := newEarlyCreds(t, issue(t, ca, serverName))
	creds.Set(testpeer.Knobs{Silent: true})
	addr := freeAddr(t)
	startGRPC(t, creds, addr)
	d := newDialer(ca)

	ctx, cancel := context.WithCancel(t.Context())
	own := NewCredentials(d)
	for name, raw := range map[string]func() net.Conn{
		"pending": func() net.Conn { c, _ := ContextDialer(d)(ctx, addr); return c },
		"given":   func() net.Conn { c, _ := net.Dial("tcp", addr); return c },
	} {
		ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		start := time.Now()
		if _, _, err := own.ClientHandshake(ctx, serverName, raw()); !errors.Is(err, context.DeadlineExceeded) || !isTemporary(err) {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%s: it took %v", name, took)
		}
		cancel()
	}
	cancel()
	if _, err := ContextDialer(d)(ctx, addr); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}

	c := newClient(t, d, addr)
	c.wait(connectivity.Connecting)
	call, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := c.UnaryCall(call, &grpc_testing.SimpleRequest{}); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("%v", err)
	}
	c.Close()
	if err := <-c.spy.errs; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestManyAtOnce: one Dialer serves many ClientConns, each of which makes many calls.
func TestManyAtOnce(t *testing.T) {
	noLeak(t)
	ca := newAuthority(t)
	creds := newEarlyCreds(t, issue(t, ca, serverName, "other.test"))
	addr := freeAddr(t)
	startGRPC(t, creds, addr)
	d := newDialer(ca)
	d.TLSConfig.KeyLogWriter = new(unguarded)
	shared := newSpy(NewCredentials(d))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 5 {
				c := clientWith(t, d, shared, addr, grpc.WithAuthority([]string{serverName, "other.test"}[i%2]))
				var calls sync.WaitGroup
				for range 5 {
					calls.Go(func() { c.call() })
				}
				calls.Go(c.chat)
				calls.Wait()
				c.Close()
			}
		})
	}
	wg.Wait()
	creds.mu.Lock()
	conns := creds.conns
	creds.mu.Unlock()
	early := 0
	for _, r := range conns {
		if r.EarlyBytes() > 0 {
			early++
		}
		r.checkOpening(t, r.EarlyBytes() > 0)
	}
	if len(conns) != 40 || early < 20 {
		t.Errorf("%d connections, %d with early data", len(conns), early)
	}
}

// unguarded is an io.Writer in which the race detector sees two Writes at once.
type unguarded struct{ n int }

func (u *unguarded) Write(p []byte) (int, error) { u.n++; return len(p), nil }

// TestGiven: over connections that others dialled there is early data as well.
func TestGiven(t *testing.T) {
	noLeak(t)
	ca := newAuthority(t)
	creds := newEarlyCreds(t, issue(t, ca, serverName))
	addr := freeAddr(t)
	startGRPC(t, creds, addr)
	d := newDialer(ca)
	for i := range 2 {
		c := newClient(t, d, addr, grpc.WithContextDialer(nil))
		c.call()
		if info := c.info(); info.Early.Accepted != (i > 0) || info.FastOpen.SynBytes != 0 {
			t.Errorf("connection %d: %+v", i, info)
		}
		creds.last(t).checkOpening(t, i > 0)
		c.Close()
	}
}

// TestGivenOlder: a server without TLS 1.3 costs one attempt there, and none by the dial function.
func TestGivenOlder(t *testing.T) {
	noLeak(t)
	ca := newAuthority(t)
	addr := freeAddr(t)
	config := &tls.Config{Certificates: []tls.Certificate{issue(t, ca, serverName)}, MaxVersion: tls.VersionTLS12}
	startGRPC(t, credentials.NewTLS(config), addr)
	d := newDialer(ca)
	c := newClient(t, d, addr)
	_, p := c.call()
	if s := p.AuthInfo.(credentials.TLSInfo).State; s.Version != tls.VersionTLS12 || len(c.spy.errs) != 0 || c.info().CryptoTLS == "" {
		t.Errorf("%+v", s)
	}
	c.Close()

	s := newSpy(NewCredentials(d))
	for range 2 {
		c = clientWith(t, d, s, addr, grpc.WithContextDialer(nil), quick)
		_, p = c.call()
		if s := p.AuthInfo.(credentials.TLSInfo).State; s.Version != tls.VersionTLS12 || s.NegotiatedProtocol != h2 {
			t.Errorf("%+v", s)
		}
		c.Close()
	}
	if n := len(s.errs); n != 1 || !errors.Is(<-s.errs, tlstfo.ErrNotTLS13) {
		t.Errorf("%d attempts failed", n)
	}
}

// TestOtherCredentials: the dial function serves any credentials.
func TestOtherCredentials(t *testing.T) {
	noLeak(t)
	ca := newAuthority(t)
	cert := issue(t, ca, serverName)
	addr := freeAddr(t)
	startGRPC(t, credentials.NewServerTLSFromCert(&cert), addr)
	d := newDialer(ca)
	c := clientWith(t, d, newSpy(credentials.NewTLS(d.TLSConfig)), addr)
	_, p := c.call()
	c.chat()
	if _, ok := p.Addr.(*net.TCPAddr); !ok || p.Addr.String() != addr {
		t.Errorf("the peer is %T %v", p.Addr, p.Addr)
	}
	c.Close()

	fallback := delegating{credentials.NewTLS(nil), NewCredentials(d)}
	for i := range 2 {
		c := clientWith(t, d, newSpy(fallback.Clone()), addr)
		c.call()
		if info := c.info(); info.Resumed != (i > 0) {
			t.Errorf("%+v", info)
		}
		c.Close()
	}
}

// delegating are credentials that decide per connection whether others do the handshake, as those of xDS do with their fallback.
type delegating struct {
	credentials.TransportCredentials
	fallback credentials.TransportCredentials
}

func (d delegating) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return d.fallback.ClientHandshake(ctx, authority, raw)
}

func (d delegating) Clone() credentials.TransportCredentials { return d }

// TestPending: a connection that nobody used was never dialled; one that is closed never will be.
func TestPending(t *testing.T) {
	noLeak(t)
	open := func(addr string) net.Conn {
		c, err := ContextDialer(new(tlstfo.Dialer))(t.Context(), addr)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := open(l.Addr().String())
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	var buf [1]byte
	for name, f := range map[string]func() error{
		"Read":             func() error { _, err := c.Read(buf[:]); return err },
		"Write":            func() error { _, err := c.Write(buf[:]); return err },
		"SetDeadline":      func() error { return c.SetDeadline(time.Now()) },
		"SetReadDeadline":  func() error { return c.SetReadDeadline(time.Now()) },
		"SetWriteDeadline": func() error { return c.SetWriteDeadline(time.Now()) },
	} {
		if err := f(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if c.LocalAddr() == nil || c.RemoteAddr().String() != l.Addr().String() {
		t.Errorf("addresses %v, %v", c.LocalAddr(), c.RemoteAddr())
	}
	if c.Close() != nil {
		t.Error("closed twice")
	}
	l.(*net.TCPListener).SetDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := l.Accept(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it was dialled: %v", err)
	}
	for addr, want := range map[string][2]string{
		"192.0.2.1:443": {"tcp", "192.0.2.1:443"}, "unix:a/b": {"unix", "a/b"}, "unix:///a/b": {"unix", "/a/b"}, "\x00a": {"unix", "\x00a"},
	} {
		if network, address := parseAddr(addr); network != want[0] || address != want[1] {
			t.Errorf("%q: %s %q", addr, network, address)
		}
	}
}

// TestUnixSocket: there is no SYN, and early data all the same.
func TestUnixSocket(t *testing.T) {
	noLeak(t)
	path := filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Skip("no Unix sockets here: ", err)
	}
	ca := newAuthority(t)
	creds := newEarlyCreds(t, issue(t, ca, serverName))
	serveGRPC(t, creds, l)
	d := newDialer(ca)
	for i := range 2 {
		c := newClient(t, d, "unix://"+path)
		c.call()
		if info := c.info(); info.Early.Accepted != (i > 0) {
			t.Errorf("%+v", info)
		}
		c.Close()
	}
}

// proxyVariable tells the test binary to be TestProxy's child.
const proxyVariable = "TFOGRPC_TEST_PROXY_TARGET"

// TestProxy: where the environment names a proxy, grpc-go's own way there is kept, and early data with it. The environment is
// read once in a process, so that this needs another.
func TestProxy(t *testing.T) {
	if target := os.Getenv(proxyVariable); target != "" {
		proxyChild(t, target)
		return
	}
	ca := newAuthority(t)
	creds := newEarlyCreds(t, issue(t, ca, serverName))
	addr := freeAddr(t)
	startGRPC(t, creds, addr)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan string, 10)
	proxy := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method + " " + r.Host
		tunnel(w, addr)
	})}
	go proxy.Serve(l)
	defer proxy.Close()
	cmd := exec.CommandContext(soon(t), os.Args[0], "-test.run=^TestProxy$")
	cmd.Env = append(os.Environ(), proxyVariable+"="+serverName+":443", "HTTPS_PROXY=http://"+l.Addr().String(), "NO_PROXY=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for i := range 2 {
		if got := <-asked; got != "CONNECT "+serverName+":443" {
			t.Errorf("the proxy was asked for %q", got)
		}
		creds.conns[i].checkOpening(t, i > 0)
	}
}

func proxyChild(t *testing.T, target string) {
	d := &tlstfo.Dialer{TLSConfig: &tls.Config{InsecureSkipVerify: true}, Partition: "test"} // the parent has the authority
	for range 2 {
		cc, err := grpc.NewClient(target, DialOptions(d)...)
		if err != nil {
			t.Fatal(err)
		}
		c := &client{cc, grpc_testing.NewTestServiceClient(cc), t, nil}
		c.call()
		cc.Close()
	}
}

// tunnel is a proxy's CONNECT.
func tunnel(w http.ResponseWriter, addr string) {
	there, err := net.Dial("tcp", addr)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer there.Close()
	here, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer here.Close()
	fmt.Fprint(here, "HTTP/1.1 200 OK\r\n\r\n")
	go func() { io.Copy(there, bufio.NewReader(buffered)); there.Close() }()
	io.Copy(here, there)
}
