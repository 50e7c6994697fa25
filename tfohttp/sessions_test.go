package tfohttp

import (
	"path/filepath"
	"slices"
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
