package tfohttp

import (
	"fmt"
	"net/http"
	"slices"
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
	fmt.Fprintf(w, "%s %s %s", r.Proto, r.Method, r.URL.Path)
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
