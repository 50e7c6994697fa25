package waterfall

import (
	"fmt"
	"math"
	"strings"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

// Style says what a terminal can show.
type Style struct {
	Width int // columns
	Color bool
	ASCII bool
}

// MinWidth is the least width that is drawn for. What is narrower gets lines
// that are too long.
const MinWidth = 40

const (
	axisWidth   = 9
	panelGap    = 3
	leastPanel  = 31
	mostPanel   = 48
	rowsPerTrip = 6
	mostLines   = 4 // of a label
)

// Text draws the picture for a terminal.
func (p *Picture) Text(style Style) string {
	style.Width = max(style.Width, MinWidth)
	perRow := 1
	for _, n := range []int{2, 4} {
		if axisWidth+n*leastPanel+(n-1)*panelGap <= style.Width && (n < 4 || style.Width >= 160) {
			perRow = n
		}
	}
	width := min(mostPanel, (style.Width-axisWidth-(perRow-1)*panelGap)/perRow)
	var b strings.Builder
	for _, line := range p.heading(style) {
		b.WriteString(line + "\n")
	}
	for rest := p.Waterfalls; len(rest) > 0; {
		n := min(perRow, len(rest))
		b.WriteString("\n" + drawRow(rest[:n], width, style))
		rest = rest[n:]
	}
	b.WriteString("\n" + p.summary(style))
	return b.String()
}

// heading is the title and the caption.
func (p *Picture) heading(style Style) []string {
	title := p.Title
	if style.Color {
		title = "\x1b[1m" + title + "\x1b[0m"
	}
	return append([]string{title}, fill(p.Caption, style.Width)...)
}

// fill breaks text into lines, at blanks.
func fill(text string, width int) []string {
	var lines []string
	for _, w := range split(word{text: text}, width) {
		lines = append(lines, w.text)
	}
	return lines
}

// glyphs are the characters of a drawing.
type glyphs struct {
	pole, right, left, lost, gap string
}

func (s Style) glyphs() glyphs {
	if s.ASCII {
		return glyphs{"|", ">", "<", "X", ":"}
	}
	return glyphs{"│", "▶", "◀", "✗", "┊"}
}

// drawRow draws waterfalls beside each other, with one time axis.
func drawRow(all []*Waterfall, width int, style Style) string {
	const head = 3 // title, result, hosts
	s := newScale(all)
	height := int(math.Ceil(s.at(s.end)*rowsPerTrip-0.1)) + 1
	c := newCanvas(axisWidth+len(all)*width+(len(all)-1)*panelGap, head+height, style)
	for _, t := range s.ticks() {
		y := head + int(math.Round(t.height*rowsPerTrip))
		c.put(axisWidth-2-len(t.time), y, t.time, toneDim, false)
		if t.trips != "" {
			c.put(axisWidth-2-len(t.trips), y+1, t.trips, toneDim, false)
		}
	}
	for i, w := range all {
		d := &drawing{canvas: c, scale: s, w: w, x: axisWidth + i*(width+panelGap), width: width, top: head, glyphs: style.glyphs()}
		d.draw()
	}
	for _, g := range s.gaps {
		y := head + int(math.Round((s.at(g.from)+gapHeight/2)*rowsPerTrip))
		text := fmt.Sprintf("%s pass", milliseconds(g.to-g.from))
		c.put(0, y, text, toneDim, false)
		c.put(len(text)+1, y, strings.Repeat(style.glyphs().gap, c.width-len(text)-1), toneDim, false)
	}
	return c.String()
}

// drawing is a waterfall's part of a canvas.
type drawing struct {
	*canvas
	scale         *scale
	w             *Waterfall
	x, width, top int
	glyphs        glyphs
}

func (d *drawing) draw() {
	left, right := d.x, d.x+d.width-1
	d.put(left, 0, d.w.Title+",", tonePlain, true)
	d.put(left+len(d.w.Title)+2, 0, d.w.Subtitle, tonePlain, false)
	t := toneResponse
	if d.w.Response < 0 {
		t = toneFault
	}
	d.put(left, 1, clip(d.w.result(), d.width), t, true)
	d.put(left, 2, "client", toneDim, false)
	d.put(right-len("server")+1, 2, "server", toneDim, false)
	for y := d.top; y < len(d.rows); y++ {
		d.put(left, y, d.glyphs.pole, toneDim, false)
		d.put(right, y, d.glyphs.pole, toneDim, false)
	}
	for _, f := range d.w.Flights {
		d.arrow(f)
	}
	for _, f := range d.w.Flights {
		d.label(f)
	}
}

func clip(text string, width int) string {
	if r := []rune(text); len(r) > width {
		return string(r[:width-1]) + "."
	}
	return text
}

// ends are the rows in which a flight's arrow begins and ends: what answers it
// begins in the next one.
func (d *drawing) ends(f Flight) (from, to float64) {
	quarter := func(y float64) float64 { return math.Round(y*rowsPerTrip*4) / 4 }
	from = float64(d.top) + quarter(d.scale.at(f.Sent)) + 0.12
	to = float64(d.top) + quarter(d.scale.at(f.arrival(d.w.RTT))) - 0.13
	return from, max(from, to)
}

func (d *drawing) arrow(f Flight) {
	from, to := d.ends(f)
	x0, x1, head, at := float64(d.x+1), float64(d.x+d.width-1), d.glyphs.right, d.x+d.width-2
	if f.From == netlab.ServerSide {
		x0, x1, head, at = x1, x0, d.glyphs.left, d.x+1
	}
	middle := (x0 + x1) / 2
	switch {
	case f.Fate == netlab.Dropped || f.Fate == netlab.SendError:
		d.line(x0, from, middle, (from+to)/2, f.tone())
		d.put(int(middle), int((from+to)/2), d.glyphs.lost, toneFault, true)
		return
	case f.Made:
		x0, from = middle, (from+to)/2
	}
	d.line(x0, from, x1, to, f.tone())
	d.put(at, int(to), head, f.tone(), false)
}

// label writes what is in a flight over its arrow, where there is room.
func (d *drawing) label(f Flight) {
	from, to := d.ends(f)
	lines := wrap(d.w.label(f), d.width-4)
	if len(lines) > mostLines {
		lines = lines[:mostLines]
	}
	best := int((from+to)/2 - float64(len(lines)-1)/2)
	y := best
	for _, off := range []int{0, 1, -1, 2, -2, 3, -3} {
		if d.room(lines, best+off) {
			y = best + off
			break
		}
	}
	for i, line := range lines {
		n := lineWidth(line)
		x := d.x + (d.width-n)/2
		d.put(x-1, y+i, strings.Repeat(" ", n+2), tonePlain, false)
		for _, w := range line {
			d.put(x, y+i, w.text, w.tone, w.tone == toneRequest || w.tone == toneResponse)
			x += len([]rune(w.text)) + 1
		}
	}
}

func (d *drawing) room(lines [][]word, y int) bool {
	for i, line := range lines {
		n := lineWidth(line)
		if !d.style.ASCII && !d.free(d.x+(d.width-n)/2, y+i, n) {
			return false
		}
	}
	return true
}

// summary says all results, and what SYNs carried.
func (p *Picture) summary(style Style) string {
	var lines []string
	wide := 0
	for _, w := range p.Waterfalls {
		wide = max(wide, len(w.name())+2)
	}
	for _, w := range p.Waterfalls {
		line := fmt.Sprintf("%-*s%s", wide, w.name()+":", w.result())
		if len(line) > style.Width {
			line = w.name() + ": " + w.result()
		}
		lines = append(lines, fill(line, style.Width)...)
	}
	for _, w := range p.Waterfalls {
		if text := w.carried(); text != "" {
			lines = append(lines, fill(w.name()+": "+text, style.Width)...)
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

func (w *Waterfall) name() string { return w.Title + ", " + w.Subtitle }

// carried says what rode in the SYN.
func (w *Waterfall) carried() string {
	switch {
	case w.Response < 0 || w.SYNBytes == 0:
		return ""
	case w.EarlySent > 0:
		return fmt.Sprintf("%d bytes rode in the SYN, the request among them", w.SYNBytes)
	}
	return fmt.Sprintf("%d bytes rode in the SYN", w.SYNBytes)
}
