package tfohttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo"
	"github.com/tlstfo/tlstfo/handshake"
	"github.com/tlstfo/tlstfo/internal/testpeer"
)

// A journal is what a handler was asked, in order: "METHOD path", and "early" if a byte of the connection came early.
type journal struct {
	mu      sync.Mutex
	entries []string
}

func (j *journal) note(r *http.Request) string {
	entry := r.Method + " " + r.URL.Path
	if connOf(r).server.EarlyBytes() > 0 {
		entry += " early"
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, entry)
	return entry
}

func (j *journal) read() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.entries)
}

// A 425 to a request that left early is answered by the same request after the handshake, once. The caller sees only the second
// answer (RFC 8470, section 5.2: "Clients MAY retry... MUST NOT be sent in early data").
func TestTooEarly(t *testing.T) {
	versions(t, func(t *testing.T, proto string) {
		var log journal
		always := false
		p := newPeer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n := len(log.read())
			log.note(r)
			body, _ := io.ReadAll(r.Body)
			if r.URL.Path != "/warm" && (n == 1 || always) {
				w.WriteHeader(http.StatusTooEarly)
				return
			}
			w.Write(body)
		}), proto)
		tr := p.warm(t)
		req := newRequest(t, "POST", p.url+"/x", strings.NewReader("body"))
		if resp, body := do(t, tr, req.WithContext(WithEarlyData(t.Context(), EarlyAllow))); resp.StatusCode != 200 || body != "body" {
			t.Errorf("%s, %q", resp.Status, body)
		}
		// Both came on one connection: so that the log says "early" twice, the record is asked.
		if got := log.read(); len(got) != 3 || len(p.accepted()) != 2 {
			t.Errorf("the server was asked %q on %d connections, want one repetition on the same connection", got, len(p.accepted())-1)
		}
		if got := replay(t, p.accepted()); !slices.Equal(got, []string{"POST /x"}) {
			t.Errorf("early were %q, want the first POST alone", got)
		}

		cold(t, tr)
		always = true
		if resp, _ := get(t, tr, p.url+"/y"); resp.StatusCode != http.StatusTooEarly || len(log.read()) != 5 {
			t.Errorf("%s, and the server was asked %q; want the second 425", resp.Status, log.read())
		}
		if resp, _ := get(t, tr, p.url+"/z"); resp.StatusCode != http.StatusTooEarly || len(log.read()) != 6 {
			t.Errorf("%s, and the server was asked %q; want the 425 to what was not early", resp.Status, log.read())
		}
	})
}

// A 425 whose body does not end, or is long, keeps nobody from the second answer.
func TestTooEarlyEndless(t *testing.T) {
	versions(t, func(t *testing.T, proto string) {
		for _, length := range []int{1, drainMost + 1} {
			answered := make(chan struct{})
			first := true
			p := newPeer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/warm" || !first {
					return
				}
				first = false
				w.WriteHeader(http.StatusTooEarly)
				w.Write(make([]byte, length))
				w.(http.Flusher).Flush()
				<-answered
			}), proto)
			tr := p.warm(t)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if resp, _ := do(t, tr, newRequest(t, "GET", p.url+"/x", nil).WithContext(ctx)); resp.StatusCode != 200 {
				t.Errorf("%d bytes and more: %s", length, resp.Status)
			}
			close(answered)
		}
	})
}

// Refused early data is sent again within the connection. The state that the caller sees is the final one.
func TestRejected(t *testing.T) {
	versions(t, func(t *testing.T, proto string) {
		for _, tt := range []struct {
			name    string
			knobs   testpeer.Knobs
			resumed bool
		}{
			{"early data refused", testpeer.Knobs{RefuseEarlyData: true}, true},
			{"session refused", testpeer.Knobs{RefusePSK: true}, false},
			{"hello retried", testpeer.Knobs{ForceRetry: true}, true},
		} {
			t.Run(tt.name, func(t *testing.T) {
				var log journal
				p := newPeer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { log.note(r) }), proto)
				tr := p.warm(t)
				cert, err := p.ca.Issue("127.0.0.1", "second.example")
				if err != nil {
					t.Fatal(err)
				}
				p.Set(tt.knobs)
				p.Update(func(c *handshake.ServerConfig) { c.Certificates[0] = cert })
				n := len(p.accepted())
				resp, _ := get(t, tr, p.url+"/x")
				if got := log.read(); !slices.Equal(got, []string{"GET /warm", "GET /x"}) {
					t.Errorf("the server was asked %q, want once", got)
				}
				if p.since(t, n)[0].server.Info().EarlyData != handshake.EarlyRejected {
					t.Error("no early data was refused")
				}
				leaf := resp.TLS.PeerCertificates[0]
				if resp.TLS.DidResume != tt.resumed || !resp.TLS.HandshakeComplete || resp.TLS.NegotiatedProtocol != proto ||
					slices.Contains(leaf.DNSNames, "second.example") == tt.resumed {
					t.Errorf("the state is not the final one: resumed %v, names %q", resp.TLS.DidResume, leaf.DNSNames)
				}
			})
		}
	})
}

