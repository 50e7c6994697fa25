package utlshello

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	utls "github.com/refraction-networking/utls"

	"github.com/tlstfo/tlstfo/handshake"
)

// A spec makes the hellos of its preset, for many connections at once, and is never changed.
func TestSpec(t *testing.T) {
	for _, id := range current {
		spec, err := utls.UTLSIdToSpec(id)
		if err != nil {
			t.Fatal(err)
		}
		before := describe(&spec)
		b := Spec(&spec)
		var wg sync.WaitGroup
		hellos := make([]hello, 8)
		for i := range hellos {
			wg.Go(func() {
				cfg, server := setup(t, b)
				o, err := connect(t, cfg, serveOurs(t, server), nil, []byte("hello"))
				if err != nil {
					t.Error(err)
					return
				}
				hellos[i] = hellosIn(t, o.sent)[0]
			})
		}
		wg.Wait()
		if after := describe(&spec); after != before {
			t.Errorf("%s: the spec was changed:\n%s\n%s", id.Str(), before, after)
		}
		theirs := utlsHello(t, id, "example.com", nil).normal(true)
		for i, h := range hellos {
			if !same(h.normal(true), theirs) {
				t.Errorf("%s: another hello than the preset's", id.Str())
			}
			for _, other := range hellos[:i] {
				if bytes.Equal(h.random, other.random) || bytes.Equal(h.sessionID, other.sessionID) || bytes.Equal(shareData(h), shareData(other)) {
					t.Errorf("%s: two hellos share what must be new", id.Str())
				}
				if e := h.index(0xfe0d); e >= 0 && bytes.Equal(h.extensions[e].data[8:40], other.extensions[other.index(0xfe0d)].data[8:40]) {
					t.Errorf("%s: two hellos share the key of encrypted_client_hello", id.Str())
				}
			}
		}
	}
}

// describe prints a spec without the functions in it, whose addresses may differ.
func describe(spec *utls.ClientHelloSpec) string {
	var b strings.Builder
	fmt.Fprint(&b, spec.CipherSuites, spec.TLSVersMin, spec.TLSVersMax)
	for _, e := range spec.Extensions {
		switch e := e.(type) {
		case *utls.GREASEEncryptedClientHelloExtension:
			fmt.Fprint(&b, e.CandidateCipherSuites, e.CandidatePayloadLens, e.EncapsulatedKey)
		default:
			fmt.Fprintf(&b, "%T %v\n", e, e)
		}
	}
	return b.String()
}

func shareData(h hello) []byte { return h.extensions[h.index(51)].data }

