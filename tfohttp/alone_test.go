package tfohttp

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A request that was to be the last on its connection is canceled, in the handshake or when the server has it. Its connection is closed: nobody else
// could use it, and CloseIdleConnections would not find it.
func TestAloneAndCanceled(t *testing.T) {
	for _, stage := range []string{"handshake", "response"} {
		for _, method := range []string{"GET", "POST"} {
			for _, keepAlives := range []bool{true, false} {
				begun, hold, closed := make(chan struct{}, 1), make(chan struct{}), make(chan struct{}, 9)
				wait := func(at string) {
					if at == stage {
						begun <- struct{}{}
						<-hold
					}
				}
				warm := false // before the one that is canceled
				s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/x" {
						wait("response")
					}
				}))
				s.EnableHTTP2 = true
				s.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
					if warm {
						wait("handshake")
					}
					return nil, nil
				}}
				s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
					if state == http.StateClosed {
						closed <- struct{}{}
					}
				}
				s.StartTLS()
				t.Cleanup(s.Close)
				tr := newTransport(t, &tls.Config{RootCAs: pool(s)})
				tr.IdleConnTimeout, tr.DisableKeepAlives = -1, !keepAlives
				do(t, tr, newRequest(t, "POST", s.URL, strings.NewReader("body")))
				for open := true; open; {
					tr.CloseIdleConnections() // it is idle a moment after the response
					select {
					case <-closed:
						open = false
					case <-time.After(time.Millisecond):
					}
				}
				warm = true

				ctx, cancel := context.WithCancel(t.Context())
				go func() {
					<-begun
					cancel()
				}()
				req := newRequest(t, method, s.URL+"/x", nil).WithContext(ctx)
				req.Close = keepAlives
				if _, err := tr.RoundTrip(req); !errors.Is(err, context.Canceled) {
					t.Errorf("%s, %s: %v", stage, method, err)
				}
				close(hold)
				select {
				case <-closed:
				case <-time.After(30 * time.Second):
					t.Errorf("%s, %s, keep-alives %v: the connection stays open", stage, method, keepAlives)
				}
			}
		}
	}
}

// A dial hook that net/http calls when the request has given up makes no connection that nobody could close.
func TestAloneTooLate(t *testing.T) {
	p := newPeer(t, telling, protoHTTP2)
	tr := p.warm(t)
	req := newRequest(t, "GET", p.url, nil)
	req.Close = true
	c, r := tr.newCall(req, true, newBody(req))
	if tr.inner(c) == tr.http2 {
		t.Fatal("the request is not alone")
	}
	c.finish(context.Canceled)
	if x, err := tr.dialHTTP2(r.Context(), "tcp", p.addr); err == nil {
		t.Errorf("%v", x)
	}
}
