package interop

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/internal/netlab"
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
		lab := startLab(t)
		f(t, lab, lab.Server.IPv4.String())
	})
	t.Run("IPv6", func(t *testing.T) {
		t.Parallel()
		lab := startLab(t)
		if !lab.Server.IPv6.IsValid() {
			netlab.Missing(t, "IPv6 in this kernel")
		}
		f(t, lab, lab.Server.IPv6.String())
	})
}