// A hello that was captured works as well, with shares of its own.
func TestCapturedSpec(t *testing.T) {
	conn := utls.UClient(nil, &utls.Config{ServerName: "example.net"}, utls.HelloFirefox_120)
	if err := conn.BuildHandshakeState(); err != nil {
		t.Fatal(err)
	}
	raw := conn.HandshakeState.Hello.Raw
	spec := new(utls.ClientHelloSpec)
	if err := spec.FromRaw(append([]byte{22, 3, 1, byte(len(raw) >> 8), byte(len(raw))}, raw...)); err != nil {
		t.Fatal(err)
	}
	spec.TLSVersMin, spec.TLSVersMax = 0, 0
	cfg, server := setup(t, Spec(spec))
	o, err := connect(t, cfg, serveOurs(t, server), nil, []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	if !same(hellosIn(t, o.sent)[0].normal(false), utlsHello(t, utls.HelloFirefox_120, "example.com", nil).normal(false)) {
		t.Error("another hello than the captured one")
	}
}

// Places that a spec names are kept, and what it cannot have is refused, panics of utls included.
func TestSpecExtensions(t *testing.T) {
	spec, _ := utls.UTLSIdToSpec(utls.HelloFirefox_120)
	base := spec.Extensions
	spec.Extensions = slices.Concat([]utls.TLSExtension{&utls.GenericExtension{Id: extEarlyData}, &utls.GenericExtension{Id: extCookie}}, base)
	cfg, server := setup(t, Spec(&spec))
	o, err := connect(t, cfg, serveOurs(t, server), nil, []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	if h := hellosIn(t, o.sent)[0]; h.has(extEarlyData) || h.has(extCookie) {
		t.Error("a place was sent without what stands there")
	}
	cfg.Session, cfg.EarlyData = o.sessions[0], true
	if h := firstHello(t, cfg); h.index(extEarlyData) != 0 {
		t.Errorf("early_data stands at %d", h.index(extEarlyData))
	}
	for text, e := range map[string]utls.TLSExtension{
		"channel_id":                &utls.FakeChannelIDExtension{},
		"token_binding":             &utls.FakeTokenBindingExtension{},
		"quic_transport_parameters": &utls.QUICTransportParametersExtension{},
		"a cookie":                  &utls.CookieExtension{},
		"of type <nil>":             nil,
		"post_handshake_auth":       &utls.GenericExtension{Id: 49},
		"unknown extension (1234)":  &utls.GenericExtension{Id: 1234},
		"panicked":                  &utls.SessionTicketExtension{}, // the second one
	} {
		spec.Extensions = append(slices.Clone(base), e)
		cfg, _ := setup(t, Spec(&spec))
		if _, err := handshake.NewClient(cfg); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// Shares that a strict server refuses, and a mode that the engine does not have, are refused by name.
func TestSpecShares(t *testing.T) {
	for text, edit := range map[string]func(any){
		"share for group 25": func(e any) { // not listed
			if e, ok := e.(*utls.KeyShareExtension); ok {
				e.KeyShares = []utls.KeyShare{{Group: utls.CurveP521}}
			}
		},
		"share for group 29": func(e any) { // twice
			if e, ok := e.(*utls.KeyShareExtension); ok {
				e.KeyShares = []utls.KeyShare{{Group: utls.X25519}, {Group: utls.X25519}}
			}
		},
		"another order": func(e any) {
			if e, ok := e.(*utls.KeyShareExtension); ok {
				e.KeyShares = []utls.KeyShare{{Group: utls.CurveP256}, {Group: utls.X25519}}
			}
		},
		"malformed": func(e any) { // a share without a key
			if e, ok := e.(*utls.KeyShareExtension); ok {
				e.KeyShares = []utls.KeyShare{{Group: utls.GREASE_PLACEHOLDER}}
			}
		},
		"psk_ke": func(e any) {
			if e, ok := e.(*utls.PSKKeyExchangeModesExtension); ok {
				e.Modes = []uint8{utls.PskModePlain, utls.PskModeDHE}
			}
		},
	} {
		spec, err := utls.UTLSIdToSpec(utls.HelloSafari_Auto)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range spec.Extensions {
			edit(e)
			if e, ok := e.(*utls.SupportedCurvesExtension); ok {
				e.Curves = []utls.CurveID{utls.GREASE_PLACEHOLDER, utls.X25519, utls.CurveP256}
			}
		}
		cfg, _ := setup(t, Spec(&spec))
		if _, err := handshake.NewClient(cfg); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// Suites, groups and algorithms that a server could select and the engine does not have are refused by name. What Firefox lists for
// show is not: it has two finite-field groups.
func TestSpecLists(t *testing.T) {
	for text, edit := range map[string]func(*utls.ClientHelloSpec, any){
		"TLS_AES_128_CCM_SHA256": func(s *utls.ClientHelloSpec, _ any) { s.CipherSuites = append([]uint16{0x1304}, s.CipherSuites...) },
		"x448": func(_ *utls.ClientHelloSpec, e any) {
			if e, ok := e.(*utls.SupportedCurvesExtension); ok {
				e.Curves = append(e.Curves, 30)
			}
		},
		"a Kyber draft": func(_ *utls.ClientHelloSpec, e any) {
			if e, ok := e.(*utls.SupportedCurvesExtension); ok {
				e.Curves = append(e.Curves, utls.X25519Kyber768Draft00)
			}
		},
		"ed448": func(_ *utls.ClientHelloSpec, e any) {
			if e, ok := e.(*utls.SignatureAlgorithmsExtension); ok {
				e.SupportedSignatureAlgorithms = append(e.SupportedSignatureAlgorithms, 0x0808)
			}
		},
		"rsa_pss_pss_sha256": func(_ *utls.ClientHelloSpec, e any) {
			if e, ok := e.(*utls.FakeDelegatedCredentialsExtension); ok {
				e.SupportedSignatureAlgorithms = append(e.SupportedSignatureAlgorithms, 0x0809)
			}
		},
		"": func(_ *utls.ClientHelloSpec, e any) {
			if e, ok := e.(*utls.SupportedCurvesExtension); ok && (!slices.Contains(e.Curves, 256) || !slices.Contains(e.Curves, 257)) {
				t.Error("Firefox lists no finite-field group: nothing was tested")
			}
		},
	} {
		spec, err := utls.UTLSIdToSpec(utls.HelloFirefox_Auto)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range spec.Extensions {
			edit(&spec, e)
		}
		cfg, _ := setup(t, Spec(&spec))
		if _, err := handshake.NewClient(cfg); (err == nil) != (text == "") || err != nil && !strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// FuzzSpec: whatever was captured makes a hello that the engine can run, or an error.
func FuzzSpec(f *testing.F) {
	for _, id := range current {
		conn := utls.UClient(nil, &utls.Config{ServerName: "example.net"}, id)
		if err := conn.BuildHandshakeState(); err != nil {
			f.Fatal(err)
		}
		f.Add(conn.HandshakeState.Hello.Raw)
	}
	f.Add([]byte{1, 0, 0, 0})
	session := &handshake.Session{CipherSuite: tls.TLS_AES_256_GCM_SHA384, Secret: make([]byte, 48), Ticket: make([]byte, 10), MaxEarlyData: 1}
	f.Fuzz(func(t *testing.T, raw []byte) {
		spec := new(utls.ClientHelloSpec)
		if len(raw) > 1<<15 || capture(spec, raw) != nil {
			return
		}
		spec.TLSVersMin, spec.TLSVersMax = 0, 0
		cfg := &handshake.Config{ServerName: "example.com", Hello: Spec(spec), Session: session, EarlyData: true}
		c, err := handshake.NewClient(cfg)
		if err != nil {
			return
		}
		if hellos := hellosIn(t, c.AppendOutput(nil)); len(hellos) != 1 || hellos[0].length < 100 {
			t.Errorf("%d hellos", len(hellos))
		}
	})
}

// capture reads a ClientHello message, and takes panics of utls for errors.
func capture(spec *utls.ClientHelloSpec, raw []byte) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	return spec.FromRaw(append([]byte{22, 3, 1, byte(len(raw) >> 8), byte(len(raw))}, raw...), true)
}
