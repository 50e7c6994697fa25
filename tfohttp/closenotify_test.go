package tfohttp

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/tlstfo/tlstfo/internal/testpeer"
)

// A response that only the end of the connection ends is whole if close_notify came (RFC 9112, section 9.8); net/http over crypto/tls takes it for
// whole without. One that says how long it is needs none.
func TestNoCloseNotify(t *testing.T) {
	ca, err := testpeer.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer raw.Close()
				c := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{cert}})
				req, err := http.ReadRequest(bufio.NewReader(c))
				if err != nil {
					return
				}
				field := map[string]string{"/length": "Content-Length: 5", "/notify": "A: b", "/fin": "A: b"}[req.URL.Path]
				io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\n"+field+"\r\n\r\nhello")
				if req.URL.Path == "/notify" {
					c.CloseWrite()
				}
			}()
		}
	}()
	config := &tls.Config{RootCAs: ca.Pool()}
	std := &http.Transport{TLSClientConfig: config}
	defer std.CloseIdleConnections()
	for path, want := range map[string]error{"/length": nil, "/notify": nil, "/fin": io.ErrUnexpectedEOF} {
		for name, rt := range map[string]http.RoundTripper{"net/http": std, "tfohttp": newTransport(t, config)} {
			resp, err := rt.RoundTrip(newRequest(t, "GET", "https://"+l.Addr().String()+path, nil))
			if err != nil {
				t.Errorf("%s %s: %v", name, path, err)
				continue
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			want := want
			if name == "net/http" {
				want = nil
			}
			if string(body) != "hello" || !errors.Is(err, want) {
				t.Errorf("%s %s: %q, %v; want %v", name, path, body, err, want)
			}
		}
	}
}
