package tlstfo

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tlstfo/tlstfo/handshake"
	"github.com/tlstfo/tlstfo/internal/testpeer"
)

// halfPipe is an end of a pipe that can be half closed, as far as a client needs it: close_notify says so.
type halfPipe struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (c *halfPipe) CloseWrite() error { return nil }

func (c *halfPipe) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// queuedWrites is the server's end: its Writes do not wait for a reader.
type queuedWrites struct {
	net.Conn
	queue chan []byte
}

func newQueuedWrites(conn net.Conn) *queuedWrites {
	c := &queuedWrites{conn, make(chan []byte, 100)}
	go func() {
		for p := range c.queue {
			c.Conn.Write(p)
		}
		c.Conn.Close()
	}()
	return c
}

func (c *queuedWrites) Write(p []byte) (int, error) {
	c.queue <- append([]byte(nil), p...)
	return len(p), nil
}

func (c *queuedWrites) Close() error { close(c.queue); return nil }

// lingering returns a connection that is established, and its transport. The server does as answer
// says once it has read close_notify.
func (o *pipeOrigin) lingering(answer func(*testpeer.ServerConn)) (*Conn, *halfPipe) {
	o.t.Helper()
	ours, theirs := net.Pipe()
	half := &halfPipe{Conn: ours, closed: make(chan struct{})}
	over := make(chan struct{})
	go func() {
		defer close(over)
		o.ServeConn(newQueuedWrites(theirs), func(s *testpeer.ServerConn) {
			io.Copy(io.Discard, s)
			answer(s)
		})
	}()
	o.t.Cleanup(func() { ours.Close(); <-over })
	c := o.d.Client(half, "key")
	if err := c.Handshake(); err != nil {
		o.t.Fatal(err)
	}
	return c, half
}

// lingers tells how many connections of a Dialer linger.
func (d *Dialer) lingering() int {
	d.lingers.mu.Lock()
	defer d.lingers.mu.Unlock()
	return len(d.lingers.conns)
}

// silent is a server that says nothing more, and does not end either.
func silent(*testpeer.ServerConn) { time.Sleep(time.Hour) }

// TestLingerTime: a closed connection waits for tickets two round trips and lingerGrace, 3 s at most, and no longer
// than there is something to wait for.
func TestLingerTime(t *testing.T) {
	const ms = time.Millisecond
	after := func(d time.Duration, f func(*testpeer.ServerConn)) func(*testpeer.ServerConn) {
		return func(s *testpeer.ServerConn) { time.Sleep(d); f(s); time.Sleep(time.Hour) }
	}
	for name, k := range map[string]struct {
		tickets int
		rtt     time.Duration
		answer  func(*testpeer.ServerConn)
		want    time.Duration
	}{
		"no round-trip time is known": {-1, 0, silent, 3 * time.Second},
		"two round trips":             {-1, 100 * ms, silent, 250 * ms},
		"no round trip to speak of":   {-1, time.Microsecond, silent, 50*ms + 2*time.Microsecond},
		"a long way":                  {-1, 10 * time.Second, silent, 3 * time.Second},
		"application data":            {-1, 100 * ms, after(70*ms, func(s *testpeer.ServerConn) { io.WriteString(s, "x") }), 70 * ms},
		"close_notify":                {-1, 100 * ms, after(60*ms, func(s *testpeer.ServerConn) { s.CloseWrite() }), 60 * ms},
		"tickets enough":              {enoughTickets, 100 * ms, silent, 0},
		"tickets, but not enough":     {enoughTickets - 1, 100 * ms, silent, 250 * ms},
	} {
		bubble(t, name, func(t *testing.T) {
			o := newPipeOrigin(t)
			o.Update(func(c *handshake.ServerConfig) { c.NumTickets = k.tickets })
			c, half := o.lingering(k.answer)
			c.info.RTT = k.rtt
			start := time.Now()
			if err := c.Close(); err != nil || time.Since(start) != 0 {
				t.Errorf("Close: %v after %v", err, time.Since(start))
			}
			if err := o.d.Flush(t.Context()); err != nil {
				t.Error(err)
			}
			if got := time.Since(start); got != k.want {
				t.Errorf("it lingered for %v, want %v", got, k.want)
			}
			<-half.closed
			if got := o.d.own.(sessionCounter).Len(c.sessionKey); got != max(k.tickets, 0) {
				t.Errorf("%d tickets", got)
			}
		})
	}
}

