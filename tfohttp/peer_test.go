package tfohttp

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo"
	"github.com/tlstfo/tlstfo/handshake"
	"github.com/tlstfo/tlstfo/internal/testpeer"
)

// peer is an HTTP server that takes early data and keeps a record of it.
type peer struct {
	*testpeer.Server
	ca   *testpeer.Authority
	addr string
	url  string

	mu       sync.Mutex
	conns    []*peerConn
	onAccept func(n int)                  // before connection n, from 0 on, is served
	raw      func(n int, c net.Conn) bool // serves connection n, or returns false
}

// peerListener calls onAccept.
type peerListener struct {
	net.Listener
	p *peer
	n int
}

func (l *peerListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	l.p.mu.Lock()
	f := l.p.onAccept
	l.p.mu.Unlock()
	if err == nil && f != nil {
		f(l.n)
	}
	l.n++
	return conn, err
}

// atAccept calls f before each connection from now on, with its number.
func (p *peer) atAccept(f func(n int)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.onAccept = f
}

// speak lets the server choose among protos from now on.
func (p *peer) speak(protos ...string) {
	p.Update(func(c *handshake.ServerConfig) { c.NextProtos = protos })
}

// peerConn is a connection of a peer, with what was read from it.
// net/http is not to know of its TLS: it would take the connection for HTTP/1.1.
type peerConn struct {
	net.Conn
	server *testpeer.ServerConn
	closed chan struct{}
	once   sync.Once

	mu   sync.Mutex
	read []byte // the first 64 KiB
}

func (c *peerConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.read) < 64<<10 {
		c.read = append(c.read, p[:n]...)
	}
	return n, err
}

func (c *peerConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// early returns what came as early data.
func (c *peerConn) early() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.read[:min(len(c.read), c.server.EarlyBytes())])
}

type connKey struct{}

// connOf returns the connection that a request came on.
func connOf(r *http.Request) *peerConn { return r.Context().Value(connKey{}).(*peerConn) }

// connListener hands out connections whose TLS is up.
type connListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func (*connListener) Addr() net.Addr { return &net.TCPAddr{} }
func (*connListener) Close() error   { return nil }

func (l *connListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// bothHTTP are the protocols of a server that tells HTTP/2 by its preface.
func bothHTTP() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	return p
}

// newPeer starts a peer that prefers the given protocols.
func newPeer(t *testing.T, handler http.Handler, protos ...string) *peer {
	t.Helper()
	ca, err := testpeer.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue("localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	s, err := testpeer.New(cert)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{Server: s, ca: ca, addr: raw.Addr().String(), url: "https://" + raw.Addr().String()}
	p.speak(protos...)
	l := &connListener{make(chan net.Conn), make(chan struct{})}
	web := &http.Server{
		Handler:   handler,
		Protocols: bothHTTP(),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
	}
	go web.Serve(l)
	go s.Serve(&peerListener{Listener: raw, p: p}, func(sc *testpeer.ServerConn) {
		c := &peerConn{Conn: sc, server: sc, closed: make(chan struct{})}
		p.mu.Lock()
		p.conns = append(p.conns, c)
		n, serve := len(p.conns)-1, p.raw
		p.mu.Unlock()
		if serve != nil && serve(n, c) {
			return
		}
		select {
		case l.conns <- c:
			<-c.closed
		case <-l.done:
		}
	}, nil)
	t.Cleanup(func() {
		close(l.done)
		web.Close()
		s.Close()
	})
	return p
}

// accepted returns the connections so far.
func (p *peer) accepted() []*peerConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.conns)
}

// since returns those from the nth on, and waits for the first of them.
func (p *peer) since(t *testing.T, n int) []*peerConn {
	t.Helper()
	for range 20000 {
		if conns := p.accepted(); len(conns) > n {
			return conns[n:]
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("no more than %d connections", n)
	return nil
}

func (p *peer) client(t *testing.T) *Transport { return newTransport(t, p.config()) }

func noProxy(*http.Request) (*url.URL, error) { return nil, nil }

// warm is a client whose next dial has a ticket.
func (p *peer) warm(t *testing.T) *Transport {
	t.Helper()
	tr := p.client(t)
	get(t, tr, p.url+"/warm")
	cold(t, tr)
	return tr
}

func (p *peer) config() *tls.Config { return &tls.Config{RootCAs: p.ca.Pool()} }

// newTransport returns a Transport that knows no proxy.
func newTransport(t *testing.T, config *tls.Config) *Transport {
	tr := &Transport{Dialer: &tlstfo.Dialer{TLSConfig: config}, Proxy: noProxy}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		tr.Dialer.Close()
	})
	return tr
}

// cold closes the connections and waits for the tickets: the next request dials with one.
func cold(t *testing.T, tr *Transport) {
	t.Helper()
	tr.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := tr.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

// do makes a request and reads the whole response.
func do(t *testing.T, tr http.RoundTripper, req *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	b, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	return resp, string(b)
}

func newRequest(t *testing.T, method, url string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func get(t *testing.T, tr http.RoundTripper, url string) (*http.Response, string) {
	t.Helper()
	return do(t, tr, newRequest(t, "GET", url, nil))
}

// replay gives a server nothing but what came as early data on the connections, and returns the requests that it then handles, as
// "METHOD path". That is what an attacker can do.
func replay(t *testing.T, conns []*peerConn) (requests []string) {
	t.Helper()
	for _, c := range conns {
		if early := c.early(); len(early) > 0 {
			requests = append(requests, replayOne(t, early)...)
		}
	}
	return requests
}

func replayOne(t *testing.T, early []byte) (requests []string) {
	t.Helper()
	// A request of our own, to a host of its own, shows that the server is through: "GET / HTTP/1.1", or HEADERS on a later stream.
	end := "GET / HTTP/1.1\r\nHost: end\r\n\r\n"
	if strings.HasPrefix(string(early), preface) {
		end = "\x00\x00\x08\x01\x05\x00\x00\x00\xff" + "\x82\x84\x87\x41\x03end"
	}
	var mu sync.Mutex
	idle, ended := make(chan struct{}), make(chan struct{})
	through, isIdle := sync.OnceFunc(func() { close(ended) }), sync.OnceFunc(func() { close(idle) })
	ours, theirs := net.Pipe()
	l := &connListener{conns: make(chan net.Conn, 1), done: make(chan struct{})}
	l.conns <- theirs
	server := &http.Server{
		Protocols: bothHTTP(),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			if r.Host != "end" {
				requests = append(requests, r.Method+" "+r.URL.Path)
			}
			if r.Host == "end" || r.Close {
				through()
			}
		}),
		ConnState: func(_ net.Conn, state http.ConnState) {
			select {
			case <-ended:
				if state == http.StateIdle || state == http.StateClosed { // no handler runs any more
					isIdle()
				}
			default:
			}
		},
	}
	go server.Serve(l)
	go io.Copy(io.Discard, ours)
	go ours.Write([]byte(string(early) + end))
	select {
	case <-idle:
	case <-time.After(30 * time.Second):
		t.Errorf("early data is no row of whole requests: %q", early)
	}
	close(l.done)
	server.Close()
	mu.Lock()
	defer mu.Unlock()
	return requests
}
