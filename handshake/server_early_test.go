package handshake

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"
)

// firstSession runs a full handshake and returns a session of it.
func firstSession(t *testing.T, cfg *ServerConfig, client *Config) *Session {
	t.Helper()
	sessions := connectPair(t, cfg, client, "").sessions(t)
	if len(sessions) == 0 {
		t.Fatal("no ticket")
	}
	return sessions[0]
}

func TestServerTickets(t *testing.T) {
	cfg, client, _ := serverSetup(t)
	allowEarlyData(cfg)
	sessions := connectPair(t, cfg, client, "").sessions(t)
	if len(sessions) != 2 || sessions[0].MaxEarlyData != cfg.MaxEarlyData || sessions[0].Lifetime != MaxSessionLifetime {
		t.Fatalf("%d tickets of a full handshake: %+v", len(sessions), sessions)
	}
	if string(sessions[0].Ticket) == string(sessions[1].Ticket) || string(sessions[0].Secret) == string(sessions[1].Secret) ||
		sessions[0].AgeAdd == sessions[1].AgeAdd {
		t.Error("two tickets have something in common")
	}
	p := connectPair(t, cfg, resume(client, sessions[0], time.Second, false), "")
	if !p.s.ConnectionState().DidResume || !p.c.ConnectionState().DidResume {
		t.Error("not resumed")
	}
	if more := p.sessions(t); len(more) != 1 {
		t.Errorf("%d tickets of a resumed handshake", len(more))
	}
	for _, c := range []struct{ set, want int }{{5, 5}, {-1, 0}, {0, 2}} {
		cfg.NumTickets = c.set
		if got := connectPair(t, cfg, client, "").sessions(t); len(got) != c.want {
			t.Errorf("NumTickets %d: %d tickets", c.set, len(got))
		}
	}
	cfg.TicketKeys, cfg.MaxEarlyData = nil, 0
	if got := connectPair(t, cfg, client, "").sessions(t); len(got) != 0 {
		t.Errorf("%d tickets without keys", len(got))
	}
}

func TestServerEarlyDataAccepted(t *testing.T) {
	for _, chunk := range []int{0, 1, 5} {
		cfg, client, _ := serverSetup(t)
		allowEarlyData(cfg)
		client.NextProtos, cfg.NextProtos = []string{"h2"}, []string{"h2"}
		session := firstSession(t, cfg, client)
		p := newPair(t, cfg, resume(client, session, time.Second, true), "GET / HTTP/1.1")
		p.now, p.chunk, p.answer = testTime.Add(time.Second), chunk, "200 OK"
		if ce, se := p.run(); ce != nil || se != nil {
			t.Fatal(ce, se)
		}
		if string(p.early) != "GET / HTTP/1.1" || p.s.EarlyData() != EarlyAccepted || p.s.EarlyReason() != ReasonAccepted ||
			p.c.EarlyData() != EarlyAccepted || p.s.TicketAgeSkew() != 0 {
			t.Errorf("early %q; server %v, %v; client %v; skew %v", p.early, p.s.EarlyData(), p.s.EarlyReason(), p.c.EarlyData(), p.s.TicketAgeSkew())
		}
		if more := p.sessions(t); len(more) != 1 || more[0].MaxEarlyData == 0 {
			t.Errorf("tickets: %+v", more)
		}
	}
}

