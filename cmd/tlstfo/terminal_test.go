package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestProgress: nothing is said of what is done in a moment, and nothing to
// nobody.
func TestProgress(t *testing.T) {
	for _, test := range []struct {
		name     string
		terminal terminal
		want     string
	}{
		{"terminal", terminal{is: true, moving: true}, "\r\x1b[Ktwo ...\r\x1b[Kthree ...\r\x1b[K"},
		{"dumb terminal", terminal{is: true}, "two ...\nthree ...\n"},
		{"no terminal", terminal{}, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			var out strings.Builder
			quick := newProgress(&out, test.terminal)
			quick.say("quick")
			quick.done()
			p := newProgress(&out, test.terminal)
			p.say("one")
			time.Sleep(time.Second / 2)
			p.say("two")
			time.Sleep(time.Second)
			synctest.Wait()
			p.say("three")
			p.done()
			p.say("four")
			if out.String() != test.want {
				t.Errorf("%s: %q, want %q", test.name, out.String(), test.want)
			}
		})
	}
}
