//go:build !tlstfo_portable

package tfo

import (
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fastOpenTest prepares a test: a namespace without cookies, and a check that no descriptor and no goroutine is left over.
func fastOpenTest(t *testing.T) {
	t.Helper()
	inNetns(t)
	if err := flushMetrics(); err != nil {
		t.Fatal(err)
	}
	noLeak(t)
	noFDLeak(t)
}

// flushMetrics makes the kernel forget all cookies of the namespace.
func flushMetrics() error {
	const cmdDel = 2
	s := new(system)
	if _, err := s.metrics(netip.Addr{}, netip.IPv6Loopback()); err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_GENERIC)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request := appendRequest(nil, uint16(s.metricsFamily.Load()), cmdDel, metricsVersion)
	if _, err := exchange(fd, request, make([]byte, 512)); err != unix.EAGAIN { // silence means success
		return fmt.Errorf("flush: %v", err)
	}
	return nil
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
