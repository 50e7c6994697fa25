package tfohttp

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
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

// awaitSpare waits until the client has a spare; awaitNoSpare until it has none, before it would drop a good one.
func (p *peer) awaitSpare(t *testing.T, tr *Transport)   { p.await(t, tr, true, 10*time.Second) }
func (p *peer) awaitNoSpare(t *testing.T, tr *Transport) { p.await(t, tr, false, spareFor-time.Second) }

func (p *peer) await(t *testing.T, tr *Transport, want bool, limit time.Duration) {
	t.Helper()
	key := host(newRequest(t, "GET", p.url, nil).URL)
	for start := time.Now(); time.Since(start) < limit; time.Sleep(time.Millisecond) {
		if tr.hosts.hasSpare(key, tr.hosts.proto(key)) == want {
			return
		}
	}
	t.Fatalf("a spare: %v, for %v", !want, limit)
}

// What the server says on a spare is not lost, however much it is, and the connection is the one that is used then.
func TestSpareKeepsWhatWasSaid(t *testing.T) {
	said := frame(frameSettings, 0, 0, "")
	for len(said) < 2*maxUnread {
		said += frame(frameWindowUpdate, 0, 0, "\x00\x00\x00\x01")
	}
	for _, n := range []int{9, len(said) - 5} { // all that is whole is net/http's to read, and a part of a frame as well
		p := newPeer(t, telling, protoHTTP2)
		p.raw = func(_ int, c net.Conn) bool {
			io.WriteString(c, said[:n])
			untilHeaders(c)
			io.WriteString(c, said[n:]+frame(frameHeaders, flagEndHeaders|flagEndStream, 1, "\x88")) // 200
			io.Copy(io.Discard, c)
			return true
		}
		tr, _ := p.abandoned(t)
		if resp, _ := do(t, tr, newRequest(t, "POST", p.url, nil)); resp.StatusCode != 200 || len(p.accepted()) != 1 {
			t.Errorf("%s over %d connections", resp.Status, len(p.accepted()))
		}
	}
}

// A spare that the server closed before anybody took it fails no request: whatever the request is, it is made on another connection.
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
			for _, method := range []string{"GET", "POST", "DELETE"} {
				t.Run(name+" "+method, func(t *testing.T) {
					p := newPeer(t, telling, proto)
					tr, conn := p.abandoned(t)
					end(conn)
					p.awaitNoSpare(t, tr)
					req := newRequest(t, method, p.url+"/x", nil)
					if method == "POST" {
						req = newRequest(t, method, p.url+"/x", io.NopCloser(strings.NewReader("body")))
					}
					do(t, tr, req)
					if n := len(p.accepted()); n != 2 {
						t.Errorf("%d connections", n)
					}
				})
			}
			t.Run(name+" at that moment", func(t *testing.T) {
				p := newPeer(t, telling, proto)
				tr, conn := p.abandoned(t)
				go end(conn)
				get(t, tr, p.url+"/x")
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
