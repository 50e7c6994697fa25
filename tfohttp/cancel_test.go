package tfohttp

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo"
	"github.com/tlstfo/tlstfo/internal/testpeer"
)

// A request is canceled at each stage of a connection, without a ticket and with one. It ends at once, and leaves nothing behind.
func TestCancelAtEachStage(t *testing.T) {
	versions(t, func(t *testing.T, proto string) {
		p := newPeer(t, telling, proto)
		warm := p.warm(t)
		before := runtime.NumGoroutine()
		for _, method := range []string{"GET", "POST"} {
			for _, stage := range []string{"resolve", "connect", "handshake"} {
				for _, again := range []bool{false, true} {
					tr := newTransport(t, p.config())
					tr.TLSHandshakeTimeout = 3 * time.Second // as with net/http a dial may go on, for others
					release := make(chan struct{})
					reached := make(chan struct{}, 10)
					hold := func(ctx context.Context) error {
						reached <- struct{}{}
						select {
						case <-release:
						case <-ctx.Done():
						}
						return errors.New("held")
					}
					tr.Dialer.NetDialer = &net.Dialer{}
					url := p.url
					if again {
						tr.Dialer.Sessions = tickets(t, p)
					}
					switch stage {
					case "resolve":
						tr.Dialer.NetDialer.Resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
							return nil, hold(ctx)
						}}
						url = "https://host.example"
					case "connect":
						tr.Dialer.NetDialer.ControlContext = func(ctx context.Context, _, _ string, _ syscall.RawConn) error { return hold(ctx) }
					case "handshake":
						p.Set(testpeer.Knobs{Silent: true})
						p.atAccept(func(int) { reached <- struct{}{} })
					}
					if again {
						tr.once.Do(tr.init)
						tr.hosts.learn(host(newRequest(t, "GET", url, nil).URL), proto)
					}
					ctx, cancel := context.WithCancel(t.Context())
					go func() {
						<-reached
						cancel()
					}()
					req := newRequest(t, method, url, strings.NewReader("body"))
					if method == "GET" {
						req = newRequest(t, method, url, nil)
					}
					start := time.Now()
					resp, err := tr.RoundTrip(req.WithContext(ctx))
					if !errors.Is(err, context.Canceled) || time.Since(start) > 20*time.Second {
						t.Errorf("%s, %s, again %v: %v, %v after %v", method, stage, again, resp, err, time.Since(start))
					}
					p.atAccept(nil)
					p.Set(testpeer.Knobs{})
					close(release)
					tr.CloseIdleConnections()
				}
			}
		}
		cold(t, warm)
		for i := 0; runtime.NumGoroutine() > before+5; i++ {
			if i == 2000 {
				stacks := make([]byte, 1<<16)
				t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
}

// tickets returns a cache with tickets of the peer.
func tickets(t *testing.T, p *peer) tlstfo.SessionCache {
	t.Helper()
	tr := p.client(t)
	tr.Dialer.Sessions = tlstfo.NewSessionCache(0)
	get(t, tr, p.url)
	cold(t, tr)
	return tr.Dialer.Sessions
}

// http.Client's own timeout ends requests at the gate, and while the body comes.
func TestClientTimeout(t *testing.T) {
	versions(t, func(t *testing.T, proto string) {
		p := newPeer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/body" {
				w.(http.Flusher).Flush()
				<-r.Context().Done()
				panic(http.ErrAbortHandler)
			}
		}), proto)
		client := &http.Client{Transport: p.warm(t), Timeout: 50 * time.Millisecond}
		resp, err := client.Get(p.url + "/body")
		for err != nil && client.Timeout < time.Minute { // a busy machine takes longer for the header
			client.Timeout *= 2
			resp, err = client.Get(p.url + "/body")
		}
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("body: %v", err)
		}
		cold(t, client.Transport.(*Transport))
		p.Set(testpeer.Knobs{Silent: true})
		for range 2 {
			if _, err := client.Post(p.url, "text/plain", strings.NewReader("body")); !errors.As(err, &timeout) || !timeout.Timeout() {
				t.Errorf("handshake: %v", err)
			}
		}
	})
}
