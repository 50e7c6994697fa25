package tfohttp

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/tlstfo/tlstfo"
)

// The protocols by their ALPN names (RFC 7301).
const (
	protoHTTP1 = "http/1.1"
	protoHTTP2 = "h2"
)

// protocol is what a server speaks that chose a protocol, or none.
func protocol(chosen string) string {
	if chosen == protoHTTP2 {
		return protoHTTP2
	}
	return protoHTTP1
}

// init settles what the first use needs.
func (t *Transport) init() {
	t.dialer, t.proxy = t.Dialer, t.Proxy
	if t.dialer == nil {
		t.dialer = &tlstfo.Dialer{NetDialer: &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}}
	}
	if t.proxy == nil {
		t.proxy = http.ProxyFromEnvironment
	}
	t.onlyHTTP1 = t.speaking(protoHTTP1)
	t.direct = t.onlyHTTP1
	t.http1 = t.settings()
	t.http1.Protocols = protocols((*http.Protocols).SetHTTP1)
	t.http1.DialTLSContext = t.dialHTTP1
	if speaks2 := t.Protocols == nil || t.Protocols.HTTP2(); speaks2 && hasHTTP2() {
		t.direct = t.speaking(protoHTTP2, protoHTTP1)
		if t.Protocols != nil && !t.Protocols.HTTP1() {
			t.direct = t.speaking(protoHTTP2)
		}
		t.http2 = t.newHTTP2()
	}
	t.other = t.settings()
	t.other.Protocols = t.Protocols
	t.other.ForceAttemptHTTP2 = t.Protocols == nil
	t.other.TLSClientConfig = t.dialer.WithTLSConfig(t.dialer.TLSConfig).TLSConfig.Clone() // with the lock of KeyLogWriter
	t.other.Proxy = t.otherProxy
	if nd := t.dialer.NetDialer; nd != nil {
		t.other.DialContext = nd.DialContext
	}
}

// speaking returns the Dialer with other protocols on offer.
func (t *Transport) speaking(protos ...string) *tlstfo.Dialer {
	config := t.dialer.TLSConfig.Clone()
	if config == nil {
		config = new(tls.Config)
	}
	config.NextProtos = protos
	return t.dialer.WithTLSConfig(config)
}

// newHTTP2 returns what speaks HTTP/2. net/http learns from a *tls.Conn alone which protocol was chosen. Here it is told that a connection needs no
// such word: it is known to be HTTP/2. That net/http calls this unencrypted is of no account.
func (t *Transport) newHTTP2() *http.Transport {
	h2 := t.settings()
	h2.Protocols = protocols((*http.Protocols).SetUnencryptedHTTP2)
	h2.DialTLSContext = t.dialHTTP2
	return h2
}

// settings returns an http.Transport with the settings that all of them share.
func (t *Transport) settings() *http.Transport {
	return &http.Transport{
		OnProxyConnectResponse: t.OnProxyConnectResponse,
		ProxyConnectHeader:     t.ProxyConnectHeader,
		GetProxyConnectHeader:  t.GetProxyConnectHeader,
		DisableKeepAlives:      t.DisableKeepAlives,
		DisableCompression:     t.DisableCompression,
		MaxIdleConns:           orDefault(t.MaxIdleConns, 100),
		MaxIdleConnsPerHost:    t.MaxIdleConnsPerHost,
		MaxConnsPerHost:        t.MaxConnsPerHost,
		IdleConnTimeout:        orDefault(t.IdleConnTimeout, 90*time.Second),
		TLSHandshakeTimeout:    orDefault(t.TLSHandshakeTimeout, 10*time.Second),
		ResponseHeaderTimeout:  t.ResponseHeaderTimeout,
		ExpectContinueTimeout:  orDefault(t.ExpectContinueTimeout, time.Second),
		MaxResponseHeaderBytes: t.MaxResponseHeaderBytes,
		WriteBufferSize:        t.WriteBufferSize,
		ReadBufferSize:         t.ReadBufferSize,
		HTTP2:                  t.HTTP2,
		TLSClientConfig:        &tls.Config{}, // unused: the connections have their TLS
	}
}

func orDefault[T int | time.Duration](v, usual T) T {
	if v == 0 {
		return usual
	}
	return max(v, 0)
}

func protocols(set func(*http.Protocols, bool)) *http.Protocols {
	p := new(http.Protocols)
	set(p, true)
	return p
}

// hasHTTP2 tells whether net/http speaks HTTP/2: it can be switched off, by a build tag and by a GODEBUG setting, of the environment or else of
// the program, in which a //go:debug line or its go.mod has it.
func hasHTTP2() bool {
	program := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "DefaultGODEBUG" {
				program = s.Value
			}
		}
	}
	return !omitHTTP2 && http2Client(program+","+os.Getenv("GODEBUG"))
}

// http2Client tells whether GODEBUG settings leave HTTP/2 switched on; the last one counts.
func http2Client(settings string) bool {
	on := true
	for setting := range strings.SplitSeq(settings, ",") {
		if value, ok := strings.CutPrefix(strings.TrimSpace(setting), "http2client="); ok {
			value, _, _ = strings.Cut(value, "#") // where the tool bisect searches
			on = value != "0"
		}
	}
	return on
}

// proxyKey is the context key of the proxy of a request, where it is decided: Transport.Proxy is asked once.
type proxyKey struct{}

// otherProxy is http.Transport.Proxy of what is no direct https.
func (t *Transport) otherProxy(req *http.Request) (*url.URL, error) {
	if proxy, ok := req.Context().Value(proxyKey{}).(*url.URL); ok {
		return proxy, nil
	}
	return t.proxy(req)
}

// callOf returns the call that a context belongs to.
func callOf(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}
