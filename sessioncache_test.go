package tlstfo

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// testMemory is a cache in memory whose clock stands at now.
func testMemory(hosts int, now *stamp) *memorySessions {
	m := NewSessionCache(hosts).(*memorySessions)
	m.clock.read = func() stamp { return *now }
	return m
}

func ticketOf(s *Session) string {
	if s == nil {
		return ""
	}
	return string(s.hs.Ticket)
}

func TestMemorySessionsSingleUse(t *testing.T) {
	now := at(0)
	m := testMemory(0, &now)
	m.Put("a", testSession(t, "1", at(-2*time.Second)))
	m.Put("a", testSession(t, "3", at(0)))
	m.Put("a", testSession(t, "2", at(-time.Second)))
	m.Put("b", testSession(t, "b", at(0)))
	m.Put("a", nil)
	if m.Len("a") != 3 || m.Len("b") != 1 || m.Len("c") != 0 {
		t.Fatalf("Len %d %d %d, want 3 1 0", m.Len("a"), m.Len("b"), m.Len("c"))
	}
	for _, want := range []string{"3", "2", "1", ""} {
		if got := ticketOf(m.Peek("a")); got != want {
			t.Errorf("Peek gave %q, want %q", got, want)
		}
		if got := ticketOf(m.Take("a")); got != want {
			t.Errorf("Take gave %q, want %q", got, want)
		}
	}
	if m.Len("a") != 0 || len(m.keys) != 1 || m.recent.Len() != 1 {
		t.Errorf("an empty key stays: %d keys, %d in the list", len(m.keys), m.recent.Len())
	}
}

// A ticket that was taken and not used goes back to where it was; one that is there stays single.
func TestMemorySessionsPutBack(t *testing.T) {
	now := at(0)
	m := testMemory(0, &now)
	older, newer := testSession(t, "older", at(-time.Second)), testSession(t, "newer", at(0))
	m.Put("a", newer)
	m.Put("a", older)
	s := m.Take("a")
	m.Put("a", s)
	m.Put("a", s)
	m.Put("a", older)
	if m.Len("a") != 2 {
		t.Errorf("Len %d, want 2", m.Len("a"))
	}
	for _, want := range []string{"newer", "older", ""} {
		if got := ticketOf(m.Take("a")); got != want {
			t.Errorf("Take gave %q, want %q", got, want)
		}
	}
}

func TestMemorySessionsBounds(t *testing.T) {
	now := at(0)
	m := testMemory(3, &now)
	for i := range ticketsPerKey + 1 {
		m.Put("a", testSession(t, fmt.Sprint(i), at(time.Duration(i)*time.Millisecond)))
	}
	if m.Len("a") != ticketsPerKey {
		t.Errorf("Len %d, want %d", m.Len("a"), ticketsPerKey)
	}
	if got := ticketOf(m.Take("a")); got != fmt.Sprint(ticketsPerKey) {
		t.Errorf("the newest was dropped: Take gave %q", got)
	}
	for _, key := range []string{"b", "c", "a", "d"} { // a is used again before d needs room: b goes
		m.Put(key, testSession(t, "of "+key, at(time.Second)))
	}
	if m.Len("a") == 0 || m.Len("b") != 0 || m.Len("c") != 1 || m.Len("d") != 1 {
		t.Errorf("Len a %d b %d c %d d %d, want b forgotten alone", m.Len("a"), m.Len("b"), m.Len("c"), m.Len("d"))
	}
	m.Take("c")
	m.Put("e", testSession(t, "e", at(0)))
	if m.Len("a") == 0 || m.Len("d") != 1 || m.Len("e") != 1 {
		t.Error("a key was forgotten although an emptied one had made room")
	}
}

func TestMemorySessionsExpiry(t *testing.T) {
	now := at(0)
	m := testMemory(0, &now)
	long := testSession(t, "long", at(0))
	long.hs.Lifetime = 2 * time.Hour
	m.Put("a", testSession(t, "short", at(time.Second)))
	m.Put("a", long)
	now = at(90 * time.Minute)
	m.Put("a", testSession(t, "expired", at(0)))
	if m.Len("a") != 1 {
		t.Errorf("Len %d, want 1", m.Len("a"))
	}
	if got := ticketOf(m.Take("a")); got != "long" {
		t.Errorf("Take gave %q, want the one that lives", got)
	}
	m.Put("a", long)
	now = at(2 * time.Hour)
	if s := m.Take("a"); s != nil || len(m.keys) != 0 {
		t.Errorf("Take gave %q, %d keys left", ticketOf(s), len(m.keys))
	}
}

func TestMemorySessionsConcurrent(t *testing.T) {
	takeEachOnce(t, NewSessionCache(0), 8, 4)
}

// takeEachOnce lets goroutines put and take in one key at once, and checks that each ticket comes out once at most, and all do.
func takeEachOnce(t *testing.T, c SessionCache, perKey, rounds int) {
	var clk clock
	now := clk.now()
	for round := range rounds {
		var sessions []*Session
		for i := range perKey {
			sessions = append(sessions, testSession(t, fmt.Sprintf("%d of round %d", i, round), now))
		}
		var mu sync.Mutex
		taken := make(map[string]int)
		take := func() {
			if s := c.Take("key"); s != nil {
				mu.Lock()
				taken[ticketOf(s)]++
				mu.Unlock()
			}
		}
		var wg sync.WaitGroup
		for _, s := range sessions {
			wg.Go(func() { c.Put("key", s); take() })
			wg.Go(take)
		}
		wg.Wait()
		for range perKey {
			take()
		}
		if len(taken) != perKey {
			t.Fatalf("%d tickets came out of %d", len(taken), perKey)
		}
		for ticket, n := range taken {
			if n != 1 {
				t.Fatalf("ticket %s was taken %d times", ticket, n)
			}
		}
	}
}
