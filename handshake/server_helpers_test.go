package handshake

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// serverSetup returns the configurations of a server of example.com that gives
// tickets, of a Client that fits it, and of a client of crypto/tls.
func serverSetup(t testing.TB) (*ServerConfig, *Config, *tls.Config) {
	t.Helper()
	ca := newAuthority(t)
	keys := new(TicketKeys)
	if err := keys.Rotate(rand.Reader, 0); err != nil {
		t.Fatal(err)
	}
	return &ServerConfig{
			Certificates: []tls.Certificate{ca.issue(t, newKey(t, "ECDSA"), nil)},
			TicketKeys:   keys,
			ClientCAs:    ca.pool,
		},
		&Config{ServerName: "example.com", RootCAs: ca.pool},
		&tls.Config{ServerName: "example.com", RootCAs: ca.pool, Time: func() time.Time { return testTime }}
}

// allowEarlyData makes a server accept early data, from testTime on.
func allowEarlyData(cfg *ServerConfig) *ServerConfig {
	cfg.MaxEarlyData = 16384
	cfg.AntiReplay = NewReplayRegister(testTime.Add(-time.Second), 100)
	return cfg
}

// serve runs a server that echoes, at testTime. It reads at most chunk bytes at
// once.
func serve(conn net.Conn, cfg *ServerConfig, chunk int) (*Server, error) {
	defer conn.Close()
	s, err := NewServer(cfg)
	if err != nil {
		return nil, err
	}
	buf := make([]byte, chunk)
	for {
		event, err := s.Next(testTime)
		if out := s.AppendOutput(nil); len(out) > 0 {
			conn.Write(out)
		}
		if err != nil {
			io.Copy(io.Discard, conn)
			return s, err
		}
		if event.Kind == EventHandshakeComplete {
			return s, serveEcho(conn, s, buf)
		}
		n, err := conn.Read(buf)
		if err != nil {
			return s, err
		}
		s.Feed(buf[:n])
	}
}

func serveEcho(conn net.Conn, s *Server, buf []byte) error {
	sealer, opener := s.Split()
	for {
		event, err := opener.Next(testTime)
		switch {
		case err != nil:
			var local *LocalError
			if errors.As(err, &local) {
				conn.Write(sealer.Alert(nil, local.Alert()))
			}
			return err
		case event.Kind == EventCloseNotify:
			conn.Write(sealer.CloseNotify(nil))
			return nil
		case event.Kind == EventData:
			if _, err := conn.Write(sealer.Seal(nil, event.Data)); err != nil {
				return err
			}
			continue
		}
		n, err := conn.Read(buf)
		if err != nil {
			return err
		}
		opener.Feed(buf[:n])
	}
}

// loopback returns the two ends of a TCP connection.
func loopback(t testing.TB) (ours, theirs net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if ours, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if theirs, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return ours, theirs
}

// stdClient connects a client of crypto/tls to a server, says hello, and
// returns what both saw.
func stdClient(t *testing.T, cfg *ServerConfig, client *tls.Config, chunk int) (tls.ConnectionState, *Server, error, error) {
	t.Helper()
	ours, theirs := loopback(t)
	defer ours.Close()
	type result struct {
		s   *Server
		err error
	}
	done := make(chan result, 1)
	go func() {
		s, err := serve(theirs, cfg, chunk)
		done <- result{s, err}
	}()
	conn := tls.Client(ours, client)
	err := conn.Handshake()
	if err == nil {
		_, err = conn.Write([]byte("hello"))
	}
	if err == nil {
		got := make([]byte, 5)
		if _, err = io.ReadFull(conn, got); err == nil && string(got) != "hello" {
			t.Errorf("the echo of hello is %q", got)
		}
	}
	state := conn.ConnectionState()
	conn.Close()
	ours.Close()
	r := <-done
	return state, r.s, r.err, err
}

// pair is a Client and a Server joined in memory.
type pair struct {
	c      *Client
	s      *Server
	now    time.Time
	chunk  int    // bytes that are moved at once; 0: all that there are
	early  []byte // what came as early data
	events []Event
	answer string // sent by the server at the first early data
}

// run moves bytes until nobody has anything to say, and returns the errors of
// both sides.
func (p *pair) run() (clientErr, serverErr error) {
	for {
		moved := false
		feed := func(data []byte, feed func([]byte), next func() error) (err error) {
			for len(data) > 0 && err == nil {
				n := len(data)
				if p.chunk > 0 {
					n = min(n, p.chunk)
				}
				feed(data[:n])
				data, moved = data[n:], true
				err = next()
			}
			return err
		}
		if err := feed(p.c.AppendOutput(nil), p.s.Feed, p.nextServer); err != nil {
			serverErr = err
		}
		if err := feed(p.s.AppendOutput(nil), p.c.Feed, p.nextClient); err != nil {
			clientErr = err
		}
		if !moved {
			return clientErr, serverErr
		}
	}
}

func (p *pair) nextServer() error {
	for {
		event, err := p.s.Next(p.now)
		if err != nil || event.Kind == EventNone {
			return err
		}
		if event.Kind == EventEarlyData {
			if p.early == nil && p.answer != "" {
				if _, err := p.s.Write([]byte(p.answer)); err != nil {
					return err
				}
			}
			p.early = append(p.early, event.Data...)
		}
	}
}

func (p *pair) nextClient() error {
	for {
		event, err := p.c.Next(p.now)
		if err != nil || event.Kind == EventNone {
			return err
		}
		p.events = append(p.events, event)
	}
}

// connectPair runs a handshake that must succeed.
func connectPair(t *testing.T, server *ServerConfig, client *Config, early string) *pair {
	t.Helper()
	p := newPair(t, server, client, early)
	if ce, se := p.run(); ce != nil || se != nil {
		t.Fatalf("client: %v; server: %v", ce, se)
	}
	if p.c.State() != StateConnected || p.s.State() != StateConnected {
		t.Fatalf("client %v; server %v", p.c.State(), p.s.State())
	}
	return p
}

func newPair(t *testing.T, server *ServerConfig, client *Config, early string) *pair {
	t.Helper()
	s, err := NewServer(server)
	if err != nil {
		t.Fatal(err)
	}
	c := mustClient(t, client)
	if early != "" {
		if n, err := c.WriteEarly([]byte(early)); n != len(early) || err != nil {
			t.Fatalf("WriteEarly: %d, %v", n, err)
		}
	}
	return &pair{c: c, s: s, now: testTime}
}

// sessions splits both ends, moves hello both ways, and returns the tickets
// that came.
func (p *pair) sessions(t *testing.T) (sessions []*Session) {
	t.Helper()
	cs, co := p.c.Split()
	ss, so := p.s.Split()
	so.Feed(cs.Seal(nil, []byte("hello, server")))
	if got, _ := drain(t, so); string(got) != "hello, server" {
		t.Errorf("the server read %q", got)
	}
	co.Feed(ss.Seal(nil, []byte("hello, client")))
	var got []byte
	for {
		event, err := co.Next(p.now)
		if err != nil {
			t.Fatal(err)
		}
		switch event.Kind {
		case EventData:
			got = append(got, event.Data...)
			continue
		case EventTicket:
			sessions = append(sessions, event.Session)
			continue
		}
		break
	}
	if want := p.answer + "hello, client"; string(got) != want {
		t.Errorf("the client read %q, want %q", got, want)
	}
	return sessions
}

// resume returns a client configuration that offers a session, some time after
// it was received.
func resume(cfg *Config, session *Session, age time.Duration, early bool) *Config {
	again := *cfg
	again.Session, again.TicketAge, again.EarlyData = session, age, early
	return &again
}
