package handshake

import (
	"sync"
	"time"
)

// AntiReplay decides whether early data is new. All servers that open the same
// tickets must ask one and the same, or early data can be replayed to another
// one of them (RFC 8446, section 8). It must be safe for concurrent use.
type AntiReplay interface {
	// Use takes note of id, which stands for one ticket, and returns true if it
	// is certain that id was never used before. The hello that carries it would be
	// taken as fresh from notBefore until notAfter and never again, so earlier
	// uses lie in that span and the id may be forgotten after it. Where the
	// span begins before the memory does, Use must return false, and also where
	// a clock that was set back makes a hello fresh whose use was forgotten. All who
	// ask must have the same FreshnessWindow.
	Use(id [32]byte, now, notBefore, notAfter time.Time) bool
}

// ReplayRegister is an AntiReplay in memory. It remembers a bounded number of
// uses, and refuses early data, rather than forget one, when it is full.
type ReplayRegister struct {
	start time.Time
	half  int

	mu sync.Mutex
	// Uses are noted in current. When it is full and all of previous are
	// over, it becomes previous.
	current, previous           map[[32]byte]struct{}
	currentUntil, previousUntil time.Time
	// forgotten is when the last of the uses that are not held any more was
	// over. A hello that was over by then may have been used.
	forgotten time.Time
}

// NewReplayRegister returns a register whose memory begins at start, which is
// the present, and holds up to limit uses, some 100 bytes each. A use is held
// at least until its hello cannot be fresh any more, which is two freshness
// windows; so half the limit in so much time is always possible. Make the
// register before the first ticket key: early data that may be older is
// refused.
func NewReplayRegister(start time.Time, limit int) *ReplayRegister {
	return &ReplayRegister{start: start, half: max(limit/2, 1), current: make(map[[32]byte]struct{})}
}

// Use is AntiReplay's.
func (r *ReplayRegister) Use(id [32]byte, now, notBefore, notAfter time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if notBefore.Before(r.start) {
		return false // section 8.2: it may have been used before the start
	}
	if now.After(r.previousUntil) {
		r.previous = nil
		r.forget(r.previousUntil)
	}
	if now.After(r.currentUntil) {
		clear(r.current)
		r.forget(r.currentUntil)
	}
	if !notAfter.After(r.forgotten) {
		return false // fresh again only because the clock was set back
	}
	_, used := r.current[id]
	if !used {
		_, used = r.previous[id]
	}
	if used {
		return false
	}
	if len(r.current) >= r.half {
		if r.previous != nil {
			return false
		}
		r.previous, r.previousUntil = r.current, r.currentUntil
		r.current, r.currentUntil = make(map[[32]byte]struct{}), time.Time{}
	}
	r.current[id] = struct{}{}
	if notAfter.After(r.currentUntil) {
		r.currentUntil = notAfter
	}
	return true
}

// forget notes that the uses that were over at until are not held any more.
func (r *ReplayRegister) forget(until time.Time) {
	if until.After(r.forgotten) {
		r.forgotten = until
	}
}
