package tfohttp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo"
	"github.com/tlstfo/tlstfo/internal/testpeer"
)

// Concurrent first requests share the dial that learns the protocol, and on HTTP/2 the connection.
func TestFirstRequestsShare(t *testing.T) {
	versions(t, func(t *testing.T, proto string) {
		for _, again := range []bool{false, true} {
			t.Run(fmt.Sprintf("again %v", again), func(t *testing.T) {
				p := newPeer(t, telling, proto)
				tr := p.client(t)
				if again {
					tr = p.warm(t)
				}
				n := len(p.accepted())
				const clients = 50
				var wg sync.WaitGroup
				for i := range clients {
					wg.Go(func() {
						method, body := "GET", io.Reader(nil)
						if i%2 == 0 {
							method, body = "POST", strings.NewReader("body")
						}
						resp, err := tr.RoundTrip(newRequest(t, method, p.url+"/x", body))
						if err != nil {
							t.Error(err)
							return
						}
						io.Copy(io.Discard, resp.Body)
						resp.Body.Close()
					})
				}
				wg.Wait()
				conns := p.since(t, n)
				if proto == protoHTTP2 && len(conns) != 1 || len(conns) > clients {
					t.Errorf("%d connections for %d requests", len(conns), clients)
				}
				for _, request := range replay(t, conns) {
					if request != "GET /x" {
						t.Errorf("%s was early", request)
					}
				}
			})
		}
	})
}

// Nobody waits for more than one dial to a server that is not there.
func TestRefused(t *testing.T) {
	versions(t, func(t *testing.T, proto string) {
		p := newPeer(t, telling, proto)
		tr := p.warm(t)
		p.Close()
		fresh := newTransport(t, p.config())
		for _, tr := range []*Transport{fresh, tr} {
			var wg sync.WaitGroup
			for i := range 20 {
				wg.Go(func() {
					method := "GET"
					if i%2 == 0 {
						method = "POST"
					}
					body := &closeCounter{Reader: strings.NewReader("body")}
					req := newRequest(t, method, p.url, body)
					resp, err := tr.RoundTrip(req)
					if err == nil || !errors.Is(err, syscall.ECONNREFUSED) || !errors.As(err, new(*tlstfo.Error)) {
						t.Errorf("%v, %v", resp, err)
					}
					if body.closed.Load() != 1 {
						t.Errorf("the body was closed %d times", body.closed.Load())
					}
				})
			}
			wg.Wait()
		}
	})
}

// A request that gives up while it fills the first flight, or waits for the one that does, holds up nobody.
func TestGivingUp(t *testing.T) {
	versions(t, func(t *testing.T, proto string) {
		p := newPeer(t, telling, proto)
		tr := p.warm(t)
		p.Set(testpeer.Knobs{Silent: true})
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*10*time.Millisecond)
				defer cancel()
				method := "GET"
				if i%2 == 0 {
					method = "POST"
				}
				if resp, err := tr.RoundTrip(newRequest(t, method, p.url, nil).WithContext(ctx)); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v, %v", resp, err)
				}
			})
		}
		wg.Wait()
		p.Set(testpeer.Knobs{})
		other := newTransport(t, p.config())
		other.TLSHandshakeTimeout = 50 * time.Millisecond
		other.Dialer.Sessions = tickets(t, p)
		p.Set(testpeer.Knobs{Silent: true})
		_, err := other.RoundTrip(newRequest(t, "GET", p.url, nil))
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("TLSHandshakeTimeout: %v", err)
		}
	})
}

