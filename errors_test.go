package tlstfo

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/internal/testpeer"
)

// TestInfoOfFailure: Info and the errors of a Conn that failed say what became
// of its early data, whoever ended it.
func TestInfoOfFailure(t *testing.T) {
	ended := func(c *Conn) {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		c.HandshakeContext(ctx)
	}
	for name, k := range map[string]struct {
		knobs  testpeer.Knobs
		end    func(*Conn)
		want   error
		reason EarlyReason
	}{
		"rejected":             {testpeer.Knobs{RefuseEarlyData: true}, nil, ErrEarlyDataRejected, EarlyPeerDeclined},
		"broken":               {testpeer.Knobs{CloseAfterRead: 1}, nil, ErrEarlyDataUncertain, EarlyBroke},
		"cancelled in silence": {testpeer.Knobs{Silent: true}, ended, ErrEarlyDataUncertain, EarlyBroke},
	} {
		o := newOrigin(t)
		d := o.dialer()
		d.FailOnReject = true
		o.prime(t, d)
		o.Set(k.knobs)
		c, err := d.DialEarly(t.Context(), "tcp", o.addr, []byte("x"))
		if err == nil && k.end != nil {
			k.end(c)
		}
		if err == nil {
			err = c.Handshake()
			if state := c.ConnectionState(); state.Version != 0 || state.HandshakeComplete || state.DidResume {
				t.Errorf("%s: %+v", name, state)
			}
			if e := c.Info().Early; !e.Offered || e.Bytes != 1 || e.Reason != k.reason {
				t.Errorf("%s: %+v", name, e)
			}
			c.Close()
		}
		if !errors.Is(err, k.want) || k.end != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
		var failed *Error
		if !errors.As(err, &failed) {
			t.Fatalf("%s: %v", name, err)
		}
		if e := failed.Info.Early; !e.Offered || e.Bytes != 1 || e.Reason != k.reason || e.Accepted || e.Resent != 0 {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

// TestErrorInfo: the error of a dial has what is known of it.
func TestErrorInfo(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	for _, maxVersion := range []uint16{0, tls.VersionTLS12} {
		var e *Error
		_, err := (&Dialer{TLSConfig: &tls.Config{MaxVersion: maxVersion}}).Dial("tcp", addr)
		if !errors.As(err, &e) || len(e.Info.FastOpen.Attempts) == 0 || e.Info.FastOpen.Attempts[0].Addr.String() != addr || (e.Info.CryptoTLS != "") != (maxVersion != 0) {
			t.Errorf("%v, %+v", err, e)
		}
	}
}
