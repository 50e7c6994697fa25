package tlstfo

import (
	"crypto/tls"
	"errors"
	"net"
	"runtime"
	"testing"
	"time"
)

// TestCallbackEnds: a callback that ends its goroutine, or panics, leaves nobody waiting and no connection open.
func TestCallbackEnds(t *testing.T) {
	ca := newAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{ca.issue(nil, "test.example")}}
	ended := make(chan struct{}, 1)
	addr := rawServer(t, func(conn net.Conn) {
		tls.Server(conn, config).Handshake()
		conn.Read(make([]byte, 1))
		ended <- struct{}{}
	})
	client := func(verify func(tls.ConnectionState) error) *Dialer {
		return &Dialer{TLSConfig: &tls.Config{RootCAs: ca.pool, ServerName: "test.example", VerifyConnection: verify}}
	}
	noneLeft := func() {
		t.Helper()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Fatal("the connection stays open")
		}
	}

	for _, early := range []bool{false, true} {
		d := client(func(tls.ConnectionState) error { runtime.Goexit(); return nil })
		if early {
			d = client(nil)
			d.Early = func([]byte) int { runtime.Goexit(); return 0 }
		}
		c, err := d.DialDeferred(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(10 * time.Second))
		c.Write([]byte("message"))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, errEnded) {
			t.Errorf("early %v: %v", early, err)
		}
		if !early {
			noneLeft()
		}
		c.Close()
	}

	func() {
		defer func() { recover() }()
		client(func(tls.ConnectionState) error { panic("as programs do that recover") }).Dial("tcp", addr)
	}()
	noneLeft()
}
