package tfohttp

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// abandoned returns a client with a spare: the request whose dial found out the protocol did not wait for the end. The connection is the server's.
func (p *peer) abandoned(t *testing.T) (*Transport, *peerConn) {
	t.Helper()
	tr := p.client(t)
	n := len(p.accepted())
	accepted, hold := make(chan struct{}), make(chan struct{})
	once := sync.OnceFunc(func() { close(accepted) })
	p.atAccept(func(int) { once(); <-hold })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, err := tr.RoundTrip(newRequest(t, "GET", p.url+"/abandoned", nil).WithContext(ctx)); err == nil {
			t.Error("answered")
		}
	}()
	<-accepted
	cancel()
	<-done
	close(hold)
	conn := p.since(t, n)[0]
	p.awaitSpare(t, tr)
	return tr, conn
}

// awaitSpare waits until the client has a spare.
func (p *peer) awaitSpare(t *testing.T, tr *Transport) {
	t.Helper()
	key := host(newRequest(t, "GET", p.url, nil).URL)
	for range 1000 {
		if tr.hosts.hasSpare(key, tr.hosts.proto(key)) {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("no spare")
}

// A spare that the server closed before anybody took it fails no request that can be made again.
func TestDeadSpare(t *testing.T) {
	halfClose := func(c *peerConn) { c.Conn.(interface{ CloseWrite() error }).CloseWrite() }
	ways := map[string]func(c *peerConn){
		"close":      func(c *peerConn) { c.Close() },
		"half close": halfClose,
		"GOAWAY": func(c *peerConn) {
			c.Write([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00" + "\x00\x00\x08\x07\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00"))
			halfClose(c)
		},
	}
	versions(t, func(t *testing.T, proto string) {
		for name, end := range ways {
			if name == "GOAWAY" && proto == protoHTTP1 {
				continue
			}
			t.Run(name, func(t *testing.T) {
				p := newPeer(t, telling, proto)
				tr, conn := p.abandoned(t)
				end(conn)
				time.Sleep(10 * time.Millisecond) // over loopback it is known by then; if not, that is right as well
				get(t, tr, p.url+"/x")
				if n := len(p.accepted()); n != 2 {
					t.Errorf("%d connections", n)
				}
			})
		}
	})
}

// A spare that breaks when the server has the request: a safe one is made once more, and no other; nor one whose response has begun.
func TestSpareThatBreaks(t *testing.T) {
	versions(t, func(t *testing.T, proto string) {
		for _, test := range []struct {
			method, answer string
			again          bool
		}{{"GET", "", true}, {"POST", "", false}, {"GET", "HTTP/1.1 200", false}} {
			if test.answer != "" && proto == protoHTTP2 {
				continue
			}
			t.Run(test.method+" "+test.answer, func(t *testing.T) {
				p := newPeer(t, telling, proto)
				p.raw = func(n int, c net.Conn) bool {
					if n > 0 {
						return false
					}
					if proto == protoHTTP2 {
						c.Write([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00")) // SETTINGS
					}
					var got []byte
					for buf := make([]byte, 4096); !hasRequest(got); {
						n, err := c.Read(buf)
						if got = append(got, buf[:n]...); err != nil {
							t.Errorf("%v after %q", err, got)
							break
						}
					}
					io.WriteString(c, test.answer)
					return true
				}
				tr, _ := p.abandoned(t)
				resp, err := tr.RoundTrip(newRequest(t, test.method, p.url+"/x", nil))
				if again := err == nil; again != test.again {
					t.Errorf("%v, %v", resp, err)
				}
				if resp != nil {
					resp.Body.Close()
				}
				if n := len(p.accepted()); n > 1 != test.again {
					t.Errorf("%d connections", n)
				}
			})
		}
	})
}

// hasRequest tells whether the bytes hold a request, of either version of HTTP.
func hasRequest(b []byte) bool {
	if head, rest, _ := bytes.Cut(b, []byte("\r\n\r\n")); !bytes.HasPrefix(head, []byte("PRI")) {
		return len(head) < len(b) && len(rest) == 0
	}
	v, _ := frames(b, false)
	return v != partial
}
