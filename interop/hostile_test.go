package interop

import (
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"
)

// table is where the long run of TestHostile writes its page.
var table = flag.String("hostile-table", "", "make TestHostile a long run, and write its table to this `file`, in Markdown")

const (
	tries     = 8  // of what a busy machine may spoil
	manyDials = 10 // of a client in a long run
	fewRuns   = 3  // in a long run
	manyRuns  = 15 // where a fault is random
)

// TestHostile: whatever becomes of Fast Open on the way, a request succeeds where one of net/http does, reaches the application
// once, takes hardly longer, the first time, and no longer from then on.
func TestHostile(t *testing.T) {
	for _, h := range hazards() {
		short := func(name, before, method string, dials int) {
			t.Run(h.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				if h.random {
					meet(t, h, before, method, dials, 0)
					return
				}
				inTime(t, h, before, method, dials, 1, nil)
			})
		}
		short("GET", warm, "GET", 3)
		short("POST", warm, "POST", 3)
		if h.cold {
			short("cold", cold, "GET", 2)
		}
	}
}

// TestHostileTable is the long run: every hazard, whatever the client has before, and where chance rules often. It writes a page.
func TestHostileTable(t *testing.T) {
	if *table == "" {
		t.Skip("takes minutes; wants -hostile-table=file")
	}
	p := newPage()
	t.Run("all", func(t *testing.T) {
		for _, h := range hazards() {
			for _, before := range []string{cold, cookie, warm} {
				for _, method := range []string{"GET", "POST"} {
					cell := p.cell(h, before, method)
					t.Run(fmt.Sprint(h.name, "/", before, "/", method), func(t *testing.T) {
						t.Parallel()
						cell.fill(t)
					})
				}
			}
		}
	})
	if err := p.write(*table); err != nil {
		t.Fatal(err)
	}
}

// fill meets what the cell is about.
func (c *cell) fill(t *testing.T) {
	if !c.random {
		best := inTime(t, c.hazard, c.before, c.method, manyDials, fewRuns, c.add)
		c.fresh, c.later = []time.Duration{best.fresh}, []time.Duration{best.later}
		if len(best.dials) > 0 {
			c.first, c.last = best.dials[max(best.first, 0):][:1], best.dials[len(best.dials)-1:]
		}
		return
	}
	for seed := range uint64(manyRuns) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			m := meet(t, c.hazard, c.before, c.method, manyDials, seed)
			c.add(m)
			std, dials := firstBytes(m.std), firstBytes(m.dials)
			c.fresh, c.later = append(c.fresh, std...), append(c.later, std...)
			c.first, c.last = append(c.first, dials[0]), append(c.last, dials[1:]...)
		})
	}
	c.check(t)
}

// check compares medians: the first dial and those from the second on with net/http's requests under the same seeds.
func (c *cell) check(t *testing.T) {
	t.Helper()
	if first, most := median(c.first), median(c.fresh)+mostLost+margin; first > most {
		t.Errorf("the first dial takes %v, at most %v; net/http %v", first, most, median(c.fresh))
	}
	if last, most := median(c.last), time.Duration(mostRatio*float64(median(c.later)))+margin; last > most {
		t.Errorf("a later dial takes %v, at most %v; net/http %v", last, most, median(c.later))
	}
}

func median(d []time.Duration) time.Duration { return quantile(d, 0.5) }

func quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(d))[int(q*float64(len(d)-1)+0.5)]
}
