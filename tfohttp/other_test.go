package tfohttp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tlstfo/tlstfo"
	"github.com/tlstfo/tlstfo/handshake"
)

// newProxy starts a proxy, for http and CONNECT, and returns its URL and what it was asked.
func newProxy(t *testing.T) (*url.URL, *[]string) {
	t.Helper()
	var asked []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, fmt.Sprintf("%s %s %s", r.Method, r.RequestURI, r.Header.Get("X-Proxy")))
		if r.Method != "CONNECT" {
			fmt.Fprint(w, "from the proxy")
			return
		}
		there, err := net.Dial("tcp", r.Host)
		if err != nil {
			t.Error(err)
			return
		}
		w.WriteHeader(http.StatusOK)
		here, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		go func() {
			io.Copy(there, buf)
			there.Close()
		}()
		io.Copy(here, there)
		here.Close()
	}))
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u, &asked
}

// What goes through a proxy is never early, and speaks both versions of HTTP.
func TestProxy(t *testing.T) {
	versions(t, func(t *testing.T, proto string) {
		proxy, asked := newProxy(t)
		s, tr := newStd(t, telling, proto)
		var decided atomic.Int32
		tr.Proxy = func(*http.Request) (*url.URL, error) { decided.Add(1); return proxy, nil }
		tr.ProxyConnectHeader = http.Header{"X-Proxy": {"yes"}}
		for range 2 {
			req := newRequest(t, "GET", s.URL+"/x", nil)
			resp, body := do(t, tr, req)
			if !strings.HasSuffix(body, "GET /x") || resp.Request != req || resp.TLS == nil || resp.TLS.NegotiatedProtocol != proto && proto == protoHTTP2 {
				t.Errorf("%q, %+v", body, resp.TLS)
			}
		}
		if want := "CONNECT " + s.Listener.Addr().String() + " yes"; len(*asked) != 1 || (*asked)[0] != want || decided.Load() != 2 {
			t.Errorf("the proxy was asked %q, Proxy %d times", *asked, decided.Load())
		}

		p := newPeer(t, telling, proto, protoHTTP1)
		tr = p.warm(t)
		through := newTransport(t, p.config())
		through.Dialer = tr.Dialer // with its tickets
		through.Proxy = http.ProxyURL(proxy)
		n := len(p.accepted())
		get(t, through, p.url)
		if early := p.since(t, n)[0].early(); len(early) > 0 {
			t.Errorf("%q came early", early)
		}
		if _, body := get(t, through, "http://nowhere.example/y"); body != "from the proxy" {
			t.Errorf("plain HTTP: %q", body)
		}
		through.CloseIdleConnections()
	})
}

// The hooks about CONNECT are those of net/http: what is asked for the proxy's sake, and what it said.
func TestProxyHooks(t *testing.T) {
	versions(t, func(t *testing.T, proto string) {
		proxy, asked := newProxy(t)
		s, tr := newStd(t, telling, proto)
		tr.Proxy = http.ProxyURL(proxy)
		tr.GetProxyConnectHeader = func(_ context.Context, u *url.URL, target string) (http.Header, error) {
			return http.Header{"X-Proxy": {u.Host + " for " + target}}, nil
		}
		fault := errors.New("not this one")
		refuse := false
		tr.OnProxyConnectResponse = func(_ context.Context, u *url.URL, req *http.Request, resp *http.Response) error {
			if u.Host != proxy.Host || req.Method != "CONNECT" || resp.StatusCode != 200 {
				t.Errorf("%s, %s, %s", u, req.Method, resp.Status)
			}
			if refuse {
				return fault
			}
			return nil
		}
		get(t, tr, s.URL)
		target := s.Listener.Addr().String()
		if want := "CONNECT " + target + " " + proxy.Host + " for " + target; len(*asked) != 1 || (*asked)[0] != want {
			t.Errorf("the proxy was asked %q, want %q", *asked, want)
		}
		tr.CloseIdleConnections()
		refuse = true
		other := newRequest(t, "GET", s.URL, nil)
		other.Close = true // on a connection of its own
		if resp, err := tr.RoundTrip(other); !errors.Is(err, fault) {
			t.Errorf("%v, %v", resp, err)
		}
	})
}

// What is plain HTTP, or goes through a proxy, is dialled by the NetDialer, as net/http would: no data of it is in a SYN, which takes other system calls than
// a net.Dialer makes, and its connections are none of this package's.
func TestOtherConnections(t *testing.T) {
	proxy, _ := newProxy(t)
	secure, tr := newStd(t, telling, protoHTTP1)
	plain := httptest.NewServer(telling)
	defer plain.Close()
	viaProxy := newTransport(t, tr.Dialer.TLSConfig)
	viaProxy.Proxy = http.ProxyURL(proxy)
	for _, tt := range []struct {
		tr   *Transport
		url  string
		ours bool
	}{{tr, secure.URL, true}, {tr, plain.URL, false}, {viaProxy, secure.URL, false}, {viaProxy, plain.URL, false}} {
		var conn net.Conn
		trace := &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { conn = i.Conn }}
		do(t, tt.tr, newRequest(t, "GET", tt.url, nil).WithContext(httptrace.WithClientTrace(t.Context(), trace)))
		if over, ok := conn.(interface{ NetConn() net.Conn }); ok {
			conn = over.NetConn()
		}
		_, ours := conn.(*Conn)
		_, system := conn.(*net.TCPConn)
		if ours != tt.ours || system == tt.ours {
			t.Errorf("%s: the connection is a %T", tt.url, conn)
		}
	}
}

