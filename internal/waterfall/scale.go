package waterfall

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

// scale maps time to height, in round trips. Times in which nothing happens
// are cut out.
type scale struct {
	rtt  time.Duration
	end  time.Duration
	gaps []gap
}

// gap is a time that is cut out.
type gap struct{ from, to time.Duration }

const (
	gapHeight = 0.5  // of a cut, in round trips
	gapMargin = 0.25 // of what is left around it
)

// newScale has room for all of the waterfalls, with one round-trip time.
func newScale(all []*Waterfall) *scale {
	s := &scale{rtt: time.Millisecond}
	var busy []gap
	for _, w := range all {
		s.rtt = max(s.rtt, w.RTT)
		for _, f := range w.Flights {
			arrival := f.arrival(w.RTT)
			busy = append(busy, gap{f.Sent, min(arrival, f.Sent+w.RTT)}, gap{max(f.Sent, arrival-w.RTT/4), arrival})
		}
	}
	slices.SortFunc(busy, func(a, b gap) int { return int(a.from - b.from) })
	margin := time.Duration(gapMargin * float64(s.rtt))
	for _, b := range busy {
		if idle := b.from - s.end; idle > 2*margin+s.rtt {
			s.gaps = append(s.gaps, gap{s.end + margin, b.from - margin})
		}
		s.end = max(s.end, b.to)
	}
	return s
}

// arrival is when a flight is, or would have been, at the other end.
func (f Flight) arrival(rtt time.Duration) time.Duration {
	if f.Delivered > 0 {
		return f.Delivered
	}
	return f.Sent + rtt/2
}

// at returns the height of a time.
func (s *scale) at(t time.Duration) float64 {
	height := float64(t) / float64(s.rtt)
	for _, g := range s.gaps {
		if t <= g.from {
			break
		}
		out := min(t, g.to) - g.from
		height -= float64(out) / float64(s.rtt) * (1 - gapHeight*float64(s.rtt)/float64(g.to-g.from))
	}
	return height
}

// tick is a mark on the time axis.
type tick struct {
	height float64
	time   string
	trips  string // "" for halves
}

func (s *scale) ticks() []tick {
	var ticks []tick
	for k := 0; ; k++ {
		t := time.Duration(k) * s.rtt / 2
		if t > s.end+s.rtt/8 {
			return ticks
		}
		if slices.ContainsFunc(s.gaps, func(g gap) bool { return g.from < t && t < g.to }) {
			continue
		}
		mark := tick{height: s.at(t), time: milliseconds(t)}
		if k%2 == 0 && k > 0 {
			mark.trips = fmt.Sprintf("%d RTT", k/2)
		}
		ticks = append(ticks, mark)
	}
}

// milliseconds has as many decimals as a picture needs.
func milliseconds(t time.Duration) string {
	ms := float64(t) / float64(time.Millisecond)
	if ms < 10 && t%time.Millisecond != 0 {
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.0f ms", ms)
}

// result says in words what a waterfall came to.
func (w *Waterfall) result() string {
	switch {
	case w.Failure != "" && w.Response < 0:
		return "no response: " + w.Failure
	case w.Response < 0:
		return "no response"
	case w.Turns == 1:
		return "1 round trip, " + milliseconds(w.Response)
	}
	return fmt.Sprintf("%d round trips, %s", w.Turns, milliseconds(w.Response))
}

// tone is the colour of a kind of part.
type tone uint8

const (
	tonePlain tone = iota
	toneDim
	toneHello
	toneRequest
	toneResponse
	toneTicket
	toneFault
	tones
)

func (k Kind) tone() tone {
	switch k {
	case Hello, Finish:
		return toneHello
	case Early, Request:
		return toneRequest
	case Response:
		return toneResponse
	case Ticket:
		return toneTicket
	case Control:
		return toneFault
	}
	return tonePlain
}

// tone is that of the flight's arrow: of the part that matters most.
func (f Flight) tone() tone {
	if f.Fault != "" && (f.Fate == netlab.Dropped || f.Made) {
		return toneFault
	}
	for _, t := range []tone{toneResponse, toneRequest, toneHello, toneFault, toneTicket} {
		if slices.ContainsFunc(f.Parts, func(p Part) bool { return p.Kind.tone() == t }) {
			return t
		}
	}
	return tonePlain
}

// word is a piece of a label.
type word struct {
	text string
	tone tone
}

// label names what is in a flight and what became of it.
func (w *Waterfall) label(f Flight) []word {
	var words []word
	if f.Made {
		words = append(words, word{"from the wire:", toneFault})
	}
	again := true
	for _, p := range f.Parts {
		again = again && p.Again
	}
	words = append(words, partWords(f.Parts, w.Simulated)...)
	if again {
		words = append(words, word{"(again)", toneFault})
	}
	switch {
	case f.Fate == netlab.Replaced:
		words = append(words, word{"> " + f.Fault + " >", toneFault})
		words = append(words, partWords(f.Becomes, w.Simulated)...)
	case f.Fate == netlab.Dropped:
		words = append(words, word{"lost (" + f.Fault + ")", toneFault})
	case f.Fault != "":
		words = append(words, word{"(" + f.Fault + ")", toneFault})
	}
	return words
}

// hardSpace is a blank at which no line is broken.
const hardSpace = '\u00a0'

func partWords(parts []Part, simulated bool) []word {
	var words []word
	for _, p := range parts {
		text := p.Name
		if p.Bytes > 0 {
			text = fmt.Sprintf("%s %d%cB", text, p.Bytes, hardSpace)
		}
		if p.Kind == SYN && simulated {
			text += " (simulated)"
		}
		words = append(words, word{text, p.Kind.tone()})
	}
	return words
}

// wrap breaks a label into lines.
func wrap(words []word, width int) [][]word {
	var lines [][]word
	used := 0
	for i, w := range words {
		if i > 0 && w.tone != toneFault && words[i-1].tone != toneFault {
			w.text = "+ " + w.text
		}
		for _, w := range split(w, width) {
			n := len([]rune(w.text))
			if len(lines) > 0 && used+1+n <= width {
				last := &lines[len(lines)-1]
				*last = append(*last, w)
				used += 1 + n
				continue
			}
			lines, used = append(lines, []word{w}), n
		}
	}
	return lines
}

// split breaks a word that is too long, at blanks.
func split(w word, width int) []word {
	if len([]rune(w.text)) <= width {
		return []word{w}
	}
	var all []word
	line := ""
	for _, text := range strings.Split(w.text, " ") {
		if line != "" && len([]rune(line+" "+text)) > width {
			all, line = append(all, word{line, w.tone}), ""
		}
		line = strings.TrimPrefix(line+" "+text, " ")
	}
	return append(all, word{line, w.tone})
}

func lineWidth(line []word) int {
	n := -1
	for _, w := range line {
		n += 1 + len([]rune(w.text))
	}
	return n
}