func TestMaxConnsPerHost(t *testing.T) {
	everyServer(t, func(w http.ResponseWriter, r *http.Request) { time.Sleep(time.Millisecond) },
		func(t *testing.T, tr *Transport, url string) {
			config := tr.Dialer.TLSConfig
			var open, most atomic.Int32
			tr = newTransport(t, config)
			tr.MaxConnsPerHost = 2
			tr.Dialer.NetDialer = &net.Dialer{ControlContext: func(context.Context, string, string, syscall.RawConn) error {
				most.Store(max(most.Load(), open.Add(1)))
				return nil
			}}
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					resp, err := tr.RoundTrip(newRequest(t, "GET", url, nil))
					if err != nil {
						t.Error(err)
						return
					}
					resp.Body.Close()
				})
			}
			wg.Wait()
			if most.Load() > 2 {
				t.Errorf("%d connections were dialled, want 2 at most", most.Load())
			}
		})
}

// MaxIdleConnsPerHost and MaxIdleConns, over two hosts, each of which had eight connections at once.
func TestIdleLimits(t *testing.T) {
	const each = 8
	for _, tt := range []struct{ perHost, all, want int }{{0, 0, 2 * http.DefaultMaxIdleConnsPerHost}, {3, 0, 6}, {each, 5, 5}} {
		var open atomic.Int32
		var together sync.WaitGroup
		together.Add(2 * each)
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/together" {
				together.Done()
				together.Wait()
			}
		})
		var urls []string
		var tr *Transport
		for range 2 {
			s := httptest.NewUnstartedServer(handler)
			s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				switch state {
				case http.StateNew:
					open.Add(1)
				case http.StateClosed:
					open.Add(-1)
				}
			}
			s.StartTLS()
			t.Cleanup(s.Close)
			urls = append(urls, s.URL)
			tr = newTransport(t, &tls.Config{RootCAs: pool(s)}) // all servers of httptest have one certificate
		}
		tr.MaxIdleConnsPerHost, tr.MaxIdleConns = tt.perHost, tt.all
		var wg sync.WaitGroup
		for i := range 2 * each {
			wg.Go(func() { get(t, tr, urls[i%2]+"/together") })
		}
		wg.Wait()
		for start := time.Now(); int(open.Load()) != tt.want; time.Sleep(time.Millisecond) {
			if time.Since(start) > 30*time.Second {
				t.Fatalf("%+v: %d connections are open", tt, open.Load())
			}
		}
		for _, url := range urls { // those that are left are of use
			get(t, tr, url)
		}
		if n := int(open.Load()); n != tt.want {
			t.Errorf("%+v: %d connections then", tt, n)
		}
	}
}

func TestDisableKeepAlives(t *testing.T) {
	versions(t, func(t *testing.T, proto string) {
		p := newPeer(t, telling, proto)
		tr := p.client(t)
		tr.DisableKeepAlives = true
		for range 3 {
			get(t, tr, p.url)
			if err := tr.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(p.accepted()); n != 3 {
			t.Errorf("%d connections for 3 requests", n)
		}
	})
}

func TestIdleConnTimeout(t *testing.T) {
	versions(t, func(t *testing.T, proto string) {
		p := newPeer(t, telling, proto)
		tr := p.client(t)
		tr.IdleConnTimeout = 20 * time.Millisecond
		get(t, tr, p.url)
		select {
		case <-p.accepted()[0].closed:
		case <-time.After(30 * time.Second):
			t.Error("the idle connection stays open")
		}
		get(t, tr, p.url)
	})
}

// A server that shuts down says so by GOAWAY; requests that it did not see are made on a new connection. On HTTP/1.1 it closes idle
// connections.
func TestServerShutsDown(t *testing.T) {
	versions(t, func(t *testing.T, proto string) {
		for _, again := range []bool{false, true} {
			p := newPeer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/last" {
					w.Header().Set("Connection", "close") // GOAWAY on HTTP/2
				}
			}), proto)
			tr := p.client(t)
			if again {
				tr = p.warm(t)
			}
			for i := range 10 {
				path := "/"
				if i%3 == 0 {
					path = "/last"
				}
				do(t, tr, newRequest(t, "POST", p.url+path, strings.NewReader("body")))
			}
			if n := len(p.accepted()); n < 4 {
				t.Errorf("%d connections, want a new one after each last request", n)
			}
		}
	})
}
