package tfohttp

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// versions runs a test over each version of HTTP.
func versions(t *testing.T, f func(t *testing.T, proto string)) {
	for _, proto := range []string{protoHTTP1, protoHTTP2} {
		t.Run(proto, func(t *testing.T) { f(t, proto) })
	}
}

// telling says how a request came.
var telling = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s %s %s%s", r.Proto, r.Method, r.URL.Path, body)
})

// The first GET learns the protocol, the second one, with a ticket, leaves as early data.
func TestGetWarm(t *testing.T) {
	versions(t, func(t *testing.T, proto string) {
		p := newPeer(t, telling, proto)
		tr := p.client(t)
		want := map[string]string{protoHTTP1: "HTTP/1.1", protoHTTP2: "HTTP/2.0"}[proto]
		for i := range 3 {
			resp, body := get(t, tr, fmt.Sprintf("%s/%d", p.url, i))
			if body != fmt.Sprintf("%s GET /%d", want, i) || resp.TLS == nil || !resp.TLS.HandshakeComplete ||
				resp.TLS.NegotiatedProtocol != proto || resp.TLS.DidResume != (i > 0) {
				t.Errorf("%d: %q, %+v", i, body, resp.TLS)
			}
			cold(t, tr)
		}
		conns := p.accepted()
		if len(conns) != 3 || len(conns[0].early()) != 0 {
			t.Errorf("%d connections, want 3, the first without early data", len(conns))
		}
		if got := replay(t, conns); !slices.Equal(got, []string{"GET /1", "GET /2"}) {
			t.Errorf("early were %q, want the requests /1 and /2, whole", got)
		}
	})
}

// What is early by default, and what is on request.
func TestEarly(t *testing.T) {
	versions(t, func(t *testing.T, proto string) {
		p := newPeer(t, telling, proto)
		tr := p.warm(t)
		for _, method := range []string{"GET", "HEAD", "OPTIONS", "TRACE", "POST"} {
			req := newRequest(t, method, p.url+"/x?a=b", nil)
			if method == "POST" {
				req = newRequest(t, method, p.url+"/x", strings.NewReader("body"))
				req = req.WithContext(WithEarlyData(t.Context(), EarlyAllow))
			}
			n := len(p.accepted())
			if resp, body := do(t, tr, req); resp.StatusCode != 200 || method == "POST" && !strings.HasSuffix(body, " POST /xbody") {
				t.Errorf("%s: %s, %q", method, resp.Status, body)
			}
			if got := replay(t, p.since(t, n)); !slices.Equal(got, []string{method + " /x"}) {
				t.Errorf("%s: early were %q", method, got)
			}
			cold(t, tr)
		}
	})
}

// What must never be early is not, nor a part of it, and is answered all the same.
func TestNeverEarly(t *testing.T) {
	with := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	mode := func(m EarlyMode) func(*http.Request) {
		return func(r *http.Request) { *r = *r.WithContext(WithEarlyData(r.Context(), m)) }
	}
	noGetBody := func(r *http.Request) { r.GetBody = nil; mode(EarlyAllow)(r) }
	for _, tt := range []struct {
		name, method, body string
		change             func(*http.Request)
	}{
		{"POST", "POST", "body", nil},
		{"POST without a body", "POST", "", nil},
		{"PUT", "PUT", "body", nil},
		{"DELETE", "DELETE", "", nil},
		{"GET with a body", "GET", "body", nil},
		{"unknown method", "INCR", "", nil},
		{"forbidden", "GET", "", mode(EarlyForbid)},
		{"allowed without GetBody", "POST", "body", noGetBody},
		{"allowed, big body", "POST", strings.Repeat("x", maxFlight), mode(EarlyAllow)},
		{"allowed, with the rest of the request too big", "POST", strings.Repeat("x", maxFlight-100), mode(EarlyAllow)},
		{"big", "GET", "", with("X", strings.Repeat("~", maxFlight))},
		{"Expect", "GET", "", with("Expect", "100-continue")},
		{"Expect, allowed", "POST", "body", func(r *http.Request) { with("Expect", "100-continue")(r); mode(EarlyAllow)(r) }},
		{"Upgrade", "GET", "", func(r *http.Request) { with("Connection", "Upgrade")(r); with("Upgrade", "nothing")(r) }},
		{"Content-Length", "GET", "", with("Content-Length", "0")},
		{"content-length, not canonical", "GET", "", func(r *http.Request) { r.Header["content-length"] = []string{"0"} }},
		{"Early-Data", "GET", "", with("Early-Data", "1")},
		{"Proxy-Authorization", "GET", "", with("Proxy-Authorization", "x")},
		{"TE", "GET", "", with("TE", "trailers")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			versions(t, func(t *testing.T, proto string) {
				t.Parallel()
				p := newPeer(t, telling, proto, protoHTTP1)
				tr := p.warm(t)
				req := newRequest(t, tt.method, p.url+"/x", strings.NewReader(tt.body))
				if tt.body == "" {
					req = newRequest(t, tt.method, p.url+"/x", nil)
				}
				if tt.change != nil {
					tt.change(req)
				}
				n := len(p.accepted())
				if resp, body := do(t, tr, req); resp.StatusCode != 200 || !strings.HasSuffix(body, tt.method+" /x"+tt.body) {
					t.Errorf("%s, %q", resp.Status, body)
				}
				for _, c := range p.since(t, n) {
					if early := c.early(); len(early) > 0 {
						t.Errorf("%d bytes came early: %.100q", len(early), early)
					}
				}
			})
		})
	}
	req := newRequest(t, "CONNECT", "https://a.example/", nil)
	if tr := new(Transport); tr.mayBeEarly(req.WithContext(WithEarlyData(t.Context(), EarlyAllow))) {
		t.Error("CONNECT may be early")
	}
}

// Transport.Early decides where the context does not.
func TestPolicy(t *testing.T) {
	plain, query := newRequest(t, "GET", "https://a.example/", nil), newRequest(t, "GET", "https://a.example/?", nil)
	post := newRequest(t, "POST", "https://a.example/", strings.NewReader("x"))
	allow := WithEarlyData(t.Context(), EarlyAllow)
	everything := func(*http.Request) bool { return true }
	for _, tt := range []struct {
		name  string
		early func(*http.Request) bool
		req   *http.Request
		want  bool
	}{
		{"default", nil, plain, true},
		{"default, query", nil, query, true},
		{"default, POST", nil, post, false},
		{"no query", SafeNoQuery, plain, true},
		{"no query, query", SafeNoQuery, query, false},
		{"no query, allowed", SafeNoQuery, query.WithContext(allow), true},
		{"everything, POST", everything, post, true},
		{"everything, forbidden", everything, plain.WithContext(WithEarlyData(t.Context(), EarlyForbid)), false},
		{"method unset", nil, &http.Request{URL: plain.URL}, true},
		{"NoBody with a length", nil, &http.Request{URL: plain.URL, Body: http.NoBody, ContentLength: 3}, false},
		{"trailers", nil, &http.Request{URL: plain.URL, Trailer: http.Header{"A": nil}}, false},
		{"chunks", everything, &http.Request{URL: plain.URL, TransferEncoding: []string{"chunked"}}, false},
	} {
		if tr := (&Transport{Early: tt.early}); tr.mayBeEarly(tt.req) != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, !tt.want, tt.want)
		}
	}
}
