package tlstfo

import (
	"sync"
	"time"
)

// maxClockGap is how far the wall clock and the running clock may drift apart over the life of a ticket before its age is no
// longer believed. One of them was set, or the machine was paused behind their backs: nobody can tell which is right.
const maxClockGap = time.Second

// A stamp is one moment, read from the clocks that the age of a ticket is measured with.
type stamp struct {
	wall time.Time // may carry Go's monotonic reading

	// boot is the time since the machine started, suspends included where the system can count them. It means something
	// only beside the bootID of the same start; without one (bootID is "") it is zero.
	boot   time.Duration
	bootID string
}

// A clock reads stamps. The zero value reads the system's clocks; it must not be copied after first use and is safe for
// concurrent use.
type clock struct {
	read func() stamp // what tests put in place of the system's clocks

	once sync.Once
	id   string
}

func (c *clock) now() stamp {
	if c.read != nil {
		return c.read()
	}
	c.once.Do(func() { c.id = bootID() })
	s := stamp{wall: time.Now()}
	if c.id == "" {
		return s
	}
	if boot, ok := bootTime(); ok {
		s.boot, s.bootID = boot, c.id
	}
	return s
}

// age is the time from then to now. It is trusted only if the running clock and the wall clock tell the same story within
// [maxClockGap]; an age that is not trusted comes from the wall clock, and is never negative.
func (then stamp) age(now stamp) (age time.Duration, trusted bool) {
	wall := then.wallAge(now)
	running, ok := then.running(now)
	if ok && running >= 0 && (wall-running).Abs() <= maxClockGap {
		return running, true
	}
	return max(wall, 0), false
}

// wallAge is the time from then to now by the wall clock alone: negative if it was set back in between.
func (then stamp) wallAge(now stamp) time.Duration {
	return wallSince(then.wall, now)
}

// wallSince is the time from t to now by the wall clock. Without Round, Sub would take Go's monotonic readings where both have
// one, and on Linux these stand still while the machine is suspended.
func wallSince(t time.Time, now stamp) time.Duration {
	return now.wall.Round(0).Sub(t.Round(0))
}

// running is the time from then to now on a clock that cannot be set; ok is false if no such clock saw both.
func (then stamp) running(now stamp) (d time.Duration, ok bool) {
	switch {
	case then.bootID != now.bootID:
		return 0, false
	case now.bootID != "":
		return now.boot - then.boot, true
	case monotonic(then.wall) && monotonic(now.wall):
		// This system names no boot. Within one process Go's own monotonic clock serves: if it stands still during a
		// suspend, the wall clock disagrees with it afterwards.
		return now.wall.Sub(then.wall), true
	}
	return 0, false
}

// monotonic says whether t carries Go's monotonic reading, which Round(0) strips.
func monotonic(t time.Time) bool { return t != t.Round(0) }
