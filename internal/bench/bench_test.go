package main

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

func TestMain(m *testing.M) {
	if isServer() {
		serve()
		return
	}
	netlab.Main(netlab.Funcs{"tests": func(args []string) error {
		os.Args = append(os.Args[:1], args...)
		os.Exit(m.Run())
		return nil
	}})
	run := func([]string) error {
		os.Exit(m.Run())
		return nil
	}
	if err := inNamespace("tests", os.Args[1:], run); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// most is how much of anything we may take for what crypto/tls takes 1 for.
const most = 1.05

// TestAllocations holds us to what can be counted: no row allocates more, or
// more often, than crypto/tls. What CPU time a row takes depends on the
// machine, and is for the command.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	servers, err := startServers()
	if err != nil {
		t.Fatal(err)
	}
	defer servers.stop()
	for _, r := range rows(servers) {
		t.Run(r.name, func(t *testing.T) {
			ours, err := r.memory(r.ours)
			if err != nil {
				t.Fatal(err)
			}
			theirs, err := r.memory(r.theirs)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("ours %.1f allocations with %.0f bytes, crypto/tls %.1f with %.0f", ours.allocs, ours.bytes, theirs.allocs, theirs.bytes)
			if ours.allocs > most*theirs.allocs+1 || ours.bytes > most*theirs.bytes+64 {
				t.Errorf("more than %v times what crypto/tls allocates", most)
			}
			if r.unit > 0 && ours.allocs >= 1 {
				t.Error("a bulk transfer allocates")
			}
		})
	}
}

// TestHandshakeAllocationsAreExact: what a handshake allocates does not depend
// on the moment, so that a regression of one shows.
func TestHandshakeAllocationsAreExact(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	servers, err := startServers()
	if err != nil {
		t.Fatal(err)
	}
	defer servers.stop()
	for _, r := range rows(servers)[:4] {
		var counts [2]int
		for i := range counts {
			c, err := r.memory(r.ours)
			if err != nil {
				t.Fatal(err)
			}
			counts[i] = int(c.allocs + 0.5)
		}
		if counts[0] != counts[1] {
			t.Errorf("%s: %d allocations, then %d", r.name, counts[0], counts[1])
		}
	}
}

// TestIdleMemory: a connection that does nothing holds no more than one of
// crypto/tls.
func TestIdleMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector takes memory")
	}
	servers, err := startServers()
	if err != nil {
		t.Fatal(err)
	}
	defer servers.stop()
	for _, i := range idles(servers) {
		res, err := i.measure(3)
		if err != nil {
			t.Fatal(err)
		}
		t.Log(res)
		const spread = 32 // bytes by which the count of a connection varies from run to run
		if res.ours > most*res.theirs+spread {
			t.Errorf("%s: %.0f bytes, crypto/tls %.0f", i.name, res.ours, res.theirs)
		}
	}
}

func TestMedian(t *testing.T) {
	if m := median([]float64{3, 1, 2}); m != 2 {
		t.Errorf("of 1, 2, 3: %v", m)
	}
	if m := median([]float64{4, 1, 2, 3}); m != 2.5 {
		t.Errorf("of 1, 2, 3, 4: %v", m)
	}
}

func TestSummary(t *testing.T) {
	const top = `File: bench
Type: cpu
      flat  flat%   sum%        cum   cum%
     0.50s 50.00% 50.00%      0.60s 60.00%  crypto/internal/fips140/aes/gcm.gcmAesEnc
     0.30s 30.00% 80.00%      0.30s 30.00%  github.com/tlstfo/tlstfo/handshake.(*link).Buffer
     0.10s 10.00% 90.00%      0.10s 10.00%  crypto/internal/fips140/aes/gcm.gcmAesDec (inline)
     0.01s  1.00% 91.00%      0.01s  1.00%  runtime.memmove
`
	const want = "aes/gcm 60%, tlstfo/handshake 30%"
	if got := summary([]byte(top)); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
