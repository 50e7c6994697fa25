package tlstfo

import (
	"bytes"
	"container/list"
	"slices"
	"sync"
)

const (
	defaultSessionHosts = 256 // keys of the cache in memory
	ticketsPerKey       = 8   // tickets at hand for one key: the newest ones
)

// A SessionCache keeps the tickets of servers from one connection to the next. Its methods may be called by several goroutines
// at once, on the way of a dial: they must neither block for long nor fail it.
//
// The keys are opaque and may name hosts. Two dials get the same key only if either may use the other's tickets.
//
// Two more methods are used where a cache has them, as those of this package do:
//
//	Len(key string) int       // how many tickets are at hand
//	Peek(key string) *Session // what Take would return, and leaves it there; nil if there is none
//
// Without Len, Conn.Close does not know whether there are enough tickets, and waits for those of every connection. Without
// Peek, Dialer.NextProto takes a ticket and puts it back, so that a dial beside it may miss it.
type SessionCache interface {
	// Put adds a ticket. Further ones with the same key do not replace it: a server gives several, each for one use.
	Put(key string, s *Session)
	// Take removes and returns a ticket, preferably the newest; nil if there is none. No other Take, by whomever, may
	// return the same one: a ticket that is used twice lets onlookers link the connections (RFC 8446, appendix C.4), and
	// the server takes the early data of the second for a replay.
	Take(key string) *Session
}

// A sessionCounter is a SessionCache that can say how many tickets it has at hand for a key.
type sessionCounter interface{ Len(key string) int }

// A sessionPeeker is a SessionCache that can show the next ticket.
type sessionPeeker interface{ Peek(key string) *Session }

var (
	_ sessionCounter = (*memorySessions)(nil)
	_ sessionCounter = (*FileSessions)(nil)
	_ sessionPeeker  = (*memorySessions)(nil)
	_ sessionPeeker  = (*FileSessions)(nil)
)

// NewSessionCache returns a SessionCache in memory. It keeps the tickets of the given number of keys, 256 if that is not positive,
// and forgets those of the key that was not used for the longest time; of one key it keeps the 8 newest. Expired ones are dropped.
func NewSessionCache(hosts int) SessionCache {
	if hosts <= 0 {
		hosts = defaultSessionHosts
	}
	return &memorySessions{hosts: hosts, keys: make(map[string]*list.Element)}
}

type memorySessions struct {
	clock clock
	hosts int

	mu     sync.Mutex
	keys   map[string]*list.Element // of recent
	recent list.List                // of *hostSessions; the one used last comes first
}

// hostSessions are the sessions of one key, the newest first, never none.
type hostSessions struct {
	key      string
	sessions []*Session
}

func (m *memorySessions) Put(key string, s *Session) {
	now := m.clock.now()
	if s == nil || s.expired(now) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.fresh(key, now)
	if h == nil {
		h = &hostSessions{key: key}
		m.keys[key] = m.recent.PushFront(h)
	}
	h.add(s)
	for len(m.keys) > m.hosts {
		m.drop(m.recent.Back())
	}
}

func (m *memorySessions) Take(key string) *Session {
	now := m.clock.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.fresh(key, now)
	if h == nil {
		return nil
	}
	s := h.sessions[0]
	h.sessions = slices.Delete(h.sessions, 0, 1)
	if len(h.sessions) == 0 {
		m.drop(m.keys[key])
	}
	return s
}

// Peek returns the ticket that Take would return, and leaves it there.
func (m *memorySessions) Peek(key string) *Session {
	now := m.clock.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if h := m.fresh(key, now); h != nil {
		return h.sessions[0]
	}
	return nil
}

// Len is the number of tickets at hand for key.
func (m *memorySessions) Len(key string) int {
	now := m.clock.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if h := m.fresh(key, now); h != nil {
		return len(h.sessions)
	}
	return 0
}

// fresh drops the expired sessions of key and returns the others, nil if there are none. The key counts as used.
func (m *memorySessions) fresh(key string, now stamp) *hostSessions {
	e := m.keys[key]
	if e == nil {
		return nil
	}
	h := e.Value.(*hostSessions)
	h.sessions = slices.DeleteFunc(h.sessions, func(s *Session) bool { return s.expired(now) })
	if len(h.sessions) == 0 {
		m.drop(e)
		return nil
	}
	m.recent.MoveToFront(e)
	return h
}

func (m *memorySessions) drop(e *list.Element) {
	delete(m.keys, m.recent.Remove(e).(*hostSessions).key)
}

// add puts s where its age belongs, for a ticket that was taken and not used comes back. One that is there already stays single.
func (h *hostSessions) add(s *Session) {
	same := func(other *Session) bool { return bytes.Equal(other.hs.Ticket, s.hs.Ticket) }
	if slices.ContainsFunc(h.sessions, same) {
		return
	}
	i := slices.IndexFunc(h.sessions, func(other *Session) bool { return !other.received.wall.After(s.received.wall) })
	if i < 0 {
		i = len(h.sessions)
	}
	h.sessions = slices.Insert(h.sessions, i, s)
	if len(h.sessions) > ticketsPerKey {
		h.sessions = slices.Delete(h.sessions, ticketsPerKey, len(h.sessions))
	}
}
