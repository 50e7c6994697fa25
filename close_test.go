package tlstfo

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestCloseIsBound: a server that reads nothing cannot hold up a Close that
// owes it something for longer than Timeout, and not at all after SetLinger(0).
func TestCloseIsBound(t *testing.T) {
	ca := newAuthority(t)
	for name, version := range map[string]uint16{"engine": tls.VersionTLS13, "crypto/tls": tls.VersionTLS12} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stop := make(chan struct{})
			config := &tls.Config{Certificates: []tls.Certificate{ca.issue(nil, "test.example")}, MaxVersion: version}
			addr := stdServer(t, config, func(c *tls.Conn) { c.Handshake(); <-stop })
			defer close(stop)
			for _, drop := range []bool{false, true} {
				d := &Dialer{TLSConfig: &tls.Config{RootCAs: ca.pool, ServerName: "test.example"}, Timeout: 5 * time.Second}
				if drop {
					d.Timeout = time.Hour
				}
				c, err := d.DialEarly(t.Context(), "tcp", addr, make([]byte, 24<<20))
				if err == nil {
					err = c.Handshake()
				}
				if err != nil {
					t.Fatal(err)
				}
				if drop {
					c.SetLinger(0)
				}
				if err := c.Close(); (err == nil) != drop {
					t.Errorf("Close: %v", err)
				}
			}
		})
	}
}

func TestClose(t *testing.T) {
	ca := newAuthority(t)

	bubble(t, "SetLinger(0) waits for nothing", func(t *testing.T) {
		c := piped(t, &Dialer{}, ca, func(s *tls.Conn) {
			s.Handshake()
			time.Sleep(time.Hour)
		})
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		c.SetLinger(0)
		if err := c.Close(); err != nil || time.Since(start) != 0 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})

	bubble(t, "Close within a callback does not wait for itself", func(t *testing.T) {
		var c *Conn
		d := &Dialer{}
		c = piped(t, d, ca, func(s *tls.Conn) { s.Handshake() })
		c.config = c.config.Clone()
		c.config.VerifyConnection = func(tls.ConnectionState) error { return c.Close() }
		if err := c.Handshake(); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		<-c.HandshakeDone()
	})

	bubble(t, "nor does one that owes, for longer than Timeout", func(t *testing.T) {
		var c *Conn
		d := &Dialer{Early: all, Timeout: time.Second}
		c = piped(t, d, ca, func(s *tls.Conn) { s.Handshake() })
		c.config = c.config.Clone()
		var closed error
		c.config.VerifyConnection = func(tls.ConnectionState) error { closed = c.Close(); return nil }
		c.Write([]byte("x"))
		<-c.HandshakeDone()
		if !errors.Is(closed, ErrTimeout) {
			t.Error(closed)
		}
	})
}

// TestPipe: a server over a transport without buffers may send its tickets
// before it reads on.
func TestPipe(t *testing.T) {
	ca := newAuthority(t)
	cert := ca.issue(nil, "test.example")
	message := bytes.Repeat([]byte("0123456789abcdef"), maxFirst/16)
	for name, change := range map[string]func(*tls.Config){
		"engine":              func(*tls.Config) {},
		"crypto/tls":          func(c *tls.Config) { c.Rand = rand.Reader },
		"crypto/tls, TLS 1.2": func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
	} {
		ours, theirs := net.Pipe()
		served := make(chan []byte, 1)
		go func() {
			s := tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{cert}})
			b, _ := io.ReadAll(s)
			theirs.Close()
			served <- b
		}()
		d := &Dialer{Early: all, TLSConfig: &tls.Config{RootCAs: ca.pool, ServerName: "test.example"}}
		change(d.TLSConfig)
		c := d.Client(ours, "key")
		go io.Copy(io.Discard, c)
		if n, err := c.Write(message); n != len(message) || err != nil {
			t.Fatal(n, err)
		}
		if err := c.Handshake(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := c.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := <-served; !bytes.Equal(got, message) {
			t.Errorf("%s: the server got %d bytes of %d", name, len(got), len(message))
		}
	}
}

