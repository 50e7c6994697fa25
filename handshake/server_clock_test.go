package handshake

import (
	"testing"
	"time"
)

// A clock that runs ahead for a while makes the register forget, and then, set
// back, makes old hellos fresh again: their early data must not be taken twice.
func TestServerClockSetBack(t *testing.T) {
	cfg, client, _ := serverSetup(t)
	allowEarlyData(cfg)
	replayed := mustClient(t, resume(client, firstSession(t, cfg, client), time.Second, true))
	if _, err := replayed.WriteEarly([]byte("transfer")); err != nil {
		t.Fatal(err)
	}
	flight := replayed.AppendOutput(nil)
	accepted := func(flight []byte, now time.Time) bool {
		s, err := NewServer(cfg)
		if err != nil {
			t.Fatal(err)
		}
		s.Feed(flight)
		p := &pair{s: s, now: now}
		if err := p.nextServer(); err != nil {
			t.Fatal(err)
		}
		return s.EarlyData() == EarlyAccepted
	}
	fresh := func(age time.Duration) []byte {
		return mustClient(t, resume(client, firstSession(t, cfg, client), age, true)).AppendOutput(nil)
	}
	if !accepted(flight, testTime.Add(time.Second)) {
		t.Fatal("the first time was refused")
	}
	if !accepted(fresh(time.Hour), testTime.Add(time.Hour)) {
		t.Fatal("an hour later nothing is accepted")
	}
	if accepted(flight, testTime.Add(time.Second)) {
		t.Error("the clock was set back, and a replay was accepted")
	}
	if !accepted(fresh(time.Hour+time.Second), testTime.Add(time.Hour+time.Second)) {
		t.Error("the clock is right again, and nothing is accepted")
	}
}

// Tickets that a server gives, or takes, while its clock is behind that of the
// full handshake have no lifetime above seven days, and none at all once the
// clock was wrong by more than that (section 4.6.1).
func TestServerTicketsClockSetBack(t *testing.T) {
	cfg, client, _ := serverSetup(t)
	session := firstSession(t, cfg, client)
	for _, c := range []struct {
		back    time.Duration
		resumed bool
	}{{time.Hour, true}, {MaxSessionLifetime + time.Hour, false}} {
		again := resume(client, session, 0, false)
		again.InsecureSkipVerify = true // the certificate is not yet valid
		p := newPair(t, cfg, again, "")
		p.now = testTime.Add(-c.back)
		if ce, se := p.run(); ce != nil || se != nil {
			t.Fatal(ce, se)
		}
		if p.s.ConnectionState().DidResume != c.resumed {
			t.Errorf("%v back: resumed %v", c.back, !c.resumed)
		}
		for _, s := range p.sessions(t) {
			if s.Lifetime > MaxSessionLifetime {
				t.Errorf("%v back: a ticket for %v", c.back, s.Lifetime)
			}
		}
	}
}
