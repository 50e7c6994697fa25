package tfohttp

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// A connection outlives the request that it was dialled for, and holds nothing of it: contexts can be large.
func TestRetainsNoRequest(t *testing.T) {
	type key struct{}
	versions(t, func(t *testing.T, proto string) {
		p := newPeer(t, telling, proto)
		tr := p.warm(t)
		for _, method := range []string{"GET", "POST"} { // early, and not
			var freed atomic.Bool
			func() {
				value := new([1 << 20]byte)
				runtime.AddCleanup(value, func(int) { freed.Store(true) }, 0)
				do(t, tr, newRequest(t, method, p.url, nil).WithContext(context.WithValue(t.Context(), key{}, value)))
			}()
			n := len(p.accepted())
			get(t, tr, p.url) // net/http drops what it had of the request before
			for start := time.Now(); !freed.Load(); time.Sleep(time.Millisecond) {
				if runtime.GC(); time.Since(start) > 20*time.Second {
					t.Errorf("%s: the connection holds the context of its first request", method)
					break
				}
			}
			get(t, tr, p.url)
			if len(p.accepted()) != n {
				t.Error("the connection is not the one that the request had")
			}
			cold(t, tr)
		}
	})
}