func TestProxyFailure(t *testing.T) {
	fault := fmt.Errorf("no proxy today")
	tr := &Transport{Proxy: func(*http.Request) (*url.URL, error) { return nil, fault }}
	for _, scheme := range []string{"http", "https"} {
		body := &closeCounter{Reader: strings.NewReader("body")}
		if _, err := tr.RoundTrip(newRequest(t, "POST", scheme+"://nowhere.example", body)); err != fault || body.closed.Load() != 1 {
			t.Errorf("%s: %v, the body was closed %d times", scheme, err, body.closed.Load())
		}
	}
	zero := &Transport{}
	zero.once.Do(zero.init)
	if reflect.ValueOf(zero.proxy).Pointer() != reflect.ValueOf(http.ProxyFromEnvironment).Pointer() {
		t.Error("a zero Transport does not ask the environment for proxies")
	}
}

// TestProxyHello: whoever chose a ClientHello is not shown with Go's, which net/http has through a proxy.
func TestProxyHello(t *testing.T) {
	proxy, asked := newProxy(t)
	tr := newTransport(t, nil)
	defer tr.CloseIdleConnections()
	tr.Dialer = &tlstfo.Dialer{Hello: handshake.CompactHello{}}
	tr.Proxy = http.ProxyURL(proxy)
	body := &closeCounter{Reader: strings.NewReader("body")}
	if _, err := tr.RoundTrip(newRequest(t, "POST", "https://nowhere.example", body)); !errors.Is(err, errProxyHello) || body.closed.Load() != 1 {
		t.Errorf("%v, the body was closed %d times", err, body.closed.Load())
	}
	if len(*asked) > 0 {
		t.Errorf("the proxy was asked %q", *asked)
	}
	if _, got := get(t, tr, "http://nowhere.example/"); got != "from the proxy" {
		t.Errorf("plain HTTP, which has no ClientHello: %q", got)
	}
}

func TestPlainHTTP(t *testing.T) {
	s := httptest.NewServer(telling)
	defer s.Close()
	tr := newTransport(t, nil)
	defer tr.CloseIdleConnections()
	if resp, body := get(t, tr, s.URL+"/x"); body != "HTTP/1.1 GET /x" || resp.TLS != nil {
		t.Errorf("%q, %+v", body, resp.TLS)
	}
}

// An Upgrade gets a connection that HTTP/1.1 was chosen for, even where the server prefers HTTP/2, and the caller gets the connection.
func TestUpgrade(t *testing.T) {
	versions(t, func(t *testing.T, proto string) {
		p := newPeer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/up" {
				return
			}
			conn, buf, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			lines, _ := io.ReadAll(buf) // until the client's half is closed
			conn.Write(lines)
		}), proto, protoHTTP1)
		tr := p.warm(t)
		for range 2 { // with a ticket too
			n := len(p.accepted())
			req := newRequest(t, "GET", p.url+"/up", nil)
			req.Header.Set("Connection", "Upgrade")
			req.Header.Set("Upgrade", "echo")
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			rw := resp.Body.(io.ReadWriteCloser)
			fmt.Fprintln(rw, "hello")
			if err := rw.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				t.Error(err)
			}
			if line, err := bufio.NewReader(rw).ReadString('\n'); resp.StatusCode != 101 || line != "hello\n" {
				t.Errorf("%s, %q, %v", resp.Status, line, err)
			}
			rw.Close()
			if early := p.since(t, n)[0].early(); len(early) > 0 {
				t.Errorf("%q came early", early)
			}
			cold(t, tr)
			if resp, _ := get(t, tr, p.url); resp.TLS.NegotiatedProtocol != proto {
				t.Errorf("then %s is spoken, want %s", resp.TLS.NegotiatedProtocol, proto)
			}
			cold(t, tr)
		}
	})
}

// Protocols limits what is offered.
func TestProtocols(t *testing.T) {
	p := newPeer(t, telling, protoHTTP2, protoHTTP1)
	for want, set := range map[string]func(*http.Protocols, bool){"HTTP/1.1": (*http.Protocols).SetHTTP1, "HTTP/2.0": (*http.Protocols).SetHTTP2} {
		tr := p.client(t)
		tr.Protocols = protocols(set)
		for range 2 {
			if resp, _ := get(t, tr, p.url); resp.Proto != want {
				t.Errorf("%s, want %s", resp.Proto, want)
			}
			cold(t, tr)
		}
	}
	t.Setenv("GODEBUG", "http2client=0")
	if resp, _ := get(t, p.client(t), p.url); resp.Proto != "HTTP/1.1" {
		t.Errorf("%s although HTTP/2 is switched off", resp.Proto)
	}
}
