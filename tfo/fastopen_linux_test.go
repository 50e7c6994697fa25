//go:build !tlstfo_portable

package tfo

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fastOpenTest prepares a test: a namespace, and a check that no descriptor and no goroutine is left over.
func fastOpenTest(t *testing.T) {
	t.Helper()
	inNetns(t)
	noLeak(t)
	noFDLeak(t)
}

// fresh4 returns a loopback address that nothing has a cookie for. The kernel lets only the real root flush its cookies, so tests
// take new addresses instead.
func fresh4() string {
	r := rand.Uint32()
	return netip.AddrFrom4([4]byte{127, byte(r>>16) | 1, byte(r >> 8), byte(r) | 1}).String()
}

// fresh6 adds such an IPv6 address, with the given prefix, to loopback, for as long as the namespace lives.
func fresh6(t *testing.T, prefix string) string {
	t.Helper()
	ip := netip.MustParseAddr(prefix).As16()
	binary.BigEndian.PutUint64(ip[8:], rand.Uint64()|1)
	addr := netip.AddrFrom16(ip)
	addAddr(t, addr)
	return addr.String()
}

// noFDLeak fails t if descriptors are left over at its end.
func noFDLeak(t *testing.T) {
	t.Helper()
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before := count()
	t.Cleanup(func() {
		for range 200 {
			if count() <= before {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Errorf("%d descriptors before, %d after", before, count())
	})
}

// cookieFor has the kernel fetch a cookie for the address that a sink listens on.
func cookieFor(t *testing.T, d *Dialer, address string, got <-chan accepted) {
	t.Helper()
	if info, _ := dialSink(t, d, "tcp", address, []byte("x"), got); !info.CookieAsked {
		t.Fatalf("no cookie asked: %+v", info)
	}
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
