package tfohttp

import (
	"crypto/tls"
	"strings"
	"sync"
	"testing"
)

// TestKeyLog: the connections through proxies, which are net/http's, and the others never write to the KeyLogWriter at once.
func TestKeyLog(t *testing.T) {
	var log strings.Builder // not safe for concurrent use: the race detector sees that
	tr := newTransport(t, &tls.Config{KeyLogWriter: &log})
	tr.once.Do(tr.init)
	var wg sync.WaitGroup
	for _, config := range []*tls.Config{tr.other.TLSClientConfig, tr.direct.TLSConfig, tr.onlyHTTP1.TLSConfig} {
		wg.Go(func() { config.KeyLogWriter.Write([]byte("line\n")) })
	}
	wg.Wait()
	if want := strings.Repeat("line\n", 3); log.String() != want {
		t.Errorf("%q, want %q", log.String(), want)
	}
}
