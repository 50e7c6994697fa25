package interop

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/internal/netlab"
	"github.com/tlstfo/tlstfo/tfo"
)

// rtt is the round-trip time of the lab: long enough that what a busy machine adds is small beside it.
const rtt = 40 * time.Millisecond

const serverName = "server.test"

func TestMain(m *testing.M) {
	os.Setenv("GORACE", "atexit_sleep_ms=0") // for the child processes
	netlab.Main(netlab.Funcs{"client": clientMain, "listening": listeningMain, "gotls": goServerMain, "half": halfMain, "http": httpMain, "backend": backendMain,
		"storm": stormMain, "stormserver": stormServerMain})
	os.Exit(m.Run())
}

// startLab makes a lab whose log keeps whole packets.
func startLab(t *testing.T) *netlab.Lab {
	t.Helper()
	return netlab.Start(t, netlab.Config{RTT: rtt, PayloadBytes: 2000})
}

// need skips the test if a program is not installed.
func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		netlab.Missing(t, program+" (install the package "+program+")")
	}
}

// versions runs a test over IPv4 and IPv6 at once, each in a lab of its own.
func versions(t *testing.T, f func(t *testing.T, lab *netlab.Lab, ip string)) {
	t.Run("IPv4", func(t *testing.T) {
		t.Parallel()
		attempts(t, func(t *testing.T) {
			lab := startLab(t)
			f(t, lab, lab.Server.IPv4.String())
		})
	})
	t.Run("IPv6", func(t *testing.T) {
		t.Parallel()
		attempts(t, func(t *testing.T) {
			lab := startLab(t)
			if !lab.Server.IPv6.IsValid() {
				netlab.Missing(t, "IPv6 in this kernel")
			}
			f(t, lab, lab.Server.IPv6.String())
		})
	})
}

// attempts runs a test until it was not disturbed. If it always is, that counts as something missing: it fails where tests are required.
func attempts(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	for i := range tries {
		undisturbed := false
		passed := t.Run(fmt.Sprint(attempt, i+1), func(t *testing.T) {
			defer func() { undisturbed = !t.Skipped() }()
			f(t)
		})
		if undisturbed || !passed {
			return
		}
	}
	netlab.Missing(t, "an attempt that was not disturbed")
}

// attempt begins the names of what attempts runs.
const attempt = "attempt"

// disturbed ends an attempt whose machine was too busy for the lab's round-trip time: a SYN-ACK was late, or anything else that had another attempt join the race or
// a hedge, rightly. What follows is another story than the test's.
func disturbed(t *testing.T, a *answer, packets netlab.Packets) {
	t.Helper()
	if !strings.Contains(t.Name(), "/"+attempt) || t.Failed() {
		return
	}
	notEager(t, packets)
	switch why := a.FastReason; {
	case a.Hedged:
		t.Skipf("disturbed: a hedge\n%v", packets)
	case why == tfo.ReasonPlainWay.String() || why == tfo.ReasonAvoided.String():
		t.Skipf("disturbed: %s\n%v", why, packets)
	}
	const late = rtt + rtt/4
	for _, c := range packets.Conns() {
		syn, _ := c.SYN()
		for _, p := range c.FromServer() {
			if p.Flags.Has(netlab.SYN|netlab.ACK) && p.Delivered-syn.Sent > late {
				t.Skipf("disturbed: SYN-ACK after %v\n%v", p.Delivered-syn.Sent, packets)
			}
		}
	}
}

// notEager fails the test if another attempt joined although nothing was late yet: that is no disturbance, but a fault.
func notEager(t *testing.T, packets netlab.Packets) {
	t.Helper()
	conns := packets.Conns()
	if len(conns) < 2 {
		return
	}
	first, _ := conns[0].SYN()
	second, _ := conns[1].SYN()
	if second.Sent-first.Sent < rtt {
		t.Errorf("another attempt joined after %v, before there could be an answer:\n%v", second.Sent-first.Sent, packets)
	}
}
