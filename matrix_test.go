package tlstfo

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tlstfo/tlstfo/handshake"
	"github.com/tlstfo/tlstfo/internal/testpeer"
)

// a way is one of the ways to send a first message. The message has arrived,
// or is bound to, when send returns.
type way struct {
	name  string
	early bool // it may be early
	send  func(ctx context.Context, d *Dialer, addr, message string) (*Conn, error)
}

var ways = []way{
	{"Dial", false, func(ctx context.Context, d *Dialer, addr, message string) (*Conn, error) {
		conn, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		_, err = io.WriteString(conn, message)
		return conn.(*Conn), err
	}},
	{"DialEarly", true, func(ctx context.Context, d *Dialer, addr, message string) (*Conn, error) {
		return d.DialEarly(ctx, "tcp", addr, []byte(message))
	}},
	{"DialDeferred", true, func(ctx context.Context, d *Dialer, addr, message string) (*Conn, error) {
		conn, err := d.DialDeferred(ctx, "tcp", addr)
		if err == nil {
			_, err = io.WriteString(conn, message)
		}
		return conn, err
	}},
	{"Client", true, func(ctx context.Context, d *Dialer, addr, message string) (*Conn, error) {
		raw, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		conn := d.Client(raw, addr)
		_, err = io.WriteString(conn, message)
		return conn, err
	}},
}

// all calls everything replayable.
func all(first []byte) int { return len(first) }

