package utlshello

import (
	"bytes"
	"crypto/tls"
	"slices"
	"testing"

	utls "github.com/refraction-networking/utls"

	"github.com/tlstfo/tlstfo/handshake"
)

// resumed makes a session and a configuration to resume it with early data.
func resumed(t testing.TB, id utls.ClientHelloID) (*handshake.Config, *handshake.ServerConfig) {
	t.Helper()
	cfg, server := setup(t, Fingerprint(id))
	o, err := connect(t, cfg, serveOurs(t, server), nil, []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	if len(o.sessions) == 0 || o.sessions[0].MaxEarlyData == 0 {
		t.Fatal("no session with early data")
	}
	cfg.Session, cfg.EarlyData = o.sessions[0], true
	return cfg, server
}

// All that can be resumed resumes with early data. pre_shared_key stands last, early_data where the client has it, and the padding
// is that of the longer hello; all else is as it was.
func TestEarlyData(t *testing.T) {
	for _, id := range append([]utls.ClientHelloID{utls.HelloRandomizedALPN, utls.HelloRandomizedNoALPN}, usable...) {
		t.Run(id.Str(), func(t *testing.T) {
			cfg, server := resumed(t, id)
			o, err := connect(t, cfg, serveOurs(t, server), []byte("early"), []byte("late"))
			if err != nil {
				t.Fatal(err)
			}
			if string(o.echo) != "earlylate" || o.client.EarlyData() != handshake.EarlyAccepted || !o.client.ConnectionState().DidResume {
				t.Errorf("echo %q, early data %v (%v)", o.echo, o.client.EarlyData(), o.client.EarlyReason())
			}
			h := hellosIn(t, o.sent)[0]
			at := h.index(42)
			if h.extensions[len(h.extensions)-1].typ != 41 || at < 0 || len(h.extensions[at].data) != 0 {
				t.Fatalf("extensions: %v", h.extensions)
			}
			if !checkPlace(h, at, id) {
				t.Errorf("early_data stands at %d of %v", at, h.extensions)
			}
			if h.has(21) && !h.isPadded() {
				t.Errorf("padding of a hello with %d bytes", h.length)
			}
			// Without them it is the first hello.
			cfg.Session, cfg.EarlyData = nil, false
			plain := firstHello(t, cfg).normal(isShuffled(id))
			h.extensions = slices.Delete(h.extensions[:len(h.extensions)-1], at, at+1)
			h = h.normal(isShuffled(id))
			h.length, plain.length = 0, 0
			dropPadding := func(e extension) bool { return e.typ == 21 }
			h.extensions = slices.DeleteFunc(h.extensions, dropPadding)
			plain.extensions = slices.DeleteFunc(plain.extensions, dropPadding)
			if !same(h, plain) {
				t.Errorf("resumed:\n%+v\nfirst:\n%+v", h, plain)
			}
		})
	}
}

// checkPlace tells whether early_data stands where a client has it.
func checkPlace(h hello, at int, id utls.ClientHelloID) bool {
	switch {
	case isRandomized(id): // by chance it may look like Firefox
		return h.extensions[at-1].typ == 45 || h.extensions[at-1].typ == 51
	case isShuffled(id): // between two of GREASE
		last := len(h.extensions) - 2
		if h.extensions[last].typ == 21 {
			last--
		}
		return handshake.IsGREASE(h.extensions[0].typ) && handshake.IsGREASE(h.extensions[last].typ) && at > 0 && at < last
	case id.Client == utls.HelloFirefox_Auto.Client:
		return h.extensions[at-1].typ == 51 && h.extensions[at+1].typ == 43
	}
	return h.extensions[at-1].typ == 45
}

// Chrome's place of early_data is random.
func TestShuffledPlace(t *testing.T) {
	cfg, _ := resumed(t, utls.HelloChrome_Auto)
	places := make(map[int]int)
	for range 60 {
		h := firstHello(t, cfg)
		places[h.index(42)]++
	}
	if len(places) < 8 {
		t.Errorf("early_data was at %v", places)
	}
}

// A padded hello that the ticket makes long enough is padded no more.
func TestPaddingShrinks(t *testing.T) {
	cfg, _ := resumed(t, utls.HelloEdge_Auto)
	session := *cfg.Session
	cfg.Session = nil
	if h := firstHello(t, cfg); h.length != 512 || !h.isPadded() {
		t.Errorf("first hello: %d bytes", h.length)
	}
	cfg.Session = &session
	for _, ticket := range []int{1, 20, 32, 100, 250} {
		session.Ticket = make([]byte, ticket)
		h := firstHello(t, cfg)
		if !h.isPadded() || h.length < 512 || h.extensions[len(h.extensions)-1].typ != 41 {
			t.Errorf("a ticket of %d bytes: %d bytes", ticket, h.length)
		}
		if i := h.index(21); i >= 0 && i != len(h.extensions)-2 {
			t.Errorf("padding at %d of %d", i, len(h.extensions))
		}
	}
}

// A server of P-256 only: Firefox sends a share for it, so that the engine needs its key; Chrome is asked for one, with all else as it
// was, but for early_data and the padding.
func TestHelloRetryRequest(t *testing.T) {
	for _, id := range current {
		for _, early := range []bool{false, true} {
			cfg, server := resumed(t, id)
			if !early {
				cfg.Session, cfg.EarlyData = nil, false
			}
			server.Groups = []tls.CurveID{tls.CurveP256}
			var data []byte
			if early {
				data = []byte("early")
			}
			o, err := connect(t, cfg, serveOurs(t, server), data, []byte("late"))
			if err != nil {
				t.Errorf("%s: %v", id.Str(), err)
				continue
			}
			state := o.client.ConnectionState()
			firefox := id.Client == utls.HelloFirefox_Auto.Client
			if state.CurveID != tls.CurveP256 || state.HelloRetryRequest == firefox || state.DidResume != early {
				t.Errorf("%s: group %v, retried %v, resumed %v", id.Str(), state.CurveID, state.HelloRetryRequest, state.DidResume)
			}
			if firefox {
				continue
			}
			hellos := hellosIn(t, o.sent)
			if len(hellos) != 2 {
				t.Fatalf("%s: %d hellos", id.Str(), len(hellos))
			}
			first, second := hellos[0], hellos[1]
			groups, lengths := second.shares()
			if !slices.Equal(groups, []uint16{23}) || !slices.Equal(lengths, []int{65}) || second.has(42) || second.has(21) && !second.isPadded() {
				t.Errorf("%s: second hello: %v", id.Str(), second.extensions)
			}
			if !bytes.Equal(first.random, second.random) || !bytes.Equal(first.sessionID, second.sessionID) {
				t.Errorf("%s: random fields changed (RFC 8446, section 4.1.2)", id.Str())
			}
			changing := func(e extension) bool { return e.typ == 21 || e.typ == 41 || e.typ == 42 || e.typ == 51 }
			a, b := slices.DeleteFunc(slices.Clone(first.extensions), changing), slices.DeleteFunc(slices.Clone(second.extensions), changing)
			if !slices.EqualFunc(a, b, func(a, b extension) bool { return a.typ == b.typ && bytes.Equal(a.data, b.data) }) {
				t.Errorf("%s: the second hello differs:\n%v\n%v", id.Str(), a, b)
			}
		}
	}
}
