package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/internal/netlab"
	"github.com/tlstfo/tlstfo/internal/waterfall"
)

// needLab skips a test where there can be no network of namespaces.
func needLab(t *testing.T) {
	t.Helper()
	lab, err := netlab.New(netlab.Config{})
	var forbidden *netlab.ForbiddenError
	switch {
	case err == nil:
		if err := lab.Close(); err != nil {
			t.Fatal(err)
		}
	case errors.As(err, &forbidden) || errors.Is(err, errors.ErrUnsupported):
		netlab.Missing(t, err.Error())
	default:
		t.Fatal(err)
	}
}

// demoLog runs a demonstration and returns what its picture was made from.
func demoLog(t *testing.T, args ...string) (text string, all []*waterfall.Waterfall) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "log.json")
	start := time.Now()
	r := runCommand(t, append([]string{"demo", "-log", file}, args...)...)
	if r.code != 0 {
		t.Fatalf("exit code %d: %s%s", r.code, r.out, r.err)
	}
	t.Logf("it took %v", time.Since(start)) // some seconds, unless the machine has other things to do
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var exchanges []waterfall.Exchange
	if err := json.Unmarshal(b, &exchanges); err != nil {
		t.Fatal(err)
	}
	if len(exchanges) != 4 {
		t.Fatalf("%d exchanges", len(exchanges))
	}
	for _, x := range exchanges {
		all = append(all, waterfall.New(x))
	}
	return r.out, all
}

// TestDemo: in the lab the picture has what is claimed, by its packets.
func TestDemo(t *testing.T) {
	needLab(t)
	image := filepath.Join(t.TempDir(), "demo.svg")
	text, all := demoLog(t, "-wire", "lab", "-svg", image, "-width", "80")
	for i, want := range []int{3, 3, 3, 1} {
		if w := all[i]; w.Turns != want || w.Response < time.Duration(want)*w.RTT {
			t.Errorf("%s, %s: %d round trips, %v; want %d", w.Title, w.Subtitle, w.Turns, w.Response, want)
		}
	}
	if warm := all[3]; warm.EarlySent == 0 || warm.SYNBytes <= warm.EarlySent {
		t.Errorf("%d bytes in the SYN, %d of them early; want hello and request", warm.SYNBytes, warm.EarlySent)
	}
	for _, want := range []string{"early data (GET)", "200 OK", "1 round trip, ", "rode in the SYN, the request among"} {
		if !strings.Contains(text, want) {
			t.Errorf("the picture lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "\x1b") {
		t.Error("escape sequences, and this is no terminal")
	}
	svg, err := os.ReadFile(image)
	if err != nil || !strings.HasPrefix(string(svg), "<svg") {
		t.Errorf("the image: %v, %.60q", err, svg)
	}
}

// TestDemoFaults: every fault that can be named is survived, and drawn.
func TestDemoFaults(t *testing.T) {
	needLab(t)
	for _, f := range demoFaultNames {
		t.Run(f.name, func(t *testing.T) {
			text, all := demoLog(t, "-wire", "lab", "-fault", f.name, "-rtt", "20ms", "-width", "100")
			if all[3].Response < 0 {
				t.Errorf("no response:\n%s", text)
			}
			touched := false
			for _, w := range all {
				for _, p := range w.Packets {
					touched = touched || p.Fault == f.name
				}
			}
			if touched && !strings.Contains(strings.Join(strings.Fields(text), " "), f.name+")") && !strings.Contains(text, "> "+f.name) {
				t.Errorf("the picture does not show the fault:\n%s", text)
			}
			if !touched {
				t.Error("the wire did nothing wrong")
			}
		})
	}
}

// TestDemoLoopback: without a lab there is no claim that was not measured.
func TestDemoLoopback(t *testing.T) {
	text, all := demoLog(t, "-wire", "loopback", "-rtt", "50ms", "-width", "80")
	for i, want := range []int{3, 3, 3, 2} {
		w := all[i]
		if i == 3 && w.SYNBytes > 0 {
			want = 1 // where loopback has Fast Open
		}
		if w.Turns != want || w.Response < time.Duration(want)*w.RTT {
			t.Errorf("%s, %s: %d round trips, %v; want %d\n%s", w.Title, w.Subtitle, w.Turns, w.Response, want, text)
		}
	}
	for _, want := range []string{"loopback", "SYN (simulated)", "200 OK"} {
		if !strings.Contains(text, want) {
			t.Errorf("the picture lacks %q:\n%s", want, text)
		}
	}
}

// TestDemoStyle: what the environment says of the terminal is obeyed.
func TestDemoStyle(t *testing.T) {
	for _, test := range []struct {
		name         string
		args         []string
		env          []string
		color, ascii bool
	}{
		{"a pipe", nil, []string{"LC_ALL=C.UTF-8", "TERM=xterm", "NO_COLOR="}, false, false},
		{"no UTF-8", nil, []string{"LC_ALL=C", "TERM=xterm"}, false, runtime.GOOS != "windows"},
		{"dumb", nil, []string{"LC_ALL=C.UTF-8", "TERM=dumb"}, false, true},
		{"color wanted", []string{"-color", "always"}, []string{"LC_ALL=C.UTF-8", "NO_COLOR=1"}, true, false},
		{"ASCII wanted", []string{"-ascii"}, []string{"LC_ALL=C.UTF-8"}, false, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			cmd := tlstfoCommand(t, append([]string{"demo", "-wire", "loopback", "-rtt", "5ms"}, test.args...)...)
			cmd.Env = append(cmd.Env, test.env...)
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			if color := strings.Contains(string(out), "\x1b["); color != test.color {
				t.Errorf("colours: %v, want %v", color, test.color)
			}
			if ascii := regexp.MustCompile(`^[\x00-\x7f]*$`).Match(out); ascii != test.ascii {
				t.Errorf("ASCII only: %v, want %v", ascii, test.ascii)
			}
		})
	}
}

func TestDemoUsage(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"-rtt 2s", "-rtt is"}, {"-rtt x", "invalid value"}, {"-fault x", "-fault"}, {"-color x", "-color"}, {"-wire x", "-wire"},
		{"-width 3", "-width"}, {"more", "no arguments"}, {"-wire loopback -fault strip-tfo", "-fault needs"},
	} {
		mustFail(t, exitUsage, []string{test.want, "tlstfo demo -h"}, append([]string{"demo"}, strings.Fields(test.args)...)...)
	}
	if out := mustRun(t, "demo", "-h"); !strings.Contains(out, "usage: tlstfo demo") || !strings.Contains(out, netlab.BlackHole) || strings.Contains(out, "%!") {
		t.Error(out)
	}
}
