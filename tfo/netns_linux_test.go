package tfo

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
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

// setMTU sets the MTU of loopback for the rest of the test.
func setMTU(t *testing.T, mtu uint32) {
	t.Helper()
	set := func(mtu uint32) error {
		return loopback(func(fd int, r *unix.Ifreq) error {
			r.SetUint32(mtu)
			return unix.IoctlIfreq(fd, unix.SIOCSIFMTU, r)
		})
	}
	if err := set(mtu); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { set(65536) })
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

// addAddr adds an IPv6 address to loopback, and waits for its route, which the kernel adds a moment later.
func addAddr(t *testing.T, addr netip.Addr) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	ip := addr.As16()
	b := binary.NativeEndian.AppendUint32(nil, 16+8+4+16) // struct nlmsghdr
	b = binary.NativeEndian.AppendUint16(b, unix.RTM_NEWADDR)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_REPLACE)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
	b = append(b, unix.AF_INET6, 128, unix.IFA_F_NODAD, 0) // struct ifaddrmsg
	b = binary.NativeEndian.AppendUint32(b, 1)             // lo
	b = binary.NativeEndian.AppendUint16(b, 4+16)
	b = binary.NativeEndian.AppendUint16(b, unix.IFA_ADDRESS)
	b = append(b, ip[:]...)
	if err := unix.Sendto(fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil || n < 20 {
		t.Fatalf("%d bytes, %v", n, err)
	}
	if code := int32(binary.NativeEndian.Uint32(answer[16:])); code != 0 {
		t.Fatalf("add %v: %v", addr, unix.Errno(-code))
	}
	conn, err := net.ListenUDP("udp6", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr.WithZone("lo"), 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 400 {
		conn.WriteTo([]byte{0}, conn.LocalAddr())
		conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		if _, _, err := conn.ReadFrom(make([]byte, 1)); err == nil {
			return
		}
	}
	t.Fatalf("no route to %v", addr)
}
