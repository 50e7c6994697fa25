package tlstfo

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/handshake"
	"github.com/tlstfo/tlstfo/internal/testpeer"
)

// origin is a 0-RTT server on loopback that sends back what it reads, and
// tells what that was.
type origin struct {
	*testpeer.Server
	ca     *testpeer.Authority
	cert   tls.Certificate
	addr   string
	visits chan visit
	failed chan error

	segments atomic.Pointer[segmentation] // of connections to come
	accepted atomic.Int32
	onAccept atomic.Pointer[func(n int)] // before connection n, from 1 on, is served
}

// visit is what a handler of origin saw on one connection.
type visit struct {
	data string // all of it
	info testpeer.Info
}

// early is the part of the data that came early.
func (v visit) early() string { return v.data[:v.info.EarlyBytes] }

func newOrigin(t testing.TB) *origin {
	t.Helper()
	ca, cert, s := newPeer(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &origin{Server: s, ca: ca, cert: cert, addr: l.Addr().String(), visits: make(chan visit, 100), failed: make(chan error, 100)}
	done := make(chan error, 1)
	go func() { done <- s.Serve(originListener{l, o}, o.handle, func(err error) { o.failed <- err }) }()
	t.Cleanup(func() { s.Close(); <-done })
	return o
}

// newPeer makes a 0-RTT server for test.example that does not listen yet.
func newPeer(t testing.TB) (*testpeer.Authority, tls.Certificate, *testpeer.Server) {
	t.Helper()
	ca, err := testpeer.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue("test.example")
	if err != nil {
		t.Fatal(err)
	}
	s, err := testpeer.New(cert)
	if err != nil {
		t.Fatal(err)
	}
	return ca, cert, s
}

func (o *origin) handle(c *testpeer.ServerConn) {
	var got strings.Builder
	io.Copy(c, io.TeeReader(c, &got))
	o.visits <- visit{got.String(), c.Info()}
}

// visit waits for the next connection to end.
func (o *origin) visit(t testing.TB) visit {
	t.Helper()
	select {
	case v := <-o.visits:
		return v
	case <-time.After(10 * time.Second):
		t.Fatal("no connection reached the application")
		panic("unreachable")
	}
}

// onlyVisit fails the test if more connections than one reached the
// application.
func (o *origin) onlyVisit(t testing.TB) visit {
	t.Helper()
	v := o.visit(t)
	select {
	case more := <-o.visits:
		t.Errorf("a second connection reached the application, with %q", more.data)
	case <-time.After(20 * time.Millisecond):
	}
	return v
}

// originListener calls onAccept.
type originListener struct {
	net.Listener
	o *origin
}

func (l originListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		n := l.o.accepted.Add(1)
		if f := l.o.onAccept.Load(); f != nil {
			(*f)(int(n))
		}
		if f := l.o.segments.Load(); f != nil {
			conn = (*f)(conn)
		}
	}
	return conn, err
}

// segmentation says how a server's bytes go over the wire.
type segmentation func(net.Conn) net.Conn

var segmentations = map[string]segmentation{
	"one segment":  func(c net.Conn) net.Conn { return c },
	"byte by byte": func(c net.Conn) net.Conn { return &dripConn{c} },
	"coalesced":    func(c net.Conn) net.Conn { return &lumpConn{Conn: c} },
}

// dripConn reads and writes one byte at a time.
type dripConn struct{ net.Conn }

func (c *dripConn) Read(p []byte) (int, error) { return c.Conn.Read(p[:min(1, len(p))]) }

func (c *dripConn) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := c.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

// lumpConn keeps what is written until nothing has been written for a moment,
// so that what a server sends in several goes arrives in one.
type lumpConn struct {
	net.Conn
	mu    sync.Mutex
	lump  []byte
	timer *time.Timer
}

func (c *lumpConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lump = append(c.lump, p...)
	if c.timer != nil {
		c.timer.Stop()
	}
	c.timer = time.AfterFunc(2*time.Millisecond, c.flush)
	return len(p), nil
}

func (c *lumpConn) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Conn.Write(c.lump)
	c.lump = nil
}

func (c *lumpConn) Close() error { c.flush(); return c.Conn.Close() }

func (c *lumpConn) CloseWrite() error { c.flush(); return c.Conn.(*net.TCPConn).CloseWrite() }

// knobsFor sets knobs for the next connection alone.
func (o *origin) knobsFor(next testpeer.Knobs) {
	first := int(o.accepted.Load()) + 1
	f := func(n int) {
		if n == first {
			o.Set(next)
		} else {
			o.Set(testpeer.Knobs{})
		}
	}
	o.onAccept.Store(&f)
}

// config is what a client of the origin needs.
func (o *origin) config() *tls.Config {
	return &tls.Config{RootCAs: o.ca.Pool(), ServerName: "test.example"}
}

// dialer returns a Dialer for the origin; prime gives it tickets.
func (o *origin) dialer() *Dialer { return &Dialer{TLSConfig: o.config()} }

// prime makes a full handshake, so that the Dialer has tickets.
func (o *origin) prime(t testing.TB, d *Dialer) {
	t.Helper()
	c, err := d.DialContext(t.Context(), "tcp", o.addr)
	if err != nil {
		t.Fatal(err)
	}
	exchange(t, c, "prime")
	c.Close()
	if err := d.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.visit(t)
}

// changeName gives the origin another certificate, of the same authority.
func (o *origin) changeCertificate(t testing.TB, names ...string) {
	t.Helper()
	cert, err := o.ca.Issue(names...)
	if err != nil {
		t.Fatal(err)
	}
	o.Update(func(c *handshake.ServerConfig) { c.Certificates = []tls.Certificate{cert} })
}
