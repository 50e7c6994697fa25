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
			s.AntiReplay = NewReplayRegister(testTime.Add(time.Millisecond), 10)
		}},
		{"forgotten", ReasonReplayed, true, time.Second, func(s *ServerConfig, c *Config) {
			r := NewReplayRegister(testTime, 1)
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

// RFC 8446, section 8: a hello that is replayed carries no early data the
// second time, whichever server with the same register it goes to.
func TestServerReplay(t *testing.T) {
	cfg, client, _ := serverSetup(t)
	allowEarlyData(cfg)
	session := firstSession(t, cfg, client)
	first := newPair(t, cfg, resume(client, session, time.Second, true), "transfer")
	first.now = testTime.Add(time.Second)
	flight := first.c.AppendOutput(nil)
	for i, after := range []time.Duration{0, 0, time.Second, 9 * time.Second, 12 * time.Second, time.Hour} {
		s, err := NewServer(cfg)
		if err != nil {
			t.Fatal(err)
		}
		s.Feed(flight)
		p := &pair{s: s, now: first.now.Add(after)}
		if err := p.nextServer(); err != nil {
			t.Fatal(err)
		}
		if accepted := i == 0; (s.EarlyData() == EarlyAccepted) != accepted || (string(p.early) == "transfer") != accepted {
			t.Errorf("time %d, after %v: %v, %q", i, after, s.EarlyReason(), p.early)
		}
	}
}

// RFC 8446, section 8.1: "The simplest form of anti-replay defense is for the server
// to only allow each session ticket to be used once." A second hello with it is
// no copy of the first, and its early data is refused nevertheless, however late it comes.
func TestServerTicketTwice(t *testing.T) {
	cfg, client, _ := serverSetup(t)
	allowEarlyData(cfg)
	session := firstSession(t, cfg, client)
	for i, age := range []time.Duration{0, time.Second, 21 * time.Second, time.Hour, MaxSessionLifetime} {
		p := newPair(t, cfg, resume(client, session, age, true), "transfer")
		p.c.cfg.InsecureSkipVerify = true // the certificate may have expired
		p.now = testTime.Add(age)
		if ce, se := p.run(); ce != nil || se != nil || !p.s.ConnectionState().DidResume {
			t.Fatal(ce, se)
		}
		if accepted := i == 0; (p.s.EarlyData() == EarlyAccepted) != accepted || !accepted && p.s.EarlyReason() != ReasonReplayed {
			t.Errorf("after %v: %v", age, p.s.EarlyReason())
		}
	}
}

// The same where WrapSession and UnwrapSession take several tickets for one
// session, such as changed ones of an encryption that does not authenticate.
func TestServerTicketChanged(t *testing.T) {
	cfg, client, _ := serverSetup(t)
	allowEarlyData(cfg).TicketKeys = nil
	cfg.WrapSession = func(_ tls.ConnectionState, s *ServerSession) ([]byte, error) {
		data, err := s.Bytes()
		return append(data, 0), err
	}
	cfg.UnwrapSession = func(ticket []byte, _ tls.ConnectionState) (*ServerSession, error) {
		return ParseServerSession(ticket[:len(ticket)-1])
	}
	session := *firstSession(t, cfg, client)
	for i := range byte(2) {
		session.Ticket[len(session.Ticket)-1] = i
		p := newPair(t, cfg, resume(client, &session, 0, true), "transfer")
		if ce, se := p.run(); ce != nil || se != nil || (p.s.EarlyData() == EarlyAccepted) != (i == 0) {
			t.Errorf("ticket %d: %v, %v, %v", i, ce, se, p.s.EarlyReason())
		}
	}
}

// RFC 8446, section 8.2: servers that are freshly started "run the risk of accepting
// replays which were originally sent" before. What another process gave out may have been
// used with it.
func TestServerStart(t *testing.T) {
	cfg, client, _ := serverSetup(t)
	cfg.TicketKeys.Set([32]byte{1}) // as it was before a restart, too
	allowEarlyData(cfg)
	before := firstSession(t, cfg, client)
	start := testTime.Add(time.Second)
	cfg.AntiReplay = NewReplayRegister(start, 10)
	p := newPair(t, cfg, client, "")
	p.now = start
	if ce, se := p.run(); ce != nil || se != nil {
		t.Fatal(ce, se)
	}
	for _, c := range []struct {
		session *Session
		age     time.Duration
		status  EarlyStatus
	}{{before, time.Hour + time.Second, EarlyRejected}, {p.sessions(t)[0], time.Hour, EarlyAccepted}} {
		p := newPair(t, cfg, resume(client, c.session, c.age, true), "x")
		p.now = start.Add(time.Hour)
		if ce, se := p.run(); ce != nil || se != nil || p.s.EarlyData() != c.status {
			t.Errorf("%v, %v, %v (%v), want %v", ce, se, p.s.EarlyData(), p.s.EarlyReason(), c.status)
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
		for _, body := range []int{0, 17, 18} {
			cfg, client, _ := serverSetup(t)
			allowEarlyData(cfg)
			session := firstSession(t, cfg, client)
			if err := lose(cfg); err != nil {
				t.Fatal(err)
			}
			p := newPair(t, cfg, resume(client, session, 0, true), "")
			p.s.Feed(p.c.AppendOutput(nil))
			if err := p.nextServer(); err != nil {
				t.Fatal(err)
			}
			record := appendPlaintext(nil, recordApplication, versionTLS12, make([]byte, body))
			for range cfg.MaxEarlyData + spareSkipped {
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

func TestReplayRegister(t *testing.T) {
	at := func(s int) time.Time { return testTime.Add(time.Duration(s) * time.Second) }
	r := NewReplayRegister(testTime.Add(999*time.Microsecond), 4) // 2 generations of 2
	for i, step := range []struct {
		id     byte
		issued int
		want   bool
	}{
		{9, -1, false},              // before the start
		{1, 0, true}, {1, 0, false}, // in its millisecond
		{2, 5, true}, {3, 1, true}, // 1 and 2 are the older half
		{1, 0, false}, {2, 5, false}, // still known
		{4, 2, true}, {5, 6, true}, // 1 and 2 are forgotten
		{1, 0, false}, {2, 5, false}, // and so what is as old is refused
		{6, 5, false}, {7, 4, false}, // used or not
		{3, 1, false}, {5, 6, false}, // known, too
		{8, 7, true}, {10, 8, true}, // 3 and 4 are forgotten, which are older still
		{11, 6, true}, {12, 5, false},
		{13, 7, true},                 // 5 and 8 are forgotten
		{14, 7, false}, {15, 8, true}, // and so what is as old as 8 is refused
	} {
		if got := r.Use([32]byte{step.id}, at(step.issued)); got != step.want {
			t.Errorf("step %d: ticket %d of %d s: %v", i, step.id, step.issued, got)
		}
		if n := len(r.current.ids) + len(r.previous.ids); n > 4 {
			t.Fatalf("%d uses are held", n)
		}
	}
}

// The zero value knows nothing of what was used before it, so nothing is new to
// it.
func TestZeroReplayRegister(t *testing.T) {
	if new(ReplayRegister).Use([32]byte{}, testTime) {
		t.Error("a use was accepted")
	}
}
