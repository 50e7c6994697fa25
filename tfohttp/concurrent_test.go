package tfohttp

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestThousand makes 1,000 requests at once, safe ones and others, over connections that are new, idle and closed all the while. Every request is answered
// with its own answer, none is handled twice, and what the server has of early data is nothing but whole safe requests.
func TestThousand(t *testing.T) {
	const requests = 1000
	methods := []string{"GET", "POST", "HEAD", "PUT", "GET", "DELETE", "GET", "PATCH"}
	versions(t, func(t *testing.T, proto string) {
		var handled sync.Map
		p := newPeer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n, _ := handled.LoadOrStore(r.URL.Path, new(atomic.Int32))
			n.(*atomic.Int32).Add(1)
			body, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s %s %s", r.Method, r.URL.Path, body)
		}), proto)
		tr := p.client(t)
		tr.MaxConnsPerHost, tr.TLSHandshakeTimeout = 32, -1 // a busy machine has no more handshakes to give
		for range 5 {                                       // all but the first early, however busy the machine is later
			get(t, tr, p.url+"/warm")
			cold(t, tr)
		}

		done := make(chan struct{})
		var closing sync.WaitGroup
		closing.Go(func() {
			for {
				select {
				case <-done:
					return
				case <-time.After(2 * time.Millisecond):
					tr.CloseIdleConnections()
				}
			}
		})
		var wg sync.WaitGroup
		for i := range requests {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 500 * time.Microsecond) // so that some find idle connections
				method, path := methods[i%len(methods)], fmt.Sprintf("/%d", i)
				var body io.Reader
				text := ""
				if method[0] == 'P' {
					text = "body of " + path
					body = strings.NewReader(text)
				}
				req := newRequest(t, method, p.url+path, body)
				req.Close = i%9 == 0 // then the next has to dial
				resp, err := tr.RoundTrip(req)
				if err != nil {
					t.Errorf("%s %s: %v", method, path, err)
					return
				}
				got, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if want := method + " " + path + " " + text; method != "HEAD" && string(got) != want || err != nil || !resp.TLS.HandshakeComplete {
					t.Errorf("%q, %v, want %q", got, err, want)
				}
			})
		}
		wg.Wait()
		close(done)
		closing.Wait()

		handled.Range(func(path, n any) bool {
			if n := n.(*atomic.Int32).Load(); n != 1 && path != "/warm" {
				t.Errorf("%s was handled %d times", path, n)
			}
			return true
		})
		conns := p.accepted()
		early := replay(t, conns)
		for _, request := range early {
			if method, _, _ := strings.Cut(request, " "); method != "GET" && method != "HEAD" {
				t.Errorf("%s came early", request)
			}
		}
		if len(early) < 4 {
			t.Errorf("%d requests came early: that shows too little", len(early))
		}
		t.Logf("%d connections, %d with early data", len(conns), len(early))
	})
}

// TestThousandAtOnce: a thousand requests that begin at the same moment, on a warm path, are each answered and handled once.
func TestThousandAtOnce(t *testing.T) {
	const requests = 1000
	versions(t, func(t *testing.T, proto string) {
		var handled sync.Map
		p := newPeer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, twice := handled.LoadOrStore(r.URL.Path, true); twice && r.URL.Path != "/warm" {
				t.Errorf("%s was handled again", r.URL.Path)
			}
			telling(w, r)
		}), proto)
		tr := p.client(t)
		tr.MaxConnsPerHost, tr.TLSHandshakeTimeout = 32, -1
		get(t, tr, p.url+"/warm")
		cold(t, tr)
		start := make(chan struct{})
		var ready, done sync.WaitGroup
		ready.Add(requests)
		for i := range requests {
			done.Go(func() {
				method, path, body := "GET", fmt.Sprintf("/%d", i), io.Reader(nil)
				if i%2 == 1 {
					method, body = "POST", strings.NewReader("body")
				}
				req := newRequest(t, method, p.url+path, body)
				ready.Done()
				<-start
				resp, err := tr.RoundTrip(req)
				if err != nil {
					t.Errorf("%s %s: %v", method, path, err)
					return
				}
				got, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if !strings.Contains(string(got), method+" "+path) || err != nil {
					t.Errorf("%q, %v, want %s %s", got, err, method, path)
				}
			})
		}
		ready.Wait()
		close(start)
		done.Wait()
		for _, request := range replay(t, p.accepted()) {
			if !strings.HasPrefix(request, "GET ") {
				t.Errorf("%s came early", request)
			}
		}
	})
}
