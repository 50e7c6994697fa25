package handshake

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// sessionStore keeps sessions and gives out names for tickets, and so is the
// other kind of ticket that RFC 8446, section 4.6.1, allows: a lookup key.
type sessionStore struct {
	sessions [][]byte
	change   func(*ServerSession)
	fails    error
}

func (d *sessionStore) wrap(_ tls.ConnectionState, s *ServerSession) ([]byte, error) {
	data, err := s.Bytes()
	d.sessions = append(d.sessions, data)
	return fmt.Appendf(nil, "session %d", len(d.sessions)-1), err
}

func (d *sessionStore) unwrap(ticket []byte, _ tls.ConnectionState) (*ServerSession, error) {
	var i int
	if _, err := fmt.Sscanf(string(ticket), "session %d", &i); err != nil || i >= len(d.sessions) || d.fails != nil {
		return nil, d.fails
	}
	clear(ticket) // it is the hook's
	s, err := ParseServerSession(d.sessions[i])
	if err == nil && d.change != nil {
		d.change(s)
	}
	return s, err
}

// storeSetup is serverSetup with sessions in a store.
func storeSetup(t *testing.T) (*ServerConfig, *Config, *sessionStore) {
	t.Helper()
	cfg, client, _ := serverSetup(t)
	store := new(sessionStore)
	cfg.TicketKeys, cfg.WrapSession, cfg.UnwrapSession = nil, store.wrap, store.unwrap
	cfg.CipherSuites = []uint16{tls.TLS_AES_128_GCM_SHA256}
	return cfg, client, store
}

// RFC 8446, section 4.6.1: a ticket may be a lookup key. All that a sealed one
// can do it can, again and again.
func TestServerWrapSession(t *testing.T) {
	cfg, client, store := storeSetup(t)
	allowEarlyData(cfg)
	sessions := connectPair(t, cfg, client, "").sessions(t)
	if len(sessions) != 2 || string(sessions[0].Ticket) != "session 0" || len(store.sessions) != 2 {
		t.Fatalf("%d tickets, %d sessions", len(sessions), len(store.sessions))
	}
	p := connectPair(t, cfg, resume(client, sessions[0], time.Second, true), "early")
	if !p.s.ConnectionState().DidResume || string(p.early) != "early" {
		t.Errorf("resumed %v, early %q: %v", p.s.ConnectionState().DidResume, p.early, p.s.EarlyReason())
	}
	// The engine clears its secrets, but not those of the store.
	for range 2 {
		if p = connectPair(t, cfg, resume(client, sessions[1], time.Second, false), ""); !p.s.ConnectionState().DidResume {
			t.Error("not resumed")
		}
	}
	// Section 8.1: single use is by the ticket, whoever made it.
	again := resume(client, sessions[0], time.Second, true)
	if p = connectPair(t, cfg, again, "early"); p.s.EarlyReason() != ReasonReplayed || len(p.early) > 0 {
		t.Errorf("again: %v, %q", p.s.EarlyReason(), p.early)
	}
	sessions[1].Ticket = []byte("session 99")
	if p = connectPair(t, cfg, resume(client, sessions[1], time.Second, false), ""); p.s.ConnectionState().DidResume {
		t.Error("an unknown ticket was resumed")
	}
}

// The engine judges what comes out of a ticket: RFC 8446, sections 4.2.11 and
// 4.6.1, ask for the suite's hash, which only TLS 1.3 has.
func TestServerUnwrapSessionJudged(t *testing.T) {
	for _, c := range []struct {
		name   string
		suites []uint16
		change func(*ServerSession)
		want   bool
	}{
		{"as it was", nil, func(*ServerSession) {}, true},
		{"TLS 1.2", nil, func(s *ServerSession) { s.Version = tls.VersionTLS12 }, false},
		{"no version", nil, func(s *ServerSession) { s.Version = 0 }, false},
		{"a version to come", nil, func(s *ServerSession) { s.Version = tls.VersionTLS13 + 1 }, false},
		{"a suite of TLS 1.2", nil, func(s *ServerSession) { s.CipherSuite = tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 }, false},
		{"another suite", nil, func(s *ServerSession) { s.CipherSuite = tls.TLS_CHACHA20_POLY1305_SHA256 }, false},
		{"another hash", []uint16{tls.TLS_AES_256_GCM_SHA384}, func(s *ServerSession) { s.CipherSuite = tls.TLS_AES_256_GCM_SHA384 }, false},
		{"another suite now", []uint16{tls.TLS_AES_256_GCM_SHA384}, func(*ServerSession) {}, false},
		{"no session at all", nil, func(s *ServerSession) { *s = ServerSession{} }, false},
	} {
		cfg, client, store := storeSetup(t)
		session := firstSession(t, cfg, client)
		store.change = c.change
		if c.suites != nil {
			cfg.CipherSuites = c.suites
		}
		p := connectPair(t, cfg, resume(client, session, time.Second, false), "")
		if got := p.s.ConnectionState().DidResume; got != c.want {
			t.Errorf("%s: resumed %v", c.name, got)
		}
	}
}

