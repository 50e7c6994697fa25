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
	tries     = 5  // of what a busy machine may spoil
	manyDials = 10 // of a client in a long run
	manyRuns  = 15 // in a long run, where a fault is random
)

// TestHostile: whatever becomes of Fast Open on the way, a request succeeds where one of net/http does, reaches the application
// once, takes hardly longer, the first time, and no longer from then on.
func TestHostile(t *testing.T) {
	for _, h := range hazards() {
		for _, method := range []string{"GET", "POST"} {
			t.Run(h.name+"/"+method, func(t *testing.T) {
				t.Parallel()
				inTime(t, h, warm, method, 3)
			})
		}
		if h.cold {
			t.Run(h.name+"/cold", func(t *testing.T) {
				t.Parallel()
				inTime(t, h, cold, "GET", 2)
			})
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
						if !h.random {
							cell.add(inTime(t, h, before, method, manyDials))
							return
						}
						for seed := range uint64(manyRuns) {
							t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { cell.add(meet(t, h, before, method, manyDials, seed)) })
						}
						cell.check(t)
					})
				}
			}
		}
	})
	if err := p.write(*table); err != nil {
		t.Fatal(err)
	}
}

// inTime is meet, until everything is in time. What is random is as it is.
func inTime(t *testing.T, h hazard, before, method string, n int) (m *meeting) {
	t.Helper()
	var late string
	for range tries {
		m = meet(t, h, before, method, n, 1)
		if late = m.late(); late == "" || h.random || t.Failed() {
			return m
		}
		t.Log(late)
	}
	t.Errorf("in %d attempts: %s", tries, late)
	return m
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
