package tlstfo

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestReplayableHTTP1: only whole requests by a safe method without a body may
// be replayed (RFC 9110, section 9.2.1; RFC 8470, section 2).
func TestReplayableHTTP1(t *testing.T) {
	const end = "\r\n\r\n"
	const get = "GET /a?b HTTP/1.1\r\nHost: example.com" + end
	for _, request := range []string{get, "HEAD / HTTP/1.1\r\nHost: a" + end, "GET / HTTP/1.1" + end, get + get,
		"GET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nX-Content-Length: 5\r\nCookie: a=b; c=d" + end} {
		if n := ReplayableHTTP1([]byte(request)); n != len(request) {
			t.Errorf("%q: %d, want all %d", request, n, len(request))
		}
	}
	with := func(field string) string { return "GET / HTTP/1.1\r\nHost: a\r\n" + field + end }
	for name, request := range map[string]string{
		"nothing":                     "",
		"POST":                        "POST / HTTP/1.1\r\nHost: a" + end,
		"PUT":                         "PUT / HTTP/1.1\r\nHost: a" + end,
		"DELETE":                      "DELETE / HTTP/1.1\r\nHost: a" + end,
		"PATCH":                       "PATCH / HTTP/1.1\r\nHost: a" + end,
		"CONNECT":                     "CONNECT a:443 HTTP/1.1\r\nHost: a" + end,
		"OPTIONS":                     "OPTIONS / HTTP/1.1\r\nHost: a" + end, // safe, and not promised
		"a method in lower case":      "get / HTTP/1.1\r\nHost: a" + end,
		"HTTP/1.0":                    "GET / HTTP/1.0\r\nHost: a" + end,
		"HTTP/2's preface":            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"HTTP/0.9":                    "GET /\r\n",
		"no version":                  "GET / \r\nHost: a" + end,
		"a space in the target":       "GET /a b HTTP/1.1\r\nHost: a" + end,
		"cut in the line":             "GET / HT",
		"cut in a field":              strings.TrimSuffix(get, ".com"+end),
		"cut before the last newline": strings.TrimSuffix(get, "\n"),
		"a second request cut":        get + "GET / HTTP/1.1\r\n",
		"a second one that is a POST": get + "POST / HTTP/1.1\r\nHost: a" + end,
		"bytes behind":                get + "x",
		"Content-Length":              with("Content-Length: 5") + "hello",
		"Content-Length of nothing":   with("Content-Length: 0"),
		"... in another case":         with("cONTENT-lENGTH: 5"),
		"Transfer-Encoding":           with("Transfer-Encoding: chunked") + "0" + end,
		"Upgrade":                     with("Upgrade: websocket"),
		"Expect":                      with("Expect: 100-continue"),
		"TE":                          with("TE: trailers"),
		"Trailer":                     with("Trailer: X"),
		"Proxy-Authorization":         with("Proxy-Authorization: x"),
		"a bare LF":                   "GET / HTTP/1.1\nContent-Length: 5\r\nHost: a" + end,
		"a bare CR":                   with("X: a\rContent-Length: 5"),
		"NUL":                         with("X: a\x00b"),
		"a field without a colon":     with("Host"),
		"a field without a name":      with(": x"),
		"a space before the colon":    with("Content-Length : 5"),
		"a folded field":              with("X: a\r\n Content-Length: 5"),
	} {
		if n := ReplayableHTTP1([]byte(request)); n != 0 {
			t.Errorf("%s: %d bytes of %q are replayable", name, n, request)
		}
	}
}

// FuzzReplayableHTTP1: what is called replayable is so to net/http's own
// parser, to its last byte.
func FuzzReplayableHTTP1(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\nHEAD /b HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n"))
	f.Add([]byte("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"))
	f.Add([]byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, first []byte) {
		n := ReplayableHTTP1(first)
		if n == 0 {
			return
		}
		if n != len(first) {
			t.Fatalf("%d of %d bytes", n, len(first))
		}
		for r := bufio.NewReader(bytes.NewReader(first)); ; {
			request, err := http.ReadRequest(r)
			if err == io.EOF {
				return
			} else if err != nil {
				return // a server that is as strict as net/http refuses it unread
			}
			if request.Method != "GET" && request.Method != "HEAD" || request.ContentLength != 0 || request.TransferEncoding != nil ||
				request.Header["Expect"] != nil || request.Header["Upgrade"] != nil {
				t.Fatalf("%q is replayable: %+v", first, request)
			}
		}
	})
}
