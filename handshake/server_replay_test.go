package handshake

import (
	"crypto/tls"
	"testing"
	"time"
)

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
	cfg.AntiReplay = NewReplayRegister(start.Add(-time.Millisecond), 10)
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

func TestReplayRegister(t *testing.T) {
	at := func(s int) time.Time { return testTime.Add(time.Duration(s) * time.Second) }
	r := NewReplayRegister(testTime.Add(-time.Microsecond), 4) // 2 generations of 2
	for i, step := range []struct {
		id     byte
		issued int
		want   bool
	}{
		{9, -1, false}, // before the start
		{1, 0, true}, {1, 0, false},
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

// A ticket says only in which millisecond it was issued. One of that in which the
// register starts can have been used before.
func TestReplayRegisterMillisecond(t *testing.T) {
	r := NewReplayRegister(testTime.Add(999*time.Microsecond), 4)
	for issued, want := range map[time.Duration]bool{0: false, time.Millisecond - 1: false, time.Millisecond: true} {
		if got := r.Use([32]byte{byte(issued)}, testTime.Add(issued).Truncate(time.Millisecond)); got != want {
			t.Errorf("issued %v after the millisecond began: %v", issued, got)
		}
	}
}

// RFC 8446, section 8.1: early data that was refused, whatever for, is not
// accepted later from somebody who recorded it.
func TestRefusedForGood(t *testing.T) {
	for name, refuse := range map[string]func(*ServerConfig){
		"not fresh yet": func(cfg *ServerConfig) { cfg.FreshnessWindow = time.Millisecond },
		"retried":       func(cfg *ServerConfig) { cfg.Groups = []tls.CurveID{tls.CurveP384} },
		"ALPN":          func(cfg *ServerConfig) { cfg.NextProtos = []string{"other"} },
	} {
		cfg, client, _ := serverSetup(t)
		allowEarlyData(cfg)
		client.NextProtos, cfg.NextProtos = []string{"one", "other"}, []string{"one"}
		early := resume(client, firstSession(t, cfg, client), time.Second, true)
		changed := *cfg
		refuse(&changed)
		refused := newPair(t, &changed, early, "transfer")
		if ce, se := refused.run(); ce != nil || se != nil || refused.s.EarlyData() != EarlyRejected {
			t.Errorf("%s: %v, %v, %v", name, ce, se, refused.s.EarlyData())
		}
		again := newPair(t, cfg, early, "transfer")
		again.now = testTime.Add(time.Second)
		again.run()
		if again.s.EarlyReason() != ReasonReplayed {
			t.Errorf("%s: afterwards %v (%v)", name, again.s.EarlyData(), again.s.EarlyReason())
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
