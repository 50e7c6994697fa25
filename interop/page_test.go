package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

	fresh, later []time.Duration // net/http's first request, and its second; both all of them where chance rules
	first, last  []time.Duration // tlstfo's first dial that met the hazard, and its last one; all from the second on where chance rules
	sent         int             // with tlstfo
	arrived      int             // of these
	twice        int             // of these
	stdSent      int
	stdArrived   int
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

// add counts the requests of a meeting.
func (c *cell) add(m *meeting) {
	for _, x := range m.dials {
		c.sent++
		c.arrived += min(m.saw(x), 1)
		if m.saw(x) > 1 {
			c.twice++
		}
	}
	for _, x := range m.std {
		c.stdSent++
		c.stdArrived += min(m.saw(x), 1)
	}
}

// row is a cell's part of a line: four columns.
func (c *cell) row() string {
	if len(c.fresh) == 0 {
		return " | | | failed |"
	}
	trips := func(d []time.Duration) string {
		if c.random {
			return fmt.Sprintf("%.1f (%.1f)", inTrips(median(d)), inTrips(quantile(d, 0.9)))
		}
		return fmt.Sprintf("%.1f", inTrips(d[0]))
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

What networks and servers are known to do to TCP Fast Open, and what becomes of requests then, beside net/http. Made by

    go test ./interop -run TestHostileTable -hostile-table=../docs/hostile-network.md -timeout 1h

between two real kernels, joined by a wire with a round-trip time of %v that commits the faults (%s).
It needs Linux, nginx and some minutes, and fails where a line is worse than it may be:

- every request is answered;
- no POST is seen twice by the application, a GET only where the reason is given below;
- the first dial that meets the fault takes at most 300 ms longer than net/http, every later one at most 1.05 times as long (and a
  quarter of a round trip is the machine's).

Times are round trips from the first SYN to the first byte of the response, by the packet log: of net/http, without a kept connection; of the first dial of
tlstfo that met the fault; of its tenth dial. A GET is given to DialEarly, a POST is written after DialContext. "Requests" says how many of tlstfo's
reached the application, and how many of these it saw twice.

Before the fault begins the client has nothing (cold), or a Fast Open cookie and never a ticket (cookie), or both (cookie + ticket). Who begins cold has a
cookie from the first connection on, so that many faults first meet its second dial.

| | before | GET: net/http | first | tenth | requests | POST: net/http | first | tenth | requests |
|---|---|---|---|---|---|---|---|---|---|
`

const pageFoot = `
Each line is the least of %d runs or more, for a busy machine only adds. Where chance rules it is the median of %d, and in parentheses what nine tenths of them kept; "tenth" is
there every dial from the second to the tenth, and each dial has one of net/http beside it, under the same seed.

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
	fmt.Fprintf(&b, pageFoot, fewRuns, manyRuns)
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
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	kernel, _, _ := strings.Cut(string(release), "-") // without what the distribution adds
	nginx, _ := exec.Command("nginx", "-v").CombinedOutput()
	return fmt.Sprintf("Linux %s, %s", strings.TrimSpace(kernel), strings.TrimSpace(strings.TrimPrefix(string(nginx), "nginx version: ")))
}
