package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

// terminal is what a stream can show.
type terminal struct {
	is     bool // it is a terminal
	width  int
	moving bool // what was written can be written over
	color  bool
	ascii  bool // nothing else can be shown
}

// terminalOf asks the system and the environment. Where there is no terminal
// the width is that of $COLUMNS, or 80.
func terminalOf(w io.Writer) terminal {
	const usual = 80
	dumb := os.Getenv("TERM") == "dumb"
	t := terminal{width: usual, ascii: dumb || !localeIsUTF8()}
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		t.width = n
	}
	f, ok := w.(*os.File)
	if !ok {
		return t
	}
	if width, ok := terminalWidth(f); ok {
		t.is, t.moving = true, !dumb
		t.color = !dumb && os.Getenv("NO_COLOR") == "" // https://no-color.org
		if width > 0 {
			t.width = width
		}
	}
	return t
}

// localeIsUTF8 looks at the variables that name the character set, the first
// that is set counts.
func localeIsUTF8() bool {
	if runtime.GOOS == "windows" {
		return true // the console gets UTF-16
	}
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if value := strings.ToLower(os.Getenv(name)); value != "" {
			return strings.Contains(value, "utf-8") || strings.Contains(value, "utf8")
		}
	}
	return runtime.GOOS == "darwin"
}

// progress says what is being done, once that takes longer than a moment, to
// who looks on at a terminal.
type progress struct {
	w        io.Writer
	terminal terminal
	timer    *time.Timer

	mu    sync.Mutex
	text  string
	shown bool
	ended bool
}

func newProgress(w io.Writer, t terminal) *progress {
	const moment = time.Second
	p := &progress{w: w, terminal: t}
	p.timer = time.AfterFunc(moment, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.shown = p.terminal.is && !p.ended
		p.show()
	})
	return p
}

// say says what is done now.
func (p *progress) say(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text = text
	p.show()
}

func (p *progress) show() {
	switch {
	case !p.shown:
	case p.terminal.moving:
		fmt.Fprintf(p.w, "\r\x1b[K%s ...", p.text)
	default:
		fmt.Fprintf(p.w, "%s ...\n", p.text)
	}
}

// done ends it, and takes the line away.
func (p *progress) done() {
	p.timer.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown && p.terminal.moving {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	p.shown, p.ended = false, true
}
