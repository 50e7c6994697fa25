package interop

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

const (
	mostLost  = 300 * time.Millisecond // by the first meeting, to net/http
	mostRatio = 1.05                   // to net/http afterwards
	margin    = rtt / 4                // for the machine: far less than a round trip
)

// times are the times to the first byte of a meeting, or the least of several ones: where nothing is random the machine only adds.
type times struct {
	fresh, later time.Duration // net/http's first request, and its second
	dials        []time.Duration
	first        int // the first dial that met the hazard; -1: none did
}

// inTime meets a hazard that is not random, so often that every request was in time once, and at least some times. It calls each, which may be nil, for every meeting.
func inTime(t *testing.T, h hazard, before, method string, dials, atLeast int, each func(*meeting)) (best times) {
	t.Helper()
	late, packets := "disturbed", ""
	for i := range tries {
		m := meet(t, h, before, method, dials, 0)
		if t.Failed() {
			return best
		}
		if m.disturbed {
			continue
		}
		if each != nil {
			each(m)
		}
		best = best.merge(m.took())
		var dial int
		if dial, late = best.late(); late == "" && i+1 >= atLeast {
			return best
		}
		packets = m.dials[dial].all.String()
	}
	t.Errorf("in %d attempts: %s; the last one:\n%s", tries, late, packets)
	return best
}

func (m *meeting) took() times {
	return times{m.std[0].toFirstByte(), m.std[1].toFirstByte(), firstBytes(m.dials), m.first}
}

func firstBytes(xs []*exchange) (d []time.Duration) {
	for _, x := range xs {
		d = append(d, x.toFirstByte())
	}
	return d
}

// merge returns the least of both; nothing of a zero value counts.
func (t times) merge(u times) times {
	if t.dials == nil || t.first != u.first { // on a busy machine another dial may have met it first
		return u
	}
	t.fresh, t.later, t.dials = min(t.fresh, u.fresh), min(t.later, u.later), slices.Clone(t.dials)
	for i := range t.dials {
		t.dials[i] = min(t.dials[i], u.dials[i])
	}
	return t
}

// late tells which dial was slower than it may be, and why; "" if none was.
func (t times) late() (dial int, why string) {
	for i, d := range t.dials {
		limit := time.Duration(mostRatio*float64(t.later)) + margin
		if i == t.first {
			limit = t.fresh + mostLost + margin
		}
		if d > limit {
			return i, fmt.Sprintf("dial %d, the first meeting is %d: %v to the first byte, at most %v; net/http needs %v, then %v", i, t.first, d, limit, t.fresh, t.later)
		}
	}
	return 0, ""
}