// All the ways in which a server refuses early data, and goes on.
func TestServerEarlyDataRefused(t *testing.T) {
	for _, c := range []struct {
		name    string
		reason  EarlyReason
		resumed bool
		age     time.Duration // stated by the client; the server sees 1 s
		change  func(*ServerConfig, *Config)
	}{
		{"disabled", ReasonDisabled, true, time.Second, func(s *ServerConfig, c *Config) { s.MaxEarlyData = 0 }},
		{"other keys", ReasonSessionNotResumed, false, time.Second, func(s *ServerConfig, c *Config) { s.TicketKeys.Set([32]byte{1}) }},
		{"no PSK", ReasonSessionNotResumed, false, time.Second, func(s *ServerConfig, c *Config) { s.TicketKeys = new(TicketKeys) }},
		{"other suite", ReasonSessionNotResumed, false, time.Second, func(s *ServerConfig, c *Config) { s.CipherSuites = []uint16{tls.TLS_AES_256_GCM_SHA384} }},
		{"ALPN", ReasonALPNMismatch, true, time.Second, func(s *ServerConfig, c *Config) { s.NextProtos = []string{"http/1.1"} }},
		{"ALPN gone", ReasonALPNMismatch, true, time.Second, func(s *ServerConfig, c *Config) { s.NextProtos = nil }},
		{"retry", ReasonHelloRetryRequest, true, time.Second, func(s *ServerConfig, c *Config) { s.Groups = []tls.CurveID{tls.CurveP384} }},
		{"too old", ReasonTicketAgeSkew, true, 11*time.Second + time.Millisecond, func(s *ServerConfig, c *Config) {}},
		{"too new", ReasonTicketAgeSkew, true, 0, func(s *ServerConfig, c *Config) { s.FreshnessWindow = 999 * time.Millisecond }},
		{"start", ReasonReplayed, true, time.Second, func(s *ServerConfig, c *Config) {
			s.AntiReplay = NewReplayRegister(testTime, 10) // in the millisecond of the ticket
		}},
		{"forgotten", ReasonReplayed, true, time.Second, func(s *ServerConfig, c *Config) {
			r := NewReplayRegister(testTime.Add(-time.Second), 1)
			for i := range byte(3) {
				r.Use([32]byte{i}, testTime)
			}
			s.AntiReplay = r
		}},
	} {
		for _, chunk := range []int{0, 1} {
			cfg, client, _ := serverSetup(t)
			allowEarlyData(cfg)
			client.NextProtos, cfg.NextProtos = []string{"h2", "http/1.1"}, []string{"h2"}
			session := firstSession(t, cfg, client)
			c.change(cfg, client)
			p := newPair(t, cfg, resume(client, session, c.age, true), strings.Repeat("GET / HTTP/1.1", 1000))
			p.now, p.chunk = testTime.Add(time.Second), chunk
			if ce, se := p.run(); ce != nil || se != nil {
				t.Errorf("%s: %v, %v", c.name, ce, se)
				continue
			}
			if p.early != nil || p.s.EarlyData() != EarlyRejected || p.s.EarlyReason() != c.reason || p.c.EarlyData() != EarlyRejected ||
				p.s.ConnectionState().DidResume != c.resumed {
				t.Errorf("%s: early %d bytes, server %v, %v, client %v, resumed %v", c.name, len(p.early),
					p.s.EarlyData(), p.s.EarlyReason(), p.c.EarlyData(), p.s.ConnectionState().DidResume)
			}
			if skew := p.s.TicketAgeSkew(); c.resumed && skew != c.age-time.Second {
				t.Errorf("%s: skew %v", c.name, skew)
			}
			if p.c.ConnectionState().HelloRetryRequest != (c.name == "retry") {
				t.Errorf("%s: retried", c.name)
			}
			p.sessions(t)
		}
	}
}

