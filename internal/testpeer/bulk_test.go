package testpeer

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/handshake"
)

// BenchmarkReceive reads what a server sends as fast as it can, by an Opener
// and by crypto/tls.
func BenchmarkReceive(b *testing.B) {
	const size = 32 << 20
	ca, err := NewAuthority()
	if err != nil {
		b.Fatal(err)
	}
	cert, err := ca.Issue("test.example")
	if err != nil {
		b.Fatal(err)
	}
	s, err := New(cert)
	if err != nil {
		b.Fatal(err)
	}
	s.Update(func(cfg *handshake.ServerConfig) { cfg.CipherSuites = []uint16{tls.TLS_AES_128_GCM_SHA256} })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go s.Serve(l, func(c *ServerConn) {
		c.Read(make([]byte, 1))
		c.Write(make([]byte, size))
	}, nil)
	defer s.Close()

	b.Run("Opener", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			conn, sealer, opener := connect(b, l.Addr().String(), ca)
			conn.Write(sealer.Seal(nil, []byte{0}))
			got := 0
			for got < size {
				event, err := opener.Next(time.Now())
				if err != nil {
					b.Fatal(err)
				}
				got += len(event.Data)
				if event.Kind == handshake.EventNone {
					n, err := conn.Read(opener.Buffer())
					if err != nil {
						b.Fatal(err)
					}
					opener.Advance(n)
				}
			}
			conn.Close()
		}
	})
	b.Run("crypto-tls", func(b *testing.B) {
		b.SetBytes(size)
		buf := make([]byte, 32<<10)
		for b.Loop() {
			conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: ca.Pool(), ServerName: "test.example"})
			if err != nil {
				b.Fatal(err)
			}
			conn.Write([]byte{0})
			if n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, conn, buf); err != nil || n != size {
				b.Fatal(n, err)
			}
			conn.Close()
		}
	})
}

func connect(b *testing.B, addr string, ca *Authority) (net.Conn, *handshake.Sealer, *handshake.Opener) {
	b.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	engine, err := handshake.NewClient(&handshake.Config{ServerName: "test.example", RootCAs: ca.Pool()})
	if err != nil {
		b.Fatal(err)
	}
	for {
		event, err := engine.Next(time.Now())
		conn.Write(engine.AppendOutput(nil))
		if err != nil {
			b.Fatal(err)
		}
		switch event.Kind {
		case handshake.EventHandshakeComplete:
			sealer, opener := engine.Split()
			return conn, sealer, opener
		case handshake.EventNone:
			n, err := conn.Read(engine.Buffer())
			if err != nil {
				b.Fatal(err)
			}
			engine.Advance(n)
		}
	}
}
