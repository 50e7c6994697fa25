package tfo

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The tests run in a network namespace of their own, where they may set sysctls, and which nobody else's traffic touches. TestMain starts the
// test binary again inside it; the two environment variables tell the child so, or why there is none.
const (
	envInside  = "TLSTFO_TEST_NETNS"
	envRequire = "TLSTFO_REQUIRE" // "1": a test that cannot run fails
)

func TestMain(m *testing.M) {
	if os.Getenv(envInside) != "" {
		os.Exit(m.Run())
	}
	err := runInside(os.Getuid() == 0, "yes")
	if err != nil && os.Getuid() == 0 {
		err = runInside(false, "yes")
	}
	os.Setenv(envInside, fmt.Sprintf("cannot make a network namespace: %v", err))
	os.Exit(m.Run())
}

// runInside runs the test binary in a new network namespace, as root directly or else in a user namespace too, and exits with its code. It
// returns if that cannot be started.
func runInside(root bool, mark string) error {
	runtime.LockOSThread() // Pdeathsig follows the thread
	defer runtime.UnlockOSThread()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), envInside+"="+mark)
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

// inNetns skips t where there is no namespace of our own, else it brings loopback up, as wide as the kernel has it, and switches Fast Open on
// for client and server. Such tests must not be parallel.
func inNetns(t *testing.T) {
	t.Helper()
	missing := os.Getenv(envInside)
	if missing == "yes" {
		missing = ""
		if err := setupNetns(); err != nil {
			missing = fmt.Sprintf("cannot set up the network namespace: %v", err)
		}
	}
	switch {
	case missing == "":
	case os.Getenv(envRequire) == "1":
		t.Fatal(missing)
	default:
		t.Skip(missing)
	}
}

func setupNetns() error {
	if err := writeSysctl("tcp_fastopen", "3"); err != nil {
		return err
	}
	if err := loopback(func(fd int, r *unix.Ifreq) error {
		r.SetUint16(unix.IFF_UP)
		return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r)
	}); err != nil {
		return err
	}
	return setMTU(65536)
}

func setMTU(mtu uint32) error {
	return loopback(func(fd int, r *unix.Ifreq) error {
		r.SetUint32(mtu)
		return unix.IoctlIfreq(fd, unix.SIOCSIFMTU, r)
	})
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

// counter reads a TcpExt counter of the namespace.
func counter(t *testing.T, name string) uint64 {
	t.Helper()
	text, err := os.ReadFile("/proc/thread-self/net/netstat")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for i := 0; i+1 < len(lines); i += 2 {
		names, values := strings.Fields(lines[i]), strings.Fields(lines[i+1])
		for j := range names {
			if names[0] == "TcpExt:" && names[j] == name && j < len(values) {
				var v uint64
				fmt.Sscan(values[j], &v)
				return v
			}
		}
	}
	t.Fatalf("no counter TcpExt %s", name)
	return 0
}

// counters returns how much the counters rise while f runs.
func counters(t *testing.T, f func(), names ...string) map[string]uint64 {
	t.Helper()
	rise := make(map[string]uint64)
	for _, name := range names {
		rise[name] = counter(t, name)
	}
	f()
	for _, name := range names {
		rise[name] = counter(t, name) - rise[name]
	}
	return rise
}

// accepted is what a sink got from one connection: everything up to its end.
type accepted struct {
	data    []byte
	synData bool
}

// sink listens on address and reads every connection to its end.
func sink(t *testing.T, network, address string) (string, <-chan accepted) {
	t.Helper()
	l, err := Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	got := make(chan accepted, 16)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				info, err := ConnInfo(conn)
				if err != nil {
					t.Error(err)
				}
				conn.SetDeadline(time.Now().Add(10 * time.Second))
				data := readAll(conn)
				got <- accepted{data, info.SynData}
			}()
		}
	}()
	return l.Addr().String(), got
}

func readAll(conn net.Conn) []byte {
	var data []byte
	buf := make([]byte, 64<<10)
	for {
		n, err := conn.Read(buf)
		data = append(data, buf[:n]...)
		if err != nil {
			return data
		}
	}
}