// TestLingerNot: a connection with nothing to wait for, or that failed, is closed at once.
func TestLingerNot(t *testing.T) {
	broken := errors.New("broken")
	for name, k := range map[string]struct {
		before func(o *pipeOrigin, c *Conn)
		lasts  bool
	}{
		"as a rule": {func(*pipeOrigin, *Conn) {}, true},
		"the pool is not low": {func(o *pipeOrigin, c *Conn) {
			for _, ticket := range []string{"1", "2"} {
				o.d.own.Put(c.sessionKey, testSession(o.t, ticket, o.d.clock.now()))
			}
		}, false},
		"SetLinger(0)": {func(_ *pipeOrigin, c *Conn) { c.SetLinger(0) }, false},
		"a Write that failed": {func(_ *pipeOrigin, c *Conn) {
			c.SetWriteDeadline(time.Now().Add(-time.Second))
			c.Write([]byte("x"))
		}, false},
		"a Read that failed": {func(_ *pipeOrigin, c *Conn) {
			raw := c.raw
			c.raw = failingRead{raw, broken}
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, broken) {
				t.Error(err)
			}
			c.raw = raw
		}, false},
	} {
		bubble(t, name, func(t *testing.T) {
			o := newPipeOrigin(t)
			o.Update(func(c *handshake.ServerConfig) { c.NumTickets = -1 })
			c, half := o.lingering(silent)
			synctest.Wait() // the last flight has left: only then a Write can fail
			k.before(o, c)
			c.Close()
			closed := false
			select {
			case <-half.closed:
				closed = true
			default:
			}
			if n := o.d.lingering(); (n == 1) != k.lasts || closed == k.lasts {
				t.Errorf("%d linger, closed %v", n, closed)
			}
			o.d.Flush(t.Context())
		})
	}
}

// failingRead is a connection whose Reads fail.
type failingRead struct {
	net.Conn
	err error
}

func (c failingRead) Read([]byte) (int, error) { return 0, c.err }

// TestLingerCount: 64 connections of a Dialer linger, and no more.
func TestLingerCount(t *testing.T) {
	const most = 64
	synctest.Test(t, func(t *testing.T) {
		o := newPipeOrigin(t)
		o.Update(func(c *handshake.ServerConfig) { c.NumTickets = -1 })
		for i := range most + 2 {
			c, half := o.lingering(silent)
			c.Close()
			closed := false
			select {
			case <-half.closed:
				closed = true
			default:
			}
			if n := o.d.lingering(); n != min(i+1, most) || closed != (i >= most) {
				t.Fatalf("%d linger, closed %v", n, closed)
			}
		}
		start := time.Now()
		o.d.Close()
		o.d.Flush(t.Context())
		if time.Since(start) != 0 {
			t.Errorf("Dialer.Close ends them after %v", time.Since(start))
		}
	})
}

// TestLingerBytes: 64 KiB, and what the last Read brings.
func TestLingerBytes(t *testing.T) {
	const most = 64 << 10
	o := newOrigin(t)
	o.Update(func(c *handshake.ServerConfig) {
		c.NumTickets, c.TicketKeys, c.MaxEarlyData = 120, nil, 0
		c.WrapSession = func(tls.ConnectionState, *handshake.ServerSession) ([]byte, error) { return make([]byte, 1000), nil }
		c.UnwrapSession = func([]byte, tls.ConnectionState) (*handshake.ServerSession, error) { return nil, nil }
	})
	raw, err := net.Dial("tcp", o.addr)
	if err != nil {
		t.Fatal(err)
	}
	d := o.dialer()
	kept := &puts{SessionCache: NewSessionCache(0)}
	d.Sessions = kept // there are never enough
	counted := &countedReads{TCPConn: raw.(*net.TCPConn)}
	c := d.Client(counted, "key")
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	counted.n.Store(0)
	c.Close()
	if err := d.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	const atOnce = 5 + 16<<10 + 256 // a record
	if n := counted.n.Load(); n < most || n > most+atOnce {
		t.Errorf("%d bytes were read", n)
	}
	if got := c.Info().Tickets; got <= 8 {
		t.Errorf("%d tickets", got)
	}
	if kept.puts != 8 {
		t.Errorf("%d tickets were kept", kept.puts)
	}
}

// puts is a cache that does not tell how many sessions it has, only how often it was given one.
type puts struct {
	SessionCache
	puts int
}

func (c *puts) Put(key string, s *Session) { c.puts++; c.SessionCache.Put(key, s) }

// countedReads counts what is read.
type countedReads struct {
	*net.TCPConn
	n atomic.Int64
}

func (c *countedReads) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	c.n.Add(int64(n))
	return n, err
}