// TestWritesStayWhole: no Write comes between the parts of another, of which one
// was gathered and the other had to wait.
func TestWritesStayWhole(t *testing.T) {
	ca := newAuthority(t)
	long := strings.Repeat("a", maxFirst+100)
	for range 20 { // the scheduler chooses who comes first
		synctest.Test(t, func(t *testing.T) {
			got := make(chan string, 1)
			c := piped(t, &Dialer{Early: func([]byte) int { return 0 }}, ca, func(s *tls.Conn) {
				time.Sleep(time.Second)
				b, _ := io.ReadAll(s)
				got <- string(b)
			})
			var wg sync.WaitGroup
			wg.Go(func() { io.WriteString(c, long) })
			for range 5 {
				wg.Go(func() { time.Sleep(time.Millisecond); io.WriteString(c, "b") })
			}
			wg.Wait()
			c.Close()
			if s := <-got; s != long+"bbbbb" {
				t.Errorf("%d bytes, of which the first b is number %d", len(s), strings.IndexByte(s, 'b'))
			}
		})
	}
}

// TestNoDeadlines: a transport without deadlines, as that of a tunnel through
// x/crypto/ssh, cannot hold up Close, nor linger for ever.
func TestNoDeadlines(t *testing.T) {
	noLeak(t)
	ca := newAuthority(t)
	stop := make(chan struct{})
	defer close(stop)
	addr := stdServer(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(nil, "test.example")}, SessionTicketsDisabled: true},
		func(c *tls.Conn) { c.Handshake(); <-stop })
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	d := &Dialer{TLSConfig: &tls.Config{RootCAs: ca.pool, ServerName: "test.example"}}
	c := d.Client(noDeadlines{raw.(*net.TCPConn)}, "key")
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	read := make(chan error)
	go func() { _, err := c.Read(make([]byte, 1)); read <- err }()
	time.Sleep(10 * time.Millisecond)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := <-read; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// noDeadlines is a net.Conn that cannot have deadlines.
type noDeadlines struct{ *net.TCPConn }

func (noDeadlines) SetDeadline(time.Time) error      { return errors.ErrUnsupported }
func (noDeadlines) SetReadDeadline(time.Time) error  { return errors.ErrUnsupported }
func (noDeadlines) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }

// TestDialKeepsNothing: the Dialer of Dial is gone, so no connection waits for
// its tickets.
func TestDialKeepsNothing(t *testing.T) {
	o := newOrigin(t)
	c, err := Dial("tcp", o.addr, o.config())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if c.dialer.lingers.mu.Lock(); len(c.dialer.lingers.conns) > 0 {
		t.Error("the connection lingers")
	}
	c.dialer.lingers.mu.Unlock()
}

// TestReadBesideClose: what a server says to our close_notify is no answer to a Read that still waits, nor is the end of it the end of what it had to say.
func TestReadBesideClose(t *testing.T) {
	ca := newAuthority(t)
	for _, late := range []string{"", "late"} {
		bubble(t, "late "+late, func(t *testing.T) { testReadBesideClose(t, ca, late) })
	}
}

func testReadBesideClose(t *testing.T, ca *authority, late string) {
	ours, theirs := net.Pipe()
	server := tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{ca.issue(nil, "test.example")}})
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(io.Discard, server) // until close_notify
		io.WriteString(server, late)
		server.Close()
	}()
	slow := &answeredWrites{Conn: ours, answered: make(chan struct{})}
	d := &Dialer{TLSConfig: &tls.Config{InsecureSkipVerify: true}}
	c := d.Client(slow, "")
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	synctest.Wait() // the last flight was read
	slow.wait.Store(true)
	go func() {
		defer close(slow.answered)
		if n, err := c.Read(make([]byte, 10)); n != 0 || !errors.Is(err, net.ErrClosed) {
			t.Errorf("%q: %d bytes, %v", late, n, err)
		}
	}()
	synctest.Wait() // the Read waits
	c.Close()
	<-slow.answered
	<-done
}

// answeredWrites is a connection on which a Write, if told so, returns after a Read was answered.
type answeredWrites struct {
	net.Conn
	wait     atomic.Bool
	answered chan struct{}
}

func (c *answeredWrites) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if c.wait.Load() {
		<-c.answered
	}
	return n, err
}
