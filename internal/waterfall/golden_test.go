package waterfall

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// picture makes a picture from a log that "tlstfo demo -log" wrote.
func picture(t *testing.T, name string) *Picture {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []Exchange
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	p := &Picture{Title: "A GET request over TLS 1.3", Caption: "Two hosts, a wire with a round-trip time of 40ms."}
	for _, x := range all {
		p.Waterfalls = append(p.Waterfalls, New(x))
	}
	return p
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what is drawn now (go test -update writes it anew):\n%s", file, got)
	}
}

// TestText keeps the drawing for terminals of all kinds.
func TestText(t *testing.T) {
	for _, test := range []struct {
		log, file string
		style     Style
	}{
		{"demo", "demo.txt", Style{Width: 80}},
		{"demo", "demo-wide.txt", Style{Width: 170}},
		{"demo", "demo-narrow.txt", Style{Width: 44}},
		{"demo", "demo-ascii.txt", Style{Width: 80, ASCII: true}},
		{"demo", "demo-color.txt", Style{Width: 100, Color: true}},
		{"drop-syn-data", "drop-syn-data.txt", Style{Width: 80}},
	} {
		t.Run(test.file, func(t *testing.T) {
			got := picture(t, test.log).Text(test.style)
			golden(t, test.file, got)
			plain := regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(got, "")
			if !test.style.Color && plain != got {
				t.Error("there are escape sequences")
			}
			for line := range strings.Lines(plain) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > test.style.Width {
					t.Errorf("%d columns, want at most %d: %s", n, test.style.Width, line)
				}
				if test.style.ASCII && len(line) != utf8.RuneCountInString(line) {
					t.Errorf("not ASCII: %s", line)
				}
			}
		})
	}
}
