package waterfall

import (
	"math"
	"strings"
)

// canvas is a grid of characters. Lines are drawn in dots, of which a
// character has two by four; text is over them.
type canvas struct {
	width int
	rows  [][]cell
	style Style
}

type cell struct {
	text rune // 0: none
	dots rune // of a Braille pattern
	tone tone
	bold bool
}

func newCanvas(width, rows int, style Style) *canvas {
	c := &canvas{width: width, rows: make([][]cell, rows), style: style}
	for i := range c.rows {
		c.rows[i] = make([]cell, width)
	}
	return c
}

func (c *canvas) in(x, y int) bool { return y >= 0 && y < len(c.rows) && x >= 0 && x < c.width }

// put writes text. What is beyond the edge is lost.
func (c *canvas) put(x, y int, text string, t tone, bold bool) {
	for _, r := range text {
		if r == hardSpace {
			r = ' '
		}
		if c.in(x, y) {
			c.rows[y][x] = cell{text: r, tone: t, bold: bold}
		}
		x++
	}
}

// free tells whether there is no text yet.
func (c *canvas) free(x, y, n int) bool {
	for i := x; i < x+n; i++ {
		if !c.in(i, y) || c.rows[y][i].text != 0 {
			return false
		}
	}
	return true
}

// line draws a line between two points, in cells.
func (c *canvas) line(x0, y0, x1, y1 float64, t tone) {
	if x1 < x0 {
		x0, y0, x1, y1 = x1, y1, x0, y0
	}
	height := func(x float64) float64 { return y0 + (y1-y0)*(x-x0)/max(x1-x0, 1e-9) }
	if c.style.ASCII {
		for x := int(x0); x < int(math.Ceil(x1)); x++ {
			y := height(float64(x) + 0.5)
			row := int(math.Floor(y))
			if c.in(x, row) && c.rows[row][x].text == 0 {
				c.rows[row][x] = cell{text: rune("'-."[min(int((y-float64(row))*3), 2)]), tone: t}
			}
		}
		return
	}
	for dot := int(x0 * 2); dot < int(x1*2); dot++ {
		y := height((float64(dot) + 0.5) / 2)
		row := int(math.Floor(y))
		if !c.in(dot/2, row) {
			continue
		}
		at := &c.rows[row][dot/2]
		if at.dots == 0 {
			at.tone = t
		}
		at.dots |= brailleDots[dot%2][min(int((y-float64(row))*4), 3)]
	}
}

// brailleDots are the bits of a pattern's dots, by column and row (Unicode,
// section 21.1).
var brailleDots = [2][4]rune{{0x01, 0x02, 0x04, 0x40}, {0x08, 0x10, 0x20, 0x80}}

const brailleBlank = 0x2800

// escapes are ANSI colours, of the 16 that a terminal's theme has.
var escapes = [tones]string{toneDim: "90", toneHello: "36", toneRequest: "35", toneResponse: "32", toneTicket: "33", toneFault: "31"}

// String renders the canvas, without blanks at the ends of lines.
func (c *canvas) String() string {
	var b strings.Builder
	for _, row := range c.rows {
		last := len(row)
		for last > 0 && (row[last-1].text == 0 || row[last-1].text == ' ') && row[last-1].dots == 0 {
			last--
		}
		escape := ""
		for _, at := range row[:last] {
			r := at.text
			switch {
			case r == 0 && at.dots != 0:
				r = brailleBlank + at.dots
			case r == 0:
				r = ' '
			}
			if c.style.Color && r != ' ' {
				want := escapes[at.tone]
				if at.bold {
					want = strings.TrimPrefix(want+";1", ";")
				}
				if want != escape {
					b.WriteString("\x1b[0")
					if want != "" {
						b.WriteString(";" + want)
					}
					b.WriteByte('m')
					escape = want
				}
			}
			b.WriteRune(r)
		}
		if escape != "" {
			b.WriteString("\x1b[0m")
		}
		b.WriteByte('\n')
	}
	return b.String()
}
