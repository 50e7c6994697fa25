package tfohttp

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/tlstfo/tlstfo"
)

// Transport is an http.RoundTripper. Its zero value works and stands in for http.DefaultTransport. It must not be copied or
// changed after first use, and is safe for concurrent use.
//
// The fields that http.Transport has too mean what they mean there. Where 0 or nil stands for "as
// http.DefaultTransport", a negative value means no limit.
type Transport struct {
	// Dialer dials the https connections that go through no proxy; nil means a Dialer of the Transport's own. Its
	// TLSConfig and NetDialer serve the other connections as well. NextProtos of the TLSConfig
	// is replaced by what Protocols says.
	Dialer *tlstfo.Dialer

	// Early says which requests are *replayable*, so that they may leave as early data. nil means Safe; SafeNoQuery is stricter.
	// WithEarlyData overrides it for a request. Neither makes a request early that never may be: see the package documentation.
	Early func(*http.Request) bool

	// Protocols says which protocols are spoken. nil means HTTP/1.1 and HTTP/2.
	Protocols *http.Protocols

	// Proxy returns the proxy of a request; nil means http.ProxyFromEnvironment. What goes through a proxy
	// neither rides in a SYN nor is early. An https request through one fails if Dialer.Hello is set: net/http speaks
	// TLS there, and its ClientHello is Go's.
	Proxy                  func(*http.Request) (*url.URL, error)
	OnProxyConnectResponse func(ctx context.Context, proxyURL *url.URL, connectReq *http.Request, connectRes *http.Response) error
	ProxyConnectHeader     http.Header
	GetProxyConnectHeader  func(ctx context.Context, proxyURL *url.URL, target string) (http.Header, error)

	DisableKeepAlives  bool
	DisableCompression bool

	MaxIdleConns        int // over all hosts; HTTP/1.1, HTTP/2 and what is no direct https each have their own. 0 means 100
	MaxIdleConnsPerHost int // 0 means http.DefaultMaxIdleConnsPerHost
	MaxConnsPerHost     int // 0 means no limit

	IdleConnTimeout       time.Duration // 0 means 90 seconds
	TLSHandshakeTimeout   time.Duration // from the time that the connection is up; 0 means 10 seconds
	ResponseHeaderTimeout time.Duration // 0 means no limit
	ExpectContinueTimeout time.Duration // 0 means 1 second

	MaxResponseHeaderBytes int64
	WriteBufferSize        int
	ReadBufferSize         int
	HTTP2                  *http.HTTP2Config

	once      sync.Once
	dialer    *tlstfo.Dialer
	direct    *tlstfo.Dialer // offers what Protocols says
	onlyHTTP1 *tlstfo.Dialer // for requests that HTTP/2 cannot carry
	proxy     func(*http.Request) (*url.URL, error)
	http1     *http.Transport // direct https, HTTP/1.1
	http2     *http.Transport // direct https, HTTP/2; nil if that is not to be spoken
	other     *http.Transport // the rest: http, and whatever a proxy is for
	hosts     hosts
}

var _ http.RoundTripper = (*Transport)(nil)

// maxTries bounds how often a request is started over: each time for another reason.
const maxTries = 4

var errProxyHello = errors.New("tfohttp: through a proxy the ClientHello is Go's, and Dialer.Hello is set")

// RoundTrip implements http.RoundTripper. What leaves early is *replayable*: a request that mayBeEarly.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	t.once.Do(t.init)
	if req.URL == nil || req.URL.Scheme != "https" {
		return t.other.RoundTrip(req)
	}
	switch proxy, err := t.proxy(req); {
	case err != nil:
		closeBody(req)
		return nil, err
	case proxy != nil && t.dialer.Hello != nil:
		closeBody(req)
		return nil, errProxyHello
	case proxy != nil:
		resp, err := t.other.RoundTrip(req.WithContext(context.WithValue(req.Context(), proxyKey{}, proxy)))
		if resp != nil {
			resp.Request = req
		}
		return resp, err
	}
	return t.roundTrip(req)
}

// roundTrip sends a request without a proxy, with all the tries that it takes.
func (t *Transport) roundTrip(req *http.Request) (*http.Response, error) {
	early := t.mayBeEarly(req)
	body := newBody(req)
	defer body.letGo()
	for try := 1; ; try++ {
		c, r := t.newCall(req, early, body)
		resp, err := t.inner(c).RoundTrip(r)
		c.finish(err)
		again, noEarly := c.again(resp, err)
		if !again || try == maxTries || !body.rewind() {
			return c.result(req, resp, err)
		}
		early = early && !noEarly
		drain(resp)
	}
}

// inner returns what speaks the protocol that the server is expected to choose.
func (t *Transport) inner(c *call) *http.Transport {
	switch {
	case t.http2 == nil || c.onlyHTTP1:
		return t.http1
	case t.expect(c, c.host) == protoHTTP1:
		return t.http1
	case t.DisableKeepAlives || wantsClose(c.req):
		return t.standAlone(c)
	}
	return t.http2
}

// expect returns the protocol that the server chose the last time, "" if that is not known. A ticket from an earlier
// process knows it too, by the address that is dialled: net/http's, which differs from the call's host where that is not ASCII.
func (t *Transport) expect(c *call, addr string) string {
	proto := t.hosts.proto(c.host)
	if proto == "" {
		if chosen, ok := t.direct.NextProto("tcp", addr); ok {
			proto = protocol(chosen)
			t.hosts.learn(c.host, proto)
		}
	}
	return proto
}

// CloseIdleConnections closes the connections that sit idle.
func (t *Transport) CloseIdleConnections() {
	t.once.Do(t.init)
	t.http1.CloseIdleConnections()
	t.other.CloseIdleConnections()
	if t.http2 != nil {
		t.http2.CloseIdleConnections()
	}
	t.hosts.closeSpares()
}

// Flush waits until no closed connection waits for tickets any more, so that the next connections find them (see
// tlstfo.Dialer.Flush). Programs that end soon, with sessions in a file, call it last, after CloseIdleConnections.
func (t *Transport) Flush(ctx context.Context) error {
	t.once.Do(t.init)
	return t.dialer.Flush(ctx)
}

// host returns the host and port of a URL, as far as they name a server.
func host(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "443"
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}