// The errors of the hooks end the handshake; no ticket and no session do not.
func TestServerWrapSessionFails(t *testing.T) {
	broken := errors.New("broken")
	internal := func(name string, err error) {
		t.Helper()
		if !errors.Is(err, FaultInternal) || !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	cfg, client, store := storeSetup(t)
	session := firstSession(t, cfg, client)
	store.fails = broken
	_, err := newPair(t, cfg, resume(client, session, time.Second, false), "").run()
	internal("UnwrapSession", err)

	cfg.WrapSession = func(tls.ConnectionState, *ServerSession) ([]byte, error) { return []byte{1}, broken }
	_, err = newPair(t, cfg, client, "").run()
	internal("WrapSession", err)

	for size, want := range map[int]int{0: 0, 1: 2, maxTicketLen: 2, maxTicketLen + 1: 0, 65515: 0, 1 << 16: 0} {
		cfg.WrapSession = func(tls.ConnectionState, *ServerSession) ([]byte, error) { return make([]byte, size), nil }
		if got := connectPair(t, cfg, client, "").sessions(t); len(got) != want {
			t.Errorf("%d tickets of %d bytes, want %d", len(got), size, want)
		}
	}
	cfg.NumTickets = -1
	cfg.WrapSession = func(tls.ConnectionState, *ServerSession) ([]byte, error) { return nil, broken }
	connectPair(t, cfg, client, "") // does not ask
}

func TestServerWrapSessionConfig(t *testing.T) {
	for name, change := range map[string]func(*ServerConfig){
		"no UnwrapSession": func(c *ServerConfig) { c.UnwrapSession = nil },
		"no WrapSession":   func(c *ServerConfig) { c.WrapSession = nil },
		"keys as well":     func(c *ServerConfig) { c.TicketKeys = new(TicketKeys) },
	} {
		cfg, _, _ := storeSetup(t)
		change(cfg)
		if _, err := NewServer(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Only what Bytes made is parsed, and nothing prints a secret.
func TestServerSessionBytes(t *testing.T) {
	whole := ServerSession{
		Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_128_GCM_SHA256, secret: []byte("this is the secret of a session."),
		ageAdd: 1, maxEarlyData: 2, issuedAt: testTime, authenticatedAt: testTime, group: tls.X25519, alpn: "h2",
		serverName: "example.com", peer: [][]byte{{1}, {2, 3}},
	}
	data, err := whole.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseServerSession(data)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := got.Bytes(); err != nil || string(again) != string(data) {
		t.Errorf("%x became %x (%v)", data, again, err)
	}
	clear(got.secret)
	if again, _ := ParseServerSession(data); string(again.secret) != string(whole.secret) {
		t.Error("a parsed session shares memory with its encoding")
	}
	for i := range data {
		if _, err := ParseServerSession(data[:i]); err == nil {
			t.Errorf("%d bytes of %d are a session", i, len(data))
		}
	}
	if _, err := ParseServerSession(append(data, 0)); err == nil {
		t.Error("bytes behind the session")
	}
	whole.peer = [][]byte{{}}
	if data, err = whole.Bytes(); err == nil {
		if _, err = ParseServerSession(data); err == nil {
			t.Error("an empty certificate")
		}
	}
	whole.serverName = strings.Repeat("x", 1<<16)
	if _, err := whole.Bytes(); err == nil {
		t.Error("a name of 64 KiB is encoded")
	}
	if text := fmt.Sprintf("%v %+v %#v %s", &whole, &whole, &whole, &whole); strings.Contains(text, "secret of") {
		t.Error(text)
	}
}
