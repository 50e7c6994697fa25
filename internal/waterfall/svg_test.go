package waterfall

import (
	"encoding/xml"
	"io"
	"strings"
	"testing"
)

// TestSVG keeps the image, and that it is well-formed.
func TestSVG(t *testing.T) {
	for _, name := range []string{"demo", "drop-syn-data"} {
		got := picture(t, name).SVG()
		golden(t, name+".svg", got)
		dec := xml.NewDecoder(strings.NewReader(got))
		for {
			if _, err := dec.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
}

// TestSVGEscapes: what a server said does not become markup.
func TestSVGEscapes(t *testing.T) {
	p := picture(t, "demo")
	p.Title, p.Waterfalls[0].Title, p.Waterfalls[0].Failure = "<a>", "<b>", "<c>"
	p.Waterfalls[0].Response = -1
	got := p.SVG()
	for _, bad := range []string{"<a>", "<b>", "<c>"} {
		if strings.Contains(got, bad) {
			t.Errorf("%s is in the image", bad)
		}
	}
}
