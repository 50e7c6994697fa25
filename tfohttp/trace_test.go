package tfohttp

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A logbook notes the hooks that were called.
type logbook struct {
	mu    sync.Mutex
	hooks []string
	conn  *Conn
	state tls.ConnectionState
}

func (l *logbook) note(hook string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hooks = append(l.hooks, hook)
}

func (l *logbook) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { l.note("GetConn") },
		GotConn: func(i httptrace.GotConnInfo) {
			l.note("GotConn")
			l.conn = i.Conn.(*Conn)
		},
		DNSStart:          func(httptrace.DNSStartInfo) { l.note("DNSStart") },
		DNSDone:           func(httptrace.DNSDoneInfo) { l.note("DNSDone") },
		ConnectStart:      func(_, _ string) { l.note("ConnectStart") },
		ConnectDone:       func(_, _ string, err error) { l.note("ConnectDone") },
		TLSHandshakeStart: func() { l.note("TLSHandshakeStart") },
		TLSHandshakeDone: func(s tls.ConnectionState, err error) {
			l.note("TLSHandshakeDone")
			l.state = s
		},
		WroteHeaders:         func() { l.note("WroteHeaders") },
		WroteRequest:         func(httptrace.WroteRequestInfo) { l.note("WroteRequest") },
		GotFirstResponseByte: func() { l.note("GotFirstResponseByte") },
	})
}

// want checks the hooks: each once, but for GetConn, and each after those that it must follow.
func (l *logbook) want(t *testing.T, name string, hooks ...string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, rule := range []string{"DNSStart DNSDone", "DNSDone ConnectStart", "ConnectStart ConnectDone", "ConnectDone TLSHandshakeStart",
		"TLSHandshakeStart TLSHandshakeDone", "TLSHandshakeDone GotFirstResponseByte", "WroteHeaders WroteRequest", "GotConn WroteHeaders"} {
		before, after, _ := strings.Cut(rule, " ")
		if a, b := slices.Index(l.hooks, before), slices.Index(l.hooks, after); a >= 0 && b >= 0 && a > b {
			t.Errorf("%s: %s before %s: %q", name, after, before, l.hooks)
		}
	}
	got := slices.Clone(l.hooks)
	slices.Sort(got)
	slices.Sort(hooks)
	if got = slices.Compact(got); !slices.Equal(got, hooks) {
		t.Errorf("%s: %q, want %q", name, got, hooks)
	}
	if l.hooks[0] != "GetConn" {
		t.Errorf("%s: %q", name, l.hooks)
	}
}

// The hooks of httptrace tell of a connection's beginnings, early data or not.
func TestTrace(t *testing.T) {
	all := []string{"GetConn", "GotConn", "DNSStart", "DNSDone", "ConnectStart", "ConnectDone", "TLSHandshakeStart", "TLSHandshakeDone",
		"WroteHeaders", "WroteRequest", "GotFirstResponseByte"}
	reused := []string{"GetConn", "GotConn", "WroteHeaders", "WroteRequest", "GotFirstResponseByte"}
	versions(t, func(t *testing.T, proto string) {
		p := newPeer(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), proto)
		tr := p.client(t)
		url := strings.Replace(p.url, "127.0.0.1", "localhost", 1)
		for _, step := range []struct {
			name, method string
			cold         bool
			hooks        []string
			early        bool
		}{
			{"first contact", "GET", true, all, false},
			{"idle", "GET", false, reused, false},
			{"warm", "GET", true, all, true},
			{"warm POST", "POST", true, all, false},
			{"idle POST", "POST", false, reused, false},
		} {
			if step.cold {
				cold(t, tr)
			}
			log := &logbook{}
			req := newRequest(t, step.method, url, nil).WithContext(log.trace(t.Context()))
			resp, _ := do(t, tr, req)
			log.want(t, step.name, step.hooks...)
			info := log.conn.TLS().Info()
			if step.cold && (info.Early.Accepted != step.early || !log.state.HandshakeComplete || log.state.NegotiatedProtocol != proto) {
				t.Errorf("%s: %+v, %+v", step.name, info.Early, log.state)
			}
			if resp.Request != req {
				t.Errorf("%s: the response is of another request", step.name)
			}
		}
	})
}

// The error of a handshake reaches the hook.
func TestTraceFailure(t *testing.T) {
	versions(t, func(t *testing.T, proto string) {
		p := newPeer(t, telling, proto)
		tr := newTransport(t, nil) // trusts nobody here
		var hooked error
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{TLSHandshakeDone: func(_ tls.ConnectionState, err error) { hooked = err }})
		_, err := tr.RoundTrip(newRequest(t, "GET", p.url, nil).WithContext(ctx))
		if err == nil || hooked != err {
			t.Errorf("RoundTrip: %v, TLSHandshakeDone: %v", err, hooked)
		}
	})
}
