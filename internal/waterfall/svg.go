package waterfall

import (
	"fmt"
	"html"
	"math"
	"strings"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

// Sizes of the image, in pixels.
const (
	svgWidth   = 920
	svgMargin  = 28
	svgAxis    = 66  // left of the first pole
	svgBetween = 64  // between two waterfalls
	svgTrip    = 112 // a round trip
	svgHead    = 78  // above the poles: name, result, hosts
	svgChar    = 7.25
	svgLine    = 17 // of a label
)

// SVG draws the picture as an image, two waterfalls in a row. It has a
// background of its own, light or dark as the reader's system is.
func (p *Picture) SVG() string {
	d := &svg{}
	y := float64(svgMargin) + 18
	d.text(svgMargin, y, "start", "title", p.Title)
	for _, line := range fill(p.Caption, 118) {
		y += 20
		d.text(svgMargin, y, "start", "small", line)
	}
	y += 20
	for rest := p.Waterfalls; len(rest) > 0; {
		n := min(2, len(rest))
		y = d.row(rest[:n], y)
		rest = rest[n:]
	}
	for _, line := range fill(p.footnote(), 122) {
		d.text(svgMargin, y, "start", "small", line)
		y += 18
	}
	height := int(y + svgMargin - 14)
	var alt []string
	for _, w := range p.Waterfalls {
		alt = append(alt, w.name()+": "+w.result())
	}
	return fmt.Sprintf(svgFrame, svgWidth, height, html.EscapeString(p.Title), html.EscapeString(strings.Join(alt, "; ")), svgStyle(), svgWidth-1, height-1, d.String())
}

func (p *Picture) footnote() string {
	return "Each arrow is what one side sent at once, from the packet log of tlstfo demo; sizes are those of TLS records. " +
		"Acknowledgements without data are not drawn, nor what comes after the response."
}

const svgFrame = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]d %[2]d" width="%[1]d" height="%[2]d" role="img">
<title>%[3]s</title>
<desc>%[4]s</desc>
<style>
%[5]s</style>
<rect class="card" x="0.5" y="0.5" width="%[6]d" height="%[7]d" rx="10"/>
%[8]s</svg>
`

// palette has the colours of a background.
type palette struct {
	card, border, grid string
	tones              [tones]string
}

func svgStyle() string {
	light := palette{"#ffffff", "#d0d7de", "#eaeef2", [tones]string{"#1f2328", "#656d76", "#0969da", "#8250df", "#1a7f37", "#9a6700", "#cf222e"}}
	dark := palette{"#0d1117", "#30363d", "#21262d", [tones]string{"#e6edf3", "#9198a1", "#58a6ff", "#bc8cff", "#3fb950", "#d29922", "#ff7b72"}}
	return `text { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.title { font: 600 19px -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; }
.name { font: 600 15px -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; }
.small { font: 12.5px -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; }
.strong { font-weight: 700; }
.arrow { fill: none; stroke-width: 1.8; }
.pole { stroke-width: 2; stroke-linecap: round; }
.wait { stroke-width: 5; stroke-linecap: round; }
.saved { stroke-width: 1.5; stroke-dasharray: 3 4; }
` + light.css() + "@media (prefers-color-scheme: dark) {\n" + dark.css() + "}\n"
}

func (p palette) css() string {
	var b strings.Builder
	fmt.Fprintf(&b, ".card { fill: %s; stroke: %s; } .behind { fill: %[1]s; } .grid { stroke: %s; }\n", p.card, p.border, p.grid)
	fmt.Fprintf(&b, "text { fill: %s; } .small { fill: %s; } .pole { stroke: %s; }\n", p.tones[tonePlain], p.tones[toneDim], p.border)
	for t, color := range p.tones {
		fmt.Fprintf(&b, ".f%d { fill: %s; } .s%[1]d { stroke: %[2]s; }\n", t, color)
	}
	return b.String()
}

// svg gathers the elements of an image.
type svg struct{ strings.Builder }

func (d *svg) add(format string, args ...any) { fmt.Fprintf(d, format+"\n", args...) }

func (d *svg) text(x, y float64, anchor, class, text string) {
	d.add(`<text x="%.1f" y="%.1f" text-anchor="%s" class="%s">%s</text>`, x, y, anchor, class, html.EscapeString(text))
}

func (d *svg) line(x0, y0, x1, y1 float64, class string) {
	d.add(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="%s"/>`, x0, y0, x1, y1, class)
}

// row draws waterfalls beside each other and returns where the next row is.
func (d *svg) row(all []*Waterfall, top float64) float64 {
	const inner = svgWidth - 2*svgMargin - svgAxis - svgBetween
	s := newScale(all)
	zero := top + svgHead
	at := func(height float64) float64 { return zero + height*svgTrip }
	bottom := at(s.at(s.end)) + 12
	for _, t := range s.ticks() {
		y := at(t.height)
		d.line(svgMargin+svgAxis-8, y, svgWidth-svgMargin, y, "grid")
		d.text(svgMargin+svgAxis-14, y+4, "end", "f1", t.time)
		if t.trips != "" {
			d.text(svgMargin+svgAxis-14, y+18, "end", "f1 strong", t.trips)
		}
	}
	for i, w := range all {
		x := float64(svgMargin + svgAxis + i*(inner/2+svgBetween))
		c := &svgColumn{svg: d, w: w, left: x, right: x + inner/2, zero: zero, bottom: bottom, y: func(f float64) float64 { return at(f) }, scale: s}
		if i > 0 {
			c.beside = all[i-1]
		}
		c.draw(top)
	}
	for _, g := range s.gaps {
		y := at(s.at(g.from) + gapHeight/2)
		d.add(`<rect x="%d" y="%.1f" width="%d" height="20" class="behind"/>`, svgMargin, y-10, svgWidth-2*svgMargin)
		d.text(svgWidth/2, y+4, "middle", "f1", "· · ·  "+milliseconds(g.to-g.from)+" pass  · · ·")
	}
	return bottom + 34
}

