package testpeer

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/handshake"
)

// peer is a Server on loopback that echoes, and what its handlers saw.
type peer struct {
	*Server
	ca     *Authority
	addr   string
	infos  chan Info
	failed chan error
	// handler holds a func(*ServerConn) that replaces the echo.
	handler atomic.Value
}

func newPeer(t *testing.T) *peer {
	t.Helper()
	ca, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue("test.example", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(cert)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{Server: s, ca: ca, addr: l.Addr().String(), infos: make(chan Info, 10), failed: make(chan error, 10)}
	done := make(chan error, 1)
	go func() {
		done <- s.Serve(l, func(c *ServerConn) {
			if handler, ok := p.handler.Load().(func(*ServerConn)); ok {
				handler(c)
				return
			}
			io.Copy(c, c)
			p.infos <- c.Info()
		}, func(err error) { p.failed <- err })
	}()
	t.Cleanup(func() {
		s.Close()
		if err := <-done; err != ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
	})
	return p
}

func (p *peer) clientConfig() *tls.Config {
	return &tls.Config{RootCAs: p.ca.Pool(), ServerName: "test.example", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
}

// client is handshake.Client on a connection.
type client struct {
	conn     net.Conn
	engine   *handshake.Client
	sessions []*handshake.Session
}

// dial offers a session and sends early, which the echo is to answer, then
// late; it returns what came back.
func (p *peer) dial(t *testing.T, session *handshake.Session, early, late string) (*client, []byte) {
	t.Helper()
	conn, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	cfg := &handshake.Config{ServerName: "test.example", RootCAs: p.ca.Pool(), Session: session, EarlyData: early != ""}
	if session != nil {
		cfg.TicketAge = time.Since(session.ReceivedAt)
	}
	engine, err := handshake.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c := &client{conn: conn, engine: engine}
	if early != "" {
		if n, err := engine.WriteEarly([]byte(early)); n != len(early) || err != nil {
			t.Fatal(n, err)
		}
	}
	for {
		event, err := engine.Next(time.Now())
		conn.Write(engine.AppendOutput(nil))
		if err != nil {
			t.Fatal(err)
		}
		if event.Kind == handshake.EventHandshakeComplete {
			break
		}
		if event.Kind == handshake.EventNone {
			n, err := conn.Read(engine.Buffer())
			if err != nil {
				t.Fatal(err)
			}
			engine.Advance(n)
		}
	}
	sealer, opener := engine.Split()
	if engine.EarlyData() == handshake.EarlyRejected {
		late = early + late
	}
	conn.Write(sealer.CloseNotify(sealer.Seal(nil, []byte(late))))
	var got []byte
	for {
		event, err := opener.Next(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		switch event.Kind {
		case handshake.EventData:
			got = append(got, event.Data...)
		case handshake.EventTicket:
			c.sessions = append(c.sessions, event.Session)
		case handshake.EventCloseNotify:
			return c, got
		case handshake.EventNone:
			n, err := conn.Read(opener.Buffer())
			if err != nil {
				t.Fatalf("after %q: %v", got, err)
			}
			opener.Advance(n)
		}
	}
}

func TestEarlyData(t *testing.T) {
	p := newPeer(t)
	c, got := p.dial(t, nil, "", "first")
	if string(got) != "first" || len(c.sessions) != 2 {
		t.Fatalf("%q, %d sessions", got, len(c.sessions))
	}
	if info := <-p.infos; info.State.DidResume || info.EarlyBytes != 0 || info.State.ServerName != "test.example" {
		t.Errorf("%+v", info)
	}
	for _, step := range []struct {
		name     string
		knobs    Knobs
		rotate   bool
		accepted bool
		resumed  bool
		reason   handshake.EarlyReason
	}{
		{"accepted", Knobs{}, false, true, true, handshake.ReasonAccepted},
		{"refused", Knobs{RefuseEarlyData: true}, false, false, true, handshake.ReasonReplayed},
		{"retried", Knobs{ForceRetry: true}, false, false, true, handshake.ReasonHelloRetryRequest},
		{"rotated", Knobs{}, true, false, false, handshake.ReasonSessionNotResumed},
		{"again", Knobs{}, false, true, true, handshake.ReasonAccepted},
		{"no PSK", Knobs{RefusePSK: true}, false, false, false, handshake.ReasonSessionNotResumed},
	} {
		p.Set(step.knobs)
		if step.rotate {
			if err := p.RotateTicketKeys(0); err != nil {
				t.Fatal(err)
			}
		}
		c, got = p.dial(t, c.sessions[0], "early ", "and late")
		info := <-p.infos
		if string(got) != "early and late" || info.State.DidResume != step.resumed || info.EarlyReason != step.reason ||
			(info.EarlyBytes == len("early ")) != step.accepted || info.Retried != step.knobs.ForceRetry || !info.State.HandshakeComplete {
			t.Errorf("%s: %q, %+v", step.name, got, info)
		}
	}
}

// The answer to early data leaves before the client's Finished.
func TestHalfRTT(t *testing.T) {
	p := newPeer(t)
	c, _ := p.dial(t, nil, "", "x")
	<-p.infos
	conn, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	engine, err := handshake.NewClient(&handshake.Config{ServerName: "test.example", RootCAs: p.ca.Pool(),
		Session: c.sessions[0], TicketAge: time.Since(c.sessions[0].ReceivedAt), EarlyData: true})
	if err != nil {
		t.Fatal(err)
	}
	engine.WriteEarly([]byte("ping"))
	conn.Write(engine.AppendOutput(nil))
	for complete := false; !complete; {
		event, err := engine.Next(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if complete = event.Kind == handshake.EventHandshakeComplete; event.Kind == handshake.EventNone {
			n, err := conn.Read(engine.Buffer())
			if err != nil {
				t.Fatal(err)
			}
			engine.Advance(n)
		}
	}
	_, opener := engine.Split() // the client's Finished stays here
	for {
		event, err := opener.Next(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if event.Kind == handshake.EventData {
			if string(event.Data) != "ping" {
				t.Errorf("read %q", event.Data)
			}
			break
		}
		n, err := conn.Read(opener.Buffer())
		if err != nil {
			t.Fatal(err)
		}
		opener.Advance(n)
	}
	conn.Close()
	if info := <-p.infos; info.EarlyBytes != 4 || info.State.HandshakeComplete {
		t.Errorf("%+v", info)
	}
}

func TestStdClient(t *testing.T) {
	p := newPeer(t)
	cert, err := p.ca.Issue("client")
	if err != nil {
		t.Fatal(err)
	}
	p.Update(func(cfg *handshake.ServerConfig) {
		cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, p.ca.Pool()
		cfg.NextProtos = []string{"echo"}
	})
	cfg := p.clientConfig()
	cfg.Certificates, cfg.NextProtos = []tls.Certificate{cert}, []string{"echo"}
	want := bytes.Repeat([]byte("0123456789"), 100_000)
	for i := range 2 {
		conn, err := tls.Dial("tcp", p.addr, cfg)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			conn.Write(want)
			conn.CloseWrite()
		}()
		got, err := io.ReadAll(conn)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes came back: %v", len(got), err)
		}
		conn.Close()
		info := <-p.infos
		if info.State.DidResume != (i > 0) || len(info.State.PeerCertificates) != 1 || info.State.NegotiatedProtocol != "echo" {
			t.Errorf("%+v", info.State)
		}
	}
	cfg.Certificates = nil
	cfg.ClientSessionCache = nil
	if conn, err := tls.Dial("tcp", p.addr, cfg); err == nil {
		conn.Read(make([]byte, 1)) // TLS 1.3: the refusal comes after the handshake
		conn.Close()
	}
	if err := <-p.failed; !errors.Is(err, handshake.FaultClientCertificateRequired) {
		t.Error(err)
	}
}

func TestKnobs(t *testing.T) {
	p := newPeer(t)
	p.Set(Knobs{CloseAfterRead: 100})
	if _, err := tls.Dial("tcp", p.addr, p.clientConfig()); err == nil {
		t.Error("CloseAfterRead: connected")
	}
	<-p.failed
	p.Set(Knobs{CloseAfterWrite: 100, Reset: true})
	if _, err := tls.Dial("tcp", p.addr, p.clientConfig()); err == nil {
		t.Error("CloseAfterWrite: connected")
	}
	<-p.failed
	p.Set(Knobs{Silent: true})
	conn, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(50 * time.Millisecond))
	if err := tls.Client(conn, p.clientConfig()).Handshake(); !errors.Is(err, net.ErrClosed) {
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("Silent: %v", err)
		}
	}
	p.Set(Knobs{ForceRetry: true})
	retried, err := tls.Dial("tcp", p.addr, p.clientConfig())
	if err != nil {
		t.Fatal(err)
	}
	if state := retried.ConnectionState(); !state.HelloRetryRequest || state.CurveID != tls.CurveP384 {
		t.Errorf("ForceRetry: %+v", state)
	}
	retried.Close()
	<-p.infos
}

// A pipe is served like a socket, and a KeyUpdate goes through.
func TestServeConn(t *testing.T) {
	p := newPeer(t)
	ours, theirs := net.Pipe()
	served := make(chan error, 1)
	go func() {
		served <- p.ServeConn(theirs, func(c *ServerConn) {
			if err := c.KeyUpdate(false); err != nil {
				t.Error(err)
			}
			io.Copy(c, c)
		})
	}()
	conn := tls.Client(ours, p.clientConfig())
	got := make([]byte, 4)
	go conn.Write([]byte("ping"))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "ping" {
		t.Errorf("%q, %v", got, err)
	}
	ours.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
