package tlstfo

import (
	"strings"
	"sync"
	"testing"
)

// TestKeyLog: dials at once never write to the KeyLogWriter at once, and each
// line comes whole. That is so for Dialers that were made from one another too.
func TestKeyLog(t *testing.T) {
	o := newOrigin(t)
	var log strings.Builder // not safe for concurrent use
	d := o.dialer()
	d.TLSConfig.KeyLogWriter = &log
	twin := d.WithTLSConfig(d.TLSConfig)
	dialers := []*Dialer{d, twin, d.WithTLSConfig(d.TLSConfig), twin.WithTLSConfig(twin.TLSConfig)}
	var wg sync.WaitGroup
	for i := range 8 {
		d := dialers[i%len(dialers)]
		wg.Go(func() {
			c, err := d.Dial("tcp", o.addr)
			if err != nil {
				t.Error(err)
				return
			}
			c.Close()
		})
	}
	wg.Wait()
	lines := strings.Split(strings.TrimSuffix(log.String(), "\n"), "\n")
	if len(lines) < 8*4 {
		t.Errorf("%d lines", len(lines))
	}
	for _, line := range lines {
		if f := strings.Fields(line); len(f) != 3 || len(f[1]) != 64 {
			t.Errorf("line %q", line)
		}
	}
}
