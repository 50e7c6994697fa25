package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// A page is what the long run of TestHostile found.
type page struct {
	order []string
	cells map[string]*cell
}

// A cell is what was found of one hazard, one past and one method.
type cell struct {
	hazard
	before, method string

	mu           sync.Mutex
	fresh, later []time.Duration // net/http's first request, and its second; both all of them where chance rules
	first, last  []time.Duration // tlstfo's first dial that met the hazard, and its last one; all from the second on where chance rules
	sent         int             // with tlstfo
	arrived      int             // of these
	twice        int             // of these
	stdArrived   int
	stdSent      int
}

func newPage() *page { return &page{cells: map[string]*cell{}} }

// cell makes a cell.
func (p *page) cell(h hazard, before, method string) *cell {
	c := &cell{hazard: h, before: before, method: method}
	key := h.name + before
	if method == "GET" {
		p.order = append(p.order, key)
	}
	p.cells[key+method] = c
	return c
}

// add adds a meeting.
func (c *cell) add(m *meeting) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fresh, later, last := m.std[:1], m.std[1:], m.dials[len(m.dials)-1:]
	if m.random {
		fresh, later, last = m.std, m.std, m.dials[1:]
	}
	c.fresh, c.later = append(c.fresh, times(fresh)...), append(c.later, times(later)...)
	c.first, c.last = append(c.first, m.dials[max(m.first, 0)].toFirstByte()), append(c.last, times(last)...)
	for _, x := range m.dials {
		c.sent++
		c.arrived += min(m.times(x), 1)
		if m.times(x) > 1 {
			c.twice++
		}
	}
	for _, x := range m.std {
		c.stdSent++
		c.stdArrived += min(m.times(x), 1)
	}
}

func times(xs []*exchange) (d []time.Duration) {
	for _, x := range xs {
		d = append(d, x.toFirstByte())
	}
	return d
}

// row is a cell's part of a line: four columns.
func (c *cell) row() string {
	trips := func(d []time.Duration) string {
		s := fmt.Sprintf("%.1f", inTrips(median(d)))
		if c.random {
			s += fmt.Sprintf(" (%.1f)", inTrips(quantile(d, 0.9)))
		}
		return s
	}
	std := trips(c.fresh)
	if !c.random && inTrips(c.fresh[0]-c.later[0]) > 1 {
		std += ", then " + trips(c.later)
	}
	came := fmt.Sprintf("%d of %d", c.arrived, c.sent)
	if c.stdArrived != c.stdSent {
		came += fmt.Sprintf(" (net/http %d of %d)", c.stdArrived, c.stdSent)
	}
	if c.twice > 0 {
		came += fmt.Sprintf(", %d twice", c.twice)
	}
	return fmt.Sprintf(" %s | %s | %s | %s |", std, trips(c.first), trips(c.last), came)
}

func inTrips(d time.Duration) float64 { return float64(d) / float64(rtt) }

const pageHead = `# A hostile network

What networks and servers are known to do to TCP Fast Open, and what becomes of requests then. Made by

    go test ./interop -run TestHostileTable -hostile-table=../docs/hostile-network.md -timeout 1h

which needs Linux, nginx and a few minutes, between two kernels with a round-trip time of %v, and fails if a line is worse than it may be: %s.

Times are from the first SYN to the first byte of the response, by the packet log, in round trips: of net/http, which always dials anew here; of tlstfo's first dial that met what the line is
about; of its tenth dial. A GET is given to DialEarly, for it may be repeated; a POST is written after DialContext. "Requests" says how many of tlstfo's reached the
application, and whether it saw one twice.

What the client has before: **cold** is nothing, **cookie** is a Fast Open cookie (and no ticket ever), **cookie + ticket** both. Who dials cold gets both by the first connection, so that it is
seldom the first dial that meets something.

What may be asked of every line, and is: every request is answered; no POST is ever seen twice, a GET only where the reason is given below; the first meeting costs at most 300 ms
more than net/http needs, and every later dial at most 1.05 times what net/http needs.

| | before | GET: net/http | first | tenth | requests | POST: net/http | first | tenth | requests |
|---|---|---|---|---|---|---|---|---|---|
`

const pageFoot = `
Where chance rules, these are medians of %d runs, and in parentheses what nine tenths of them kept; "tenth" is all dials from the second to the tenth; each dial of tlstfo has one
of net/http beside it, and both the same seed.

`

// write writes the page to a file.
func (p *page) write(path string) error {
	var b strings.Builder
	fmt.Fprintf(&b, pageHead, rtt, system())
	name := ""
	for _, key := range p.order {
		get, post := p.cells[key+"GET"], p.cells[key+"POST"]
		line := get.name
		if line == name {
			line = ""
		}
		name = get.name
		fmt.Fprintf(&b, "| %s | %s |%s%s\n", line, get.before, get.row(), post.row())
	}
	fmt.Fprintf(&b, pageFoot, manyRuns)
	marks := map[string]string{"": "", unanswered: " A GET may be seen twice: (a).", replayed: " A GET may be seen twice: (b)."}
	for _, h := range hazards() {
		fmt.Fprintf(&b, "- **%s**: %s.%s\n", h.name, h.does, marks[h.twice])
	}
	fmt.Fprintf(&b, "\n(a) %s.\n\n(b) %s.\n", unanswered, replayed)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

// system names what the page was made with.
func system() string {
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	nginx, _ := exec.Command("nginx", "-v").CombinedOutput()
	return fmt.Sprintf("Linux %s, %s", strings.TrimSpace(string(kernel)), strings.TrimSpace(strings.TrimPrefix(string(nginx), "nginx version: ")))
}