// svgColumn is a waterfall's part of the image.
type svgColumn struct {
	*svg
	w, beside   *Waterfall // beside: the one on the left, or nil
	left, right float64    // the poles
	zero        float64    // where time begins
	bottom      float64
	y           func(height float64) float64
	scale       *scale
}

func (c *svgColumn) draw(top float64) {
	c.add(`<text x="%.1f" y="%.1f" class="name">%s<tspan class="f1" font-weight="400">, %s</tspan></text>`, c.left, top+20, html.EscapeString(c.w.Title), html.EscapeString(c.w.Subtitle))
	t := toneResponse
	if c.w.Response < 0 {
		t = toneFault
	}
	c.text(c.left, top+40, "start", fmt.Sprintf("strong f%d", t), clip(c.w.result(), 46))
	c.text(c.left, c.zero-10, "start", "f1", "client")
	c.text(c.right, c.zero-10, "end", "f1", "server")
	c.line(c.left, c.zero, c.left, c.bottom, "pole")
	c.line(c.right, c.zero, c.right, c.bottom, "pole")
	c.waiting()
	for _, f := range c.w.Flights {
		c.arrow(f)
	}
	var taken []box
	for _, f := range c.w.Flights {
		taken = c.label(f, taken)
	}
}

// waiting marks how long the client waited, and what it saved.
func (c *svgColumn) waiting() {
	if c.w.Response < 0 {
		return
	}
	done := c.y(c.scale.at(c.w.Response))
	c.line(c.left, c.zero, c.left, done, "wait s4")
	if c.beside == nil || c.beside.Response < c.w.Response+c.w.RTT/4 {
		return
	}
	other := c.y(c.scale.at(c.beside.Response))
	c.line(c.left, done+8, c.left, other, "saved s4")
	c.line(c.left-6, other, c.left+6, other, "s4")
	c.text(c.left+14, (done+other)/2+8, "start", "strong f4", milliseconds(c.beside.Response-c.w.Response)+" earlier")
}

// ends are the points between which a flight's arrow goes.
func (c *svgColumn) ends(f Flight) (x0, y0, x1, y1 float64) {
	x0, x1 = c.left+4, c.right-4
	if f.From == netlab.ServerSide {
		x0, x1 = x1, x0
	}
	return x0, c.y(c.scale.at(f.Sent)), x1, c.y(c.scale.at(f.arrival(c.w.RTT)))
}

func (c *svgColumn) arrow(f Flight) {
	x0, y0, x1, y1 := c.ends(f)
	xm, ym := (x0+x1)/2, (y0+y1)/2
	t := f.tone()
	if f.Fate == netlab.Dropped || f.Fate == netlab.SendError {
		c.line(x0, y0, xm, ym, fmt.Sprintf("arrow s%d", t))
		c.line(xm-6, ym-6, xm+6, ym+6, "arrow s6")
		c.line(xm-6, ym+6, xm+6, ym-6, "arrow s6")
		return
	}
	if f.Made {
		x0, y0 = xm, ym
	}
	c.line(x0, y0, x1, y1, fmt.Sprintf("arrow s%d", t))
	length := math.Hypot(x1-x0, y1-y0)
	ux, uy := (x1-x0)/length, (y1-y0)/length
	const long, wide = 10, 4.5
	c.add(`<polygon points="%.1f,%.1f %.1f,%.1f %.1f,%.1f" class="f%d"/>`, x1+3*ux, y1+3*uy,
		x1-long*ux+wide*uy, y1-long*uy-wide*ux, x1-long*ux-wide*uy, y1-long*uy+wide*ux, t)
}

// box is where a label is.
type box struct{ top, bottom float64 }

// label writes what is in a flight over its arrow, and lower where another
// label is there already.
func (c *svgColumn) label(f Flight, taken []box) []box {
	_, y0, _, y1 := c.ends(f)
	lines := wrap(c.w.label(f), int((c.right-c.left-70)/svgChar))
	height := float64(len(lines)) * svgLine
	at := box{(y0+y1-height)/2 + 1, (y0+y1+height)/2 + 1}
	if f.Fate == netlab.Dropped {
		at.top, at.bottom = at.top+height/2+10, at.bottom+height/2+10 // below the cross
	}
	for moved := true; moved; {
		moved = false
		for _, b := range taken {
			if at.top < b.bottom && b.top < at.bottom {
				at.top, at.bottom, moved = b.bottom+1, b.bottom+1+height, true
			}
		}
	}
	for i, line := range lines {
		y := at.top + float64(i)*svgLine
		width := float64(lineWidth(line)) * svgChar
		middle := (c.left + c.right) / 2
		c.add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%d" class="behind"/>`, middle-width/2-5, y, width+10, svgLine)
		var spans strings.Builder
		for j, w := range line {
			text := strings.ReplaceAll(w.text, string(hardSpace), " ")
			if j > 0 {
				text = " " + text
			}
			class := fmt.Sprintf("f%d", w.tone)
			if w.tone == toneRequest || w.tone == toneResponse {
				class += " strong"
			}
			fmt.Fprintf(&spans, `<tspan class="%s">%s</tspan>`, class, html.EscapeString(text))
		}
		c.add(`<text x="%.1f" y="%.1f" text-anchor="middle" xml:space="preserve">%s</text>`, middle, y+12.5, spans.String())
	}
	return append(taken, at)
}
