package tfo

import (
	"io"
	"testing"
)

// BenchmarkDial dials over loopback; the server answers nothing.
func BenchmarkDial(b *testing.B) {
	for _, test := range []struct {
		name   string
		dialer *Dialer
	}{
		{"fastopen", new(Dialer)},
		{"plain", &Dialer{Disable: true}},
	} {
		b.Run(test.name, func(b *testing.B) {
			l, err := Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					io.Copy(io.Discard, conn)
					conn.Close()
				}
			}()
			first := flight([]byte("the first flight"), nil)
			b.ReportAllocs()
			for b.Loop() {
				conn, _, err := test.dialer.DialContext(b.Context(), "tcp", l.Addr().String(), first)
				if err != nil {
					b.Fatal(err)
				}
				conn.SetLinger(0)
				conn.Close()
			}
		})
	}
}