// A certificate that does not verify ends a request whose session was refused, before any answer.
func TestRejectedByStranger(t *testing.T) {
	versions(t, func(t *testing.T, proto string) {
		p := newPeer(t, telling, proto)
		tr := p.warm(t)
		stranger, err := testpeer.NewAuthority()
		if err != nil {
			t.Fatal(err)
		}
		cert, err := stranger.Issue("127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		p.Set(testpeer.Knobs{RefusePSK: true})
		p.Update(func(c *handshake.ServerConfig) { c.Certificates[0] = cert })
		resp, err := tr.RoundTrip(newRequest(t, "GET", p.url+"/x", nil))
		var failed *tlstfo.Error
		if err == nil || !errors.As(err, &failed) {
			t.Errorf("%v, %v; want the error of the dial", resp, err)
		}
	})
}

// The server changes its mind about the protocol. The request is started over as the other one, its body untouched.
func TestOtherProtocol(t *testing.T) {
	for _, way := range [][2]string{{protoHTTP1, protoHTTP2}, {protoHTTP2, protoHTTP1}} {
		for _, method := range []string{"GET", "POST", "POST without GetBody", "POST allowed"} {
			t.Run(way[0]+" to "+way[1]+" "+method, func(t *testing.T) {
				t.Parallel()
				var log journal
				p := newPeer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					log.note(r)
					telling(w, r)
				}), way[0])
				tr := p.warm(t)
				p.speak(way[1])
				method, kind, _ := strings.Cut(method, " ")
				req := newRequest(t, method, p.url+"/x", nil)
				want := fmt.Sprintf(" %s /x", method)
				if method == "POST" {
					body := &closeCounter{Reader: strings.NewReader("body")}
					req = newRequest(t, method, p.url+"/x", body)
					req.ContentLength = 4
					want += "body"
					switch kind {
					case "":
						req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("body")), nil }
					case "allowed":
						req = newRequest(t, method, p.url+"/x", strings.NewReader("body"))
						req = req.WithContext(WithEarlyData(t.Context(), EarlyAllow))
					default:
						defer func() {
							if n := body.closed.Load(); n != 1 {
								t.Errorf("the body was closed %d times", n)
							}
						}()
					}
				}
				for i := range 2 { // the second time it is known
					resp, body := do(t, tr, req)
					if resp.TLS.NegotiatedProtocol != way[1] || !strings.HasSuffix(body, want) {
						t.Errorf("%d: %q over %s, want %q over %s", i, body, resp.TLS.NegotiatedProtocol, want, way[1])
					}
					req, want = newRequest(t, "GET", p.url+"/y", nil), "GET /y"
				}
				if got := log.read(); len(got) != 3 {
					t.Errorf("the server was asked %q, want each once", got)
				}
			})
		}
	}
}

// The connection breaks wherever it can while early data is under way. A GET is answered all the same. A POST, allowed as it is, is not made
// anew by us once the server may have it.
func TestBroken(t *testing.T) {
	versions(t, func(t *testing.T, proto string) {
		t.Parallel()
		var asked atomic.Int32
		p := newPeer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked.Add(1) }), proto)
		accepted := 0
		for cut := 1100; cut < 1500; cut += 7 { // the ServerHello ends after some 1200 bytes, the Finished after 1320
			for _, method := range []string{"GET", "POST"} {
				p.Set(testpeer.Knobs{})
				tr := p.warm(t)
				asked.Store(0)
				n := 0
				p.atAccept(func(int) {
					p.Set(testpeer.Knobs{})
					if n++; n == 1 {
						p.Set(testpeer.Knobs{CloseAfterWrite: cut, Reset: cut%2 == 0})
					}
				})
				req := newRequest(t, method, p.url+"/x", nil)
				if method == "POST" {
					req = newRequest(t, method, p.url+"/x", strings.NewReader("body")).WithContext(WithEarlyData(t.Context(), EarlyAllow))
				}
				resp, err := tr.RoundTrip(req)
				p.atAccept(nil)
				inHandshake := errors.Is(err, tlstfo.ErrEarlyDataAccepted)
				switch {
				case err == nil:
					resp.Body.Close()
					if asked.Load() == 0 {
						t.Errorf("%s, cut after %d bytes: answered by nobody", method, cut)
					}
				case inHandshake && method == "POST":
					accepted++
				case inHandshake, errors.As(err, new(*tlstfo.Error)) && method == "GET":
					t.Errorf("%s, cut after %d bytes: %v", method, cut, err)
				} // else it is net/http's: what breaks after the handshake is not started over on a new connection
			}
		}
		if accepted == 0 {
			t.Error("no cut was after the acceptance")
		}
	})
}
