package tfo

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

// The tests run in a network namespace of their own, where they may set sysctls, and which nobody else's traffic touches. TestMain starts the
// test binary again inside it; the two environment variables tell the child so, or why there is none.
const (
	envInside  = "TLSTFO_TEST_NETNS"
	envRequire = "TLSTFO_REQUIRE" // "1": a test that cannot run fails
)

func TestMain(m *testing.M) {
	os.Setenv("GORACE", "atexit_sleep_ms=0") // for the child processes: the race detector need not wait a second at the end of each
	netlab.Main(labFuncs)
	switch os.Getenv(envInside) {
	case "":
		err := runInside(os.Getuid() == 0)
		if err != nil && os.Getuid() == 0 {
			err = runInside(false)
		}
		os.Setenv(envInside, fmt.Sprintf("cannot make a network namespace: %v", err))
	case "yes":
		if err := setupNetns(); err != nil {
			os.Setenv(envInside, fmt.Sprintf("cannot set up the network namespace: %v", err))
		}
	}
	os.Exit(m.Run())
}

// runInside runs the test binary in a new network namespace, as root directly or else in a user namespace too, and exits with its code. It
// returns if that cannot be started.
func runInside(root bool) error {
	runtime.LockOSThread() // Pdeathsig follows the thread
	defer runtime.UnlockOSThread()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), envInside+"=yes")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if !root {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT)
	go func() {
		for s := range signals {
			cmd.Process.Signal(s)
		}
	}()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err == nil || errors.As(err, &exit) {
		os.Exit(cmd.ProcessState.ExitCode())
	}
	return err
}

// inNetns skips t where there is no namespace of our own. In it loopback is up and Fast Open is on for client and server. A test that
// changes that must not be parallel.
func inNetns(t testing.TB) {
	t.Helper()
	switch why := os.Getenv(envInside); {
	case why == "yes":
	case os.Getenv(envRequire) == "1":
		t.Fatal(why)
	default:
		t.Skip(why)
	}
}

func setupNetns() error {
	if err := loopback(func(fd int, r *unix.Ifreq) error {
		r.SetUint16(unix.IFF_UP)
		return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r)
	}); err != nil {
		return err
	}
	return writeSysctl("tcp_fastopen", "3")
}

func loopback(f func(fd int, r *unix.Ifreq) error) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	r, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	return f(fd, r)
}

func writeSysctl(name, value string) error {
	return os.WriteFile("/proc/sys/net/ipv4/"+name, []byte(value), 0)
}

// sysctl sets net.ipv4.name for the rest of the test.
func sysctl(t *testing.T, name, value string) {
	t.Helper()
	old, err := os.ReadFile("/proc/sys/net/ipv4/" + name)
	if err == nil {
		err = writeSysctl(name, value)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { writeSysctl(name, strings.TrimSpace(string(old))) })
}
