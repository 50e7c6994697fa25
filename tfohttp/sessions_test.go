package tfohttp

import (
	"errors"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/tlstfo/tlstfo"
)

// A Transport that knows nothing but the tickets of another process sends its first request early, in the protocol that the ticket says.
func TestTicketKnowsProtocol(t *testing.T) {
	versions(t, func(t *testing.T, proto string) {
		p := newPeer(t, telling, proto)
		sessions, err := tlstfo.OpenFileSessions(filepath.Join(t.TempDir(), "sessions"), nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			tr := p.client(t)
			tr.Dialer.Sessions = sessions
			get(t, tr, p.url+"/x")
			cold(t, tr)
		}
		if got := replay(t, p.accepted()); len(p.accepted()) != 2 || !slices.Equal(got, []string{"GET /x"}) {
			t.Errorf("%d connections, early were %q", len(p.accepted()), got)
		}
	})
}

// net/http dials a host whose name is not ASCII by its ASCII form, and tickets of another process are found by that.
func TestTicketOfInternationalName(t *testing.T) {
	versions(t, func(t *testing.T, proto string) {
		p := newPeer(t, telling, proto)
		tr := p.client(t)
		tr.Dialer.Sessions = tickets(t, p)
		tr.once.Do(tr.init)
		var dials atomic.Int32
		p.atAccept(func(int) { dials.Add(1) })
		req := newRequest(t, "GET", "https://b\u00fccher.example", nil)
		c, r := tr.newCall(req, true, newBody(req))
		if tr.inner(c) != tr.http2 {
			t.Error("the protocol is known by the name of the URL")
		}
		conn, err := tr.dialHTTP2(r.Context(), "tcp", p.addr) // the ASCII form
		switch proto {
		case protoHTTP1:
			if !errors.Is(err, errOtherProtocol) || tr.inner(c) != tr.http1 {
				t.Errorf("%v, %v", conn, err)
			}
		case protoHTTP2:
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if x := conn.(*Conn); x.phase != fresh {
				t.Errorf("phase %v", x.phase)
			}
		}
		if n := dials.Load(); n != 0 {
			t.Errorf("%d dials to find out the protocol", n)
		}
	})
}

// A server without ALPN speaks HTTP/1.1.
func TestNoALPN(t *testing.T) {
	p := newPeer(t, telling)
	tr := p.warm(t)
	for range 2 {
		if _, body := get(t, tr, p.url+"/x"); body != "HTTP/1.1 GET /x" {
			t.Errorf("%q", body)
		}
		cold(t, tr)
	}
	if got := replay(t, p.accepted()); !slices.Equal(got, []string{"GET /x", "GET /x"}) {
		t.Errorf("early were %q", got)
	}
}