// Section 4.2.10: more early data than the ticket allows is fatal, and so is
// more to skip than that.
func TestServerTooMuchEarlyData(t *testing.T) {
	for _, c := range []struct {
		name  string
		extra int
		keys  bool
		fault Fault
	}{
		{"accepted", 0, false, 0},
		{"one byte more", 1, false, FaultTooMuchEarlyData},
		{"skipped", 0, true, 0},
		{"skipped, far more", 4096, true, FaultTooMuchEarlyData},
	} {
		cfg, client, _ := serverSetup(t)
		allowEarlyData(cfg)
		session := firstSession(t, cfg, client)
		liar := *session
		liar.MaxEarlyData += uint32(c.extra)
		if c.keys {
			cfg.TicketKeys.Rotate(rand.Reader, 0)
		}
		p := newPair(t, cfg, resume(client, &liar, 0, true), strings.Repeat("x", int(liar.MaxEarlyData)))
		_, err := p.run()
		if c.fault == 0 && err != nil || c.fault != 0 && !errors.Is(err, c.fault) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// skipping are the two ways to come to skip early data: under keys that are
// lost, and in front of a second hello.
var skipping = map[string]func(*ServerConfig) error{
	"keys lost": func(cfg *ServerConfig) error { return cfg.TicketKeys.Rotate(rand.Reader, 0) },
	"retry":     func(cfg *ServerConfig) error { cfg.Groups = []tls.CurveID{tls.CurveP384}; return nil },
}

// Section 4.2.10: max_early_data_size counts "application data payload only,
// excluding padding and the content type byte". A client that keeps to it is
// not cut off where its early data is refused, however small its records are.
func TestServerSkipsSmallRecords(t *testing.T) {
	for how, lose := range skipping {
		for _, size := range []int{1, 100, 1 << 14} {
			cfg, client, _ := serverSetup(t)
			allowEarlyData(cfg)
			session := firstSession(t, cfg, client)
			if err := lose(cfg); err != nil {
				t.Fatal(err)
			}
			p := newPair(t, cfg, resume(client, session, 0, true), "")
			for left := int(session.MaxEarlyData); left > 0; left -= size {
				if _, err := p.c.WriteEarly(make([]byte, min(size, left))); err != nil {
					t.Fatal(err)
				}
			}
			if ce, se := p.run(); ce != nil || se != nil || p.s.State() != StateConnected {
				t.Errorf("%s, records of %d: client %v, server %v", how, size, ce, se)
			}
		}
	}
}

// A ticket may allow more than the server does now.
func TestServerSkipsWhatTheTicketAllowed(t *testing.T) {
	cfg, client, _ := serverSetup(t)
	allowEarlyData(cfg).MaxEarlyData = 1 << 16
	session := firstSession(t, cfg, client)
	cfg.MaxEarlyData = 0
	p := newPair(t, cfg, resume(client, session, 0, true), strings.Repeat("x", 1<<16))
	if ce, se := p.run(); ce != nil || se != nil || p.s.EarlyReason() != ReasonDisabled {
		t.Errorf("client %v, server %v, %v", ce, se, p.s.EarlyReason())
	}
}

// The budget of skipped early data at its limit and one past it: in bytes, and
// in records that have none.
func TestServerSkipBudget(t *testing.T) {
	for how, lose := range skipping {
		for body, most := range map[int]uint32{0: 0, 17: 1 << 14, 18: 1 << 15} {
			cfg, client, _ := serverSetup(t)
			allowEarlyData(cfg)
			session := firstSession(t, cfg, client)
			if err := lose(cfg); err != nil {
				t.Fatal(err)
			}
			cfg.MaxEarlyData = most
			allowed := max(most, leastSkipped)
			if how == "retry" { // what the ticket says is known
				allowed = max(allowed, session.MaxEarlyData)
			}
			p := newPair(t, cfg, resume(client, session, 0, true), "")
			p.s.Feed(p.c.AppendOutput(nil))
			if err := p.nextServer(); err != nil {
				t.Fatal(err)
			}
			record := appendPlaintext(nil, recordApplication, versionTLS12, make([]byte, body))
			for range allowed + spareSkipped {
				p.s.Feed(record)
			}
			if err := p.nextServer(); err != nil {
				t.Errorf("%s, %d bytes each: at the limit: %v", how, body, err)
			}
			p.s.Feed(record)
			if err := p.nextServer(); !errors.Is(err, FaultTooMuchEarlyData) {
				t.Errorf("%s, %d bytes each: one past the limit: %v", how, body, err)
			}
		}
	}
}
