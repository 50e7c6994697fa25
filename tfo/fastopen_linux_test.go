//go:build !tlstfo_portable

package tfo

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"os"
	"testing"
	"time"
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
