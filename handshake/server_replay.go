package handshake

import (
	"sync"
	"time"
)

// AntiReplay decides whether early data is new. All servers that open the same
// tickets must ask one and the same, or early data can be replayed to another
// one of them (RFC 8446, section 8). It must be safe for concurrent use.
type AntiReplay interface {
	// Use takes note of id, which stands for one ticket that was given out at
	// issued, and returns true only if it is certain that id was never used
	// before. So it must return false for a ticket that was issued before the
	// memory begins, and where a use may have been forgotten. A ticket is good
	// for MaxSessionLifetime after it was issued.
	Use(id [32]byte, issued time.Time) bool
}

// ReplayRegister is an AntiReplay in memory, by single-use tickets (RFC 8446,
// section 8.1). It remembers a bounded number of uses. To forget the older half
// of them it refuses, from then on, all tickets that are as old as one of those.
// It reads no clock, so that a wrong one cannot make it accept a ticket twice.
// The zero value remembers nothing and refuses everything.
type ReplayRegister struct {
	half int // of the limit

	mu                sync.Mutex
	current, previous generation
	// forgotten is when the youngest ticket was issued whose use may not be
	// known any more.
	forgotten time.Time
}

// generation is a set of tickets that were used.
type generation struct {
	ids      map[[32]byte]struct{}
	youngest time.Time // when the last of them was issued
}

// NewReplayRegister returns a register whose memory begins at start, which is
// the present, and holds up to limit uses, some 100 bytes each. What was issued
// before, by a process that had the same ticket keys, is refused, and so is what
// was issued in the same millisecond. A ticket can carry early data until half of
// limit others have done so at least, and all of limit at most.
func NewReplayRegister(start time.Time, limit int) *ReplayRegister {
	return &ReplayRegister{
		half:      max(limit/2, 1),
		current:   generation{ids: make(map[[32]byte]struct{})},
		forgotten: start.Truncate(time.Millisecond), // as exact as the time in a ticket
	}
}

// Use is AntiReplay's.
func (r *ReplayRegister) Use(id [32]byte, issued time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.half == 0 || !issued.After(r.forgotten) || r.current.has(id) || r.previous.has(id) {
		return false
	}
	if len(r.current.ids) >= r.half {
		if r.previous.youngest.After(r.forgotten) {
			r.forgotten = r.previous.youngest
		}
		r.previous, r.current = r.current, generation{ids: make(map[[32]byte]struct{})}
	}
	r.current.ids[id] = struct{}{}
	if issued.After(r.current.youngest) {
		r.current.youngest = issued
	}
	return true
}

func (g *generation) has(id [32]byte) bool {
	_, ok := g.ids[id]
	return ok
}
