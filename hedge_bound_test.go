package tlstfo

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// TestHedgeIsBound: when the first connection fails while a hedge is silent, the watchdog ends the hedge, and the dial has
// the error of the first, whatever its context allows.
func TestHedgeIsBound(t *testing.T) {
	t.Parallel()
	for name, versions := range map[string][2]uint16{"engine": {tls.VersionTLS13, 0}, "crypto/tls": {0, tls.VersionTLS12}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var conns atomic.Int32
			second := make(chan struct{})
			addr := rawServer(t, func(conn net.Conn) {
				conn.SetDeadline(time.Time{})
				if conns.Add(1) == 1 {
					<-second
					return
				}
				close(second)
				io.Copy(io.Discard, conn)
			})
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // what hangs must end
			defer cancel()
			d := &Dialer{TLSConfig: &tls.Config{ServerName: "test.example", MinVersion: versions[0], MaxVersion: versions[1]}, seen: seen{acked: true}}
			_, err := d.DialContext(ctx, "tcp", addr)
			var e *Error
			if ctx.Err() != nil || !brokeOff(err) || !errors.As(err, &e) || !e.Info.Hedged || conns.Load() != 2 {
				t.Errorf("%v, %d connections", err, conns.Load())
			}
		})
	}
}
