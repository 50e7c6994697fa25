package tlstfo

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/handshake"
)

// rawServer runs handle on each connection to a loopback listener.
func rawServer(t testing.TB, handle func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(10 * time.Second))
				handle(conn)
			}()
		}
	}()
	return l.Addr().String()
}

// noLeak fails the test if it leaves goroutines behind.
func noLeak(t *testing.T) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		for range 100 {
			if runtime.NumGoroutine() <= before {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		buf := make([]byte, 1<<16)
		t.Errorf("goroutines: %d before, %d after\n%s", before, runtime.NumGoroutine(), buf[:runtime.Stack(buf, true)])
	})
}

// TestBadIdentity: each gets the very error that crypto/tls's users know.
func TestBadIdentity(t *testing.T) {
	noLeak(t)
	ca, other := newAuthority(t), newAuthority(t)
	expired := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	for name, c := range map[string]struct {
		cert   tls.Certificate
		target any
	}{
		"wrong name":      {ca.issue(nil, "other.example"), new(x509.HostnameError)},
		"untrusted chain": {other.issue(nil, "test.example"), new(x509.UnknownAuthorityError)},
		"expired":         {ca.issue(expired, "test.example"), new(x509.CertificateInvalidError)},
	} {
		addr := stdServer(t, &tls.Config{Certificates: []tls.Certificate{c.cert}}, echo)
		_, err := Dial("tcp", addr, &tls.Config{RootCAs: ca.pool, ServerName: "test.example"})
		var e *Error
		var v *tls.CertificateVerificationError
		if !errors.As(err, c.target) || !errors.As(err, &e) || !errors.As(err, &v) || !strings.Contains(err.Error(), addr) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBadServer: whatever a server answers, there is a typed error, and soon.
func TestBadServer(t *testing.T) {
	noLeak(t)
	config := &tls.Config{ServerName: "test.example", MinVersion: tls.VersionTLS13}
	fault := func(f handshake.Fault) func(error) bool {
		return func(err error) bool { return errors.Is(err, f) }
	}
	unhex := func(s string) []byte { b, _ := hex.DecodeString(s); return b }
	for name, c := range map[string]struct {
		answer []byte
		want   func(error) bool
	}{
		"HTTP instead of TLS": {[]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), fault(handshake.FaultBadRecordVersion)},
		"zeros":               {make([]byte, 100), fault(handshake.FaultBadRecordVersion)},
		"oversized record":    {unhex("1603034001" + strings.Repeat("02", 0x4001)), fault(handshake.FaultRecordOverflow)},
		"oversized message":   {unhex("160303000402ffffff"), fault(handshake.FaultMessageTooLarge)},
		"not a ServerHello":   {unhex("16030300041400000000"), fault(handshake.FaultUnexpectedMessage)},
		"malformed":           {unhex("160303000502000001ff"), fault(handshake.FaultDecode)},
		"application data":    {unhex("170303000568656c6c6f"), fault(handshake.FaultUnexpectedRecord)},
		"fatal alert": {unhex("15030300020228"), func(err error) bool {
			var remote *handshake.RemoteError
			var alert tls.AlertError
			return errors.As(err, &remote) && remote.Alert == handshake.AlertHandshakeFailure && errors.As(err, &alert) && alert == 40
		}},
		"nothing": {nil, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
	} {
		addr := rawServer(t, func(conn net.Conn) {
			io.ReadFull(conn, make([]byte, 100))
			conn.Write(c.answer)
			conn.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, conn)
		})
		_, err := Dial("tcp", addr, config)
		if !c.want(err) || !strings.Contains(err.Error(), addr) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTruncated cuts the server's handshake off at every byte.
func TestTruncated(t *testing.T) {
	if testing.Short() {
		t.Skip("a thousand handshakes")
	}
	noLeak(t)
	ca := newAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{ca.issue(nil, "test.example")}, SessionTicketsDisabled: true,
		CurvePreferences: []tls.CurveID{tls.X25519}}
	client := &tls.Config{RootCAs: ca.pool, ServerName: "test.example", MinVersion: tls.VersionTLS13}

	// The length of the flight varies by a few bytes with the signature.
	flight := 0
	measure := stdServer(t, config, func(c *tls.Conn) { c.Handshake() })
	conn, err := net.Dial("tcp", measure)
	if err != nil {
		t.Fatal(err)
	}
	counting := &countingConn{Conn: conn}
	c := (&Dialer{TLSConfig: client}).Client(counting, "")
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	c.Close()
	flight = counting.read

	for cut := 0; cut < flight-10; cut++ {
		ours, theirs := net.Pipe()
		go func() {
			limited := &cutConn{Conn: theirs, left: cut}
			tls.Server(limited, config).Handshake()
			theirs.Close()
		}()
		c := (&Dialer{TLSConfig: client}).Client(ours, "")
		c.SetDeadline(time.Now().Add(10 * time.Second))
		err := c.Handshake()
		if e := (*Error)(nil); !errors.As(err, &e) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut at byte %d of %d: %v", cut, flight, err)
		}
		if _, werr := c.Write([]byte("secret")); werr != err {
			t.Fatalf("cut at byte %d: Write: %v", cut, werr)
		}
		c.Close()
	}
}

type countingConn struct {
	net.Conn
	read int
}

func (c *countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read += n
	return n, err
}

// cutConn closes after so many bytes were written.
type cutConn struct {
	net.Conn
	left int
}

func (c *cutConn) Write(p []byte) (int, error) {
	if len(p) <= c.left {
		c.left -= len(p)
		return c.Conn.Write(p)
	}
	c.Conn.Write(p[:c.left])
	c.Conn.Close()
	return c.left, net.ErrClosed
}

// TestCancelled cancels the context at every stage.
func TestCancelled(t *testing.T) {
	noLeak(t)
	for name, after := range map[string]int{"in the hello": 0, "after a part of the answer": 3} {
		reached := make(chan struct{}, 2)
		addr := rawServer(t, func(conn net.Conn) {
			io.ReadFull(conn, make([]byte, 100))
			conn.Write(bytes.Repeat([]byte{22, 3, 3}, 1)[:after])
			reached <- struct{}{}
			io.Copy(io.Discard, conn)
		})
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("changed my mind")
		go func() { <-reached; cancel(why) }()
		d := &Dialer{TLSConfig: &tls.Config{ServerName: "test.example"}}
		if _, err := d.DialContext(ctx, "tcp", addr); !errors.Is(err, why) {
			t.Errorf("%s: DialContext: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d := &Dialer{TLSConfig: &tls.Config{ServerName: "test.example"}}
	addr := rawServer(t, func(net.Conn) { t.Error("dialled under a cancelled context") })
	for name, dial := range map[string]func() error{
		"DialContext":  func() error { _, err := d.DialContext(ctx, "tcp", addr); return err },
		"DialEarly":    func() error { _, err := d.DialEarly(ctx, "tcp", addr, []byte("x")); return err },
		"DialDeferred": func() error { _, err := d.DialDeferred(ctx, "tcp", addr); return err },
	} {
		if err := dial(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBadArguments: nothing is dialled, and the error says what to do.
func TestBadArguments(t *testing.T) {
	for name, c := range map[string]struct {
		addr   string
		config *tls.Config
	}{
		"no port":         {"test.example", nil},
		"no name":         {":443", &tls.Config{}},
		"empty protocol":  {"127.0.0.1:1", &tls.Config{NextProtos: []string{""}}},
		"long protocol":   {"127.0.0.1:1", &tls.Config{NextProtos: []string{strings.Repeat("x", 256)}}},
		"versions turned": {"127.0.0.1:1", &tls.Config{MinVersion: tls.VersionTLS13, MaxVersion: tls.VersionTLS12}},
		"TLS 1.4":         {"127.0.0.1:1", &tls.Config{MinVersion: tls.VersionTLS13 + 1}},
		"unknown network": {"127.0.0.1:1", &tls.Config{ServerName: "x"}},
	} {
		network := "tcp"
		if name == "unknown network" {
			network = "carrier pigeon"
		}
		_, err := Dial(network, c.addr, c.config)
		var e *Error
		if !errors.As(err, &e) || e.Addr != c.addr {
			t.Errorf("%s: %v", name, err)
		}
	}
	ours, theirs := net.Pipe()
	defer theirs.Close()
	c := (&Dialer{}).Client(ours, "x")
	if err := c.Handshake(); err == nil || !strings.Contains(err.Error(), "ServerName") {
		t.Errorf("Client without a ServerName: %v", err)
	}
	if _, err := c.Write([]byte("x")); err == nil {
		t.Error("Client without a ServerName writes")
	}
	c.Close()
}

// TestZeroValues: no nil and no zero value of a caller's makes a panic.
func TestZeroValues(t *testing.T) {
	d := &Dialer{TLSConfig: &tls.Config{ServerName: "test.example"}}
	for _, key := range []string{"", "key"} {
		c := d.Client(nil, key)
		if _, err := c.Write([]byte("x")); err == nil || !strings.Contains(err.Error(), "nil") {
			t.Errorf("Client(nil, %q): %v", key, err)
		}
		c.ConnectionState()
		c.SetDeadline(time.Now())
		if c.LocalAddr() == nil || c.RemoteAddr() == nil || c.Close() != nil {
			t.Errorf("Client(nil, %q) does not close", key)
		}
	}

	cache := NewSessionCache(0)
	cache.Put("key", new(Session))
	if s := cache.Take("key"); s != nil {
		t.Error("a zero Session was kept")
	}
	if _, err := new(Session).MarshalBinary(); err == nil {
		t.Error("a zero Session was encoded")
	}
	o := newOrigin(t)
	d = o.dialer()
	d.Sessions = zeroSessions{}
	conn, err := d.Dial("tcp", o.addr)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

// zeroSessions is a SessionCache that gives zero Sessions.
type zeroSessions struct{}

func (zeroSessions) Put(string, *Session) {}
func (zeroSessions) Take(string) *Session { return new(Session) }