// finish reads the echo of the message and closes.
func finish(t *testing.T, c *Conn, message string) {
	t.Helper()
	got := make([]byte, len(message))
	if n, err := io.ReadFull(c, got); err != nil || string(got) != message {
		t.Fatalf("echo: %q, %v", got[:n], err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// overPipe is the way of Client over a pipe.
func (o *origin) overPipe(_ context.Context, d *Dialer, _, message string) (*Conn, error) {
	c := o.pipe(d)
	_, err := io.WriteString(c, message)
	return c, err
}

// pipe joins a Conn and the origin.
func (o *origin) pipe(d *Dialer) *Conn {
	ours, theirs := net.Pipe()
	var server net.Conn = newQueuedConn(theirs)
	if f := o.segments.Load(); f != nil {
		server = struct{ net.Conn }{(*f)(server)} // a pipe has no CloseWrite
	}
	go func() {
		if err := o.ServeConn(server, o.handle); err != nil {
			o.failed <- err
		}
	}()
	return d.Client(ours, "pipe")
}

// queuedConn takes writes at once, so that its peer may write before it reads,
// as over a transport with buffers.
type queuedConn struct {
	net.Conn
	done chan struct{} // closed when all was written

	mu     sync.Mutex
	queue  chan []byte
	closed bool
}

func newQueuedConn(conn net.Conn) *queuedConn {
	c := &queuedConn{Conn: conn, queue: make(chan []byte, 64<<10), done: make(chan struct{})}
	go func() {
		defer close(c.done)
		for p := range c.queue {
			c.Conn.Write(p) // after an error all fail
		}
	}()
	return c
}

func (c *queuedConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	c.queue <- bytes.Clone(p)
	return len(p), nil
}

// Close closes the connection once all was written.
func (c *queuedConn) Close() error {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		close(c.queue)
	}
	c.mu.Unlock()
	<-c.done
	return c.Conn.Close()
}

// exchanged is what is to become of a message.
type exchanged struct {
	early   bool // all of it came early
	reason  EarlyReason
	resumed bool
	retried bool   // by HelloRetryRequest
	client  string // the name in the client's certificate; "": none
}

// TestMatrix: in every kind of handshake, by every way, the application gets
// each byte once and in order, and early only what may be.
func TestMatrix(t *testing.T) {
	ca, err := testpeer.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	clientCert, err := ca.Issue("client")
	if err != nil {
		t.Fatal(err)
	}
	askCert := func(c *handshake.ServerConfig) { c.ClientAuth = tls.RequireAnyClientCert }
	for _, k := range []struct {
		name   string
		primed bool
		knobs  testpeer.Knobs
		update func(*handshake.ServerConfig)
		change func(*origin)
		want   exchanged
	}{
		{name: "full", want: exchanged{reason: EarlyNoSession}},
		{name: "full with client certificate", update: askCert, want: exchanged{reason: EarlyNoSession, client: "client"}},
		{name: "retry", knobs: testpeer.Knobs{ForceRetry: true}, want: exchanged{reason: EarlyNoSession, retried: true}},
		{name: "retry with client certificate", knobs: testpeer.Knobs{ForceRetry: true}, update: askCert,
			want: exchanged{reason: EarlyNoSession, retried: true, client: "client"}},
		{name: "resumed without early data", primed: true, update: func(c *handshake.ServerConfig) { c.MaxEarlyData = 0 },
			want: exchanged{reason: EarlyUnsupportedSession, resumed: true}},
		{name: "early data accepted", primed: true, want: exchanged{early: true, reason: EarlyAccepted, resumed: true}},
		{name: "early data accepted with client certificate", primed: true, update: askCert,
			want: exchanged{early: true, reason: EarlyAccepted, resumed: true, client: "client"}},
		{name: "early data refused", primed: true, knobs: testpeer.Knobs{RefuseEarlyData: true},
			want: exchanged{reason: EarlyPeerDeclined, resumed: true}},
		{name: "early data refused with client certificate", primed: true, knobs: testpeer.Knobs{RefuseEarlyData: true}, update: askCert,
			want: exchanged{reason: EarlyPeerDeclined, resumed: true, client: "client"}},
		{name: "session refused", primed: true, knobs: testpeer.Knobs{RefusePSK: true}, want: exchanged{reason: EarlyNotResumed}},
		{name: "session refused with client certificate", primed: true, knobs: testpeer.Knobs{RefusePSK: true}, update: askCert,
			want: exchanged{reason: EarlyNotResumed, client: "client"}},
		{name: "ticket keys lost", primed: true, change: func(o *origin) { o.RotateTicketKeys(0) }, want: exchanged{reason: EarlyNotResumed}},
		{name: "retry after early data", primed: true, knobs: testpeer.Knobs{ForceRetry: true},
			want: exchanged{reason: EarlyHelloRetryRequest, resumed: true, retried: true}},
		{name: "retry after early data, session refused", primed: true, knobs: testpeer.Knobs{ForceRetry: true, RefusePSK: true},
			want: exchanged{reason: EarlyHelloRetryRequest, retried: true}},
	} {
		for _, w := range append(slices.Clone(ways), way{"Client over a pipe", true, nil}) {
			for name, segments := range segmentations {
				t.Run(k.name+"/"+w.name+"/"+name, func(t *testing.T) {
					t.Parallel()
					o, w, want := newOrigin(t), w, k.want
					if w.send == nil {
						w.send = o.overPipe
					}
					d := o.dialer()
					d.Early = all
					d.TLSConfig.Certificates = []tls.Certificate{clientCert}
					if k.update != nil {
						o.Update(k.update)
					}
					if k.primed {
						prime(t, o, d, w)
					}
					o.Set(k.knobs)
					o.segments.Store(&segments)
					if k.change != nil {
						k.change(o)
					}
					if !w.early {
						want.early, want.reason = false, EarlyNotAsked
					}
					checkExchange(t, o, d, w, want)
				})
			}
		}
	}
}

// checkExchange sends a message by w, and judges what the application got.
func checkExchange(t *testing.T, o *origin, d *Dialer, w way, want exchanged) {
	t.Helper()
	message := "GET / HTTP/1.1\r\n\r\n"
	c, err := w.send(t.Context(), d, o.addr, message)
	if err != nil {
		t.Fatal(err)
	}
	finish(t, c, message)
	early := ""
	if want.early {
		early = message
	}
	v := o.onlyVisit(t)
	if v.data != message || v.early() != early {
		t.Errorf("the application got %q, of which early %q", v.data, v.early())
	}
	client := ""
	if certs := v.info.State.PeerCertificates; len(certs) > 0 {
		client = strings.Join(certs[0].DNSNames, ",")
	}
	if v.info.State.DidResume != want.resumed || v.info.Retried != want.retried || client != want.client {
		t.Errorf("the server resumed %v, retried %v, and has the certificate of %q", v.info.State.DidResume, v.info.Retried, client)
	}
	info := c.Info()
	if info.Early.Reason != want.reason || info.Early.Accepted != want.early || info.Resumed != want.resumed || info.HelloRetryRequest != want.retried ||
		c.ConnectionState().DidResume != want.resumed || info.Redials > 0 {
		t.Errorf("info: %+v, want %+v", info, want)
	}
	if info.Early.Offered && !info.Early.Accepted && info.Early.Resent != len(message) {
		t.Errorf("info: %+v, want all resent", info.Early)
	}
}

// prime gives the Dialer tickets where w looks for them.
func prime(t *testing.T, o *origin, d *Dialer, w way) {
	t.Helper()
	c, err := w.send(t.Context(), d, o.addr, "prime")
	if err != nil {
		t.Fatal(err)
	}
	finish(t, c, "prime")
	if err := d.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.visit(t)
}
