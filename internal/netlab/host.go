package netlab

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// processName is argv[0] of the processes that Main takes over: no flag or environment variable of the program that uses the
// lab can collide with it, and a caller may set a command's environment as it likes.
const processName = "tlstfo-netlab"

// What a process of that name is to do; the arguments follow.
const (
	roleLab   = "lab"   // be the lab process
	roleRelay = "relay" // socket, side, path, argv...: have the lab process run a program and stand in for it
	roleFunc  = "func"  // name, args...: call a function, on a host
)

// selfExe is the running binary, even if its file has been replaced or lies in a folder that the user may not enter.
const selfExe = "/proc/self/exe"

// cancelSignal asks a relay to have its program killed and to wait until it is gone, which SIGKILL to the relay cannot do.
const cancelSignal = syscall.Signal(64)

// Command returns a command that runs the named program on the host, as exec.CommandContext would run it here.
// The error of a program that cannot be found is reported by Start, as there.
func (h *Host) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	path, err := exec.LookPath(name)
	if path == "" {
		path = name
	}
	cmd := h.relay(ctx, path, name, args)
	if err != nil {
		cmd.Err = err
	}
	return cmd
}

// Func returns a command that runs, on the host and in a process of its own, the function that this binary gave to Main under
// that name. It exits with status 0 when the function returns nil, else with 1 and the error on stderr.
func (h *Host) Func(ctx context.Context, name string, args ...string) *exec.Cmd {
	return h.relay(ctx, selfExe, processName, append([]string{roleFunc, name}, args...))
}

func (h *Host) relay(ctx context.Context, path, name string, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, selfExe)
	cmd.Args = append([]string{processName, roleRelay, h.socket, strconv.Itoa(int(h.side)), path, name}, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(cancelSignal) }
	cmd.WaitDelay = 10 * time.Second // a relay that is too young to hear the signal is killed then; a busy machine needs time to pass on output
	return cmd
}

// Sysctl sets a network sysctl of the host, for instance net.ipv4.tcp_fastopen. Others than net.* belong to the whole machine
// and are refused.
func (h *Host) Sysctl(name, value string) error {
	_, err := h.ctl.call(request{Op: opSysctl, Side: h.side, Name: name, Value: value})
	return err
}

// Netstat returns the host's kernel counters under the names that nstat(8) uses, for instance TcpExtTCPFastOpenActive and
// TcpRetransSegs (/proc/net/netstat and /proc/net/snmp).
func (h *Host) Netstat() (map[string]int64, error) {
	resp, err := h.ctl.call(request{Op: opNetstat, Side: h.side})
	if err != nil {
		return nil, err
	}
	return parseNetstat(resp.Text)
}

// Forget drops all that the host's kernel remembers of its peers: TCP Fast Open cookies, their MSS, measured round-trip times.
// The next connection is a first contact again. Linux lets only real root do that: in a lab of an ordinary user the error is
// fs.ErrPermission, and a new lab, which takes some 30 ms, is the way to a first contact.
func (h *Host) Forget() error {
	_, err := h.ctl.call(request{Op: opForget, Side: h.side})
	return err
}

// parseNetstat reads pairs of lines, "Group: name name..." and "Group: number number...".
func parseNetstat(text string) (map[string]int64, error) {
	counters := make(map[string]int64)
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines)%2 != 0 {
		return nil, fmt.Errorf("netlab: kernel counters: %d lines, want pairs", len(lines))
	}
	for i := 0; i < len(lines); i += 2 {
		names, values := strings.Fields(lines[i]), strings.Fields(lines[i+1])
		if len(names) == 0 || len(names) != len(values) || names[0] != values[0] {
			return nil, fmt.Errorf("netlab: kernel counters: line %d does not match line %d", i+2, i+1)
		}
		group := strings.TrimSuffix(names[0], ":")
		for j := 1; j < len(names); j++ {
			n, err := strconv.ParseInt(values[j], 10, 64)
			if err != nil {
				return nil, fmt.Errorf("netlab: kernel counters: %s%s: %w", group, names[j], err)
			}
			counters[group+names[j]] = n
		}
	}
	return counters, nil
}
