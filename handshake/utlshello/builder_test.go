package utlshello

import (
	"bytes"
	"crypto/tls"
	"strings"
	"testing"
	"time"

	utls "github.com/refraction-networking/utls"

	"github.com/tlstfo/tlstfo/handshake"
)

// current are the presets that follow their clients.
var current = []utls.ClientHelloID{utls.HelloChrome_Auto, utls.HelloFirefox_Auto, utls.HelloSafari_Auto, utls.HelloEdge_Auto, utls.HelloIOS_Auto}

// usable are all presets that the engine can run.
var usable = append([]utls.ClientHelloID{
	utls.HelloChrome_72, utls.HelloChrome_83, utls.HelloChrome_87, utls.HelloChrome_96, utls.HelloChrome_100, utls.HelloChrome_102,
	utls.HelloChrome_106_Shuffle, utls.HelloChrome_100_PSK, utls.HelloChrome_112_PSK_Shuf, utls.HelloChrome_114_Padding_PSK_Shuf,
	utls.HelloChrome_120, utls.HelloChrome_131, utls.HelloFirefox_63, utls.HelloFirefox_65, utls.HelloFirefox_99, utls.HelloFirefox_102,
	utls.HelloFirefox_105, utls.HelloIOS_13, utls.HelloEdge_106, utls.HelloQQ_11_1,
}, current...)

// refusals are the other presets, with a part of the error.
var refusals = map[utls.ClientHelloID]string{
	utls.HelloChrome_115_PQ: "Kyber", utls.HelloChrome_115_PQ_PSK: "Kyber", utls.HelloChrome_120_PQ: "Kyber",
	utls.HelloChrome_70: "channel_id", utls.Hello360_11_0: "channel_id", utls.HelloChrome_58: "channel_id", utls.HelloChrome_62: "channel_id",
	utls.Hello360_7_5: "channel_id", utls.HelloFirefox_55: "TLS 1.3", utls.HelloFirefox_56: "TLS 1.3", utls.HelloIOS_11_1: "TLS 1.3",
	utls.HelloIOS_12_1: "TLS 1.3", utls.HelloAndroid_11_OkHttp: "TLS 1.3", utls.HelloGolang: "unknown ClientHelloID", utls.HelloCustom: "unknown ClientHelloID",
}

// Presets that follow their clients, and randomized ones, complete full handshakes with our server and that of crypto/tls.
func TestFullHandshake(t *testing.T) {
	ids := append([]utls.ClientHelloID{utls.HelloRandomized, utls.HelloRandomizedALPN, utls.HelloRandomizedNoALPN}, usable...)
	for _, id := range append(ids, seeds(t, 40)...) {
		t.Run(id.Str(), func(t *testing.T) {
			cfg, server := setup(t, Fingerprint(id))
			o, err := connect(t, cfg, serveOurs(t, server), nil, []byte("hello"))
			if err != nil {
				t.Fatal(err)
			}
			if string(o.echo) != "hello" || len(o.sessions) == 0 {
				t.Errorf("echo %q, %d sessions", o.echo, len(o.sessions))
			}
			std := &tls.Config{Certificates: server.Certificates, NextProtos: server.NextProtos, Time: func() time.Time { return testTime }}
			if o, err = connect(t, cfg, serveStd(t, std), nil, []byte("hello")); err != nil || !bytes.Equal(o.echo, []byte("hello")) {
				t.Errorf("crypto/tls: echo %q, %v", o.echo, err)
			}
		})
	}
}

// On the wire are the bytes that utls itself would send.
func TestSameAsUTLS(t *testing.T) {
	for _, id := range append(seeds(t, 60), usable...) {
		for _, name := range []string{"example.com", "a-much-longer-name.of-a-host.example.com", "192.0.2.1"} {
			cfg, _ := setup(t, Fingerprint(id))
			cfg.ServerName = name
			ours, theirs := firstHello(t, cfg).normal(isShuffled(id)), utlsHello(t, id, name, nil).normal(isShuffled(id))
			if !same(ours, theirs) {
				t.Errorf("%s to %s:\n%+v\nutls:\n%+v", id.Str(), name, ours, theirs)
			}
		}
	}
}

// seeds returns those of n randomized ids that have TLS 1.3.
func seeds(t *testing.T, n byte) (ids []utls.ClientHelloID) {
	t.Helper()
	for i := range n {
		seed := utls.PRNGSeed{i}
		id := utls.ClientHelloID{Client: utls.HelloRandomized.Client, Version: "0", Seed: &seed}
		spec, err := utls.UTLSIdToSpec(id)
		if err != nil {
			t.Fatal(err)
		}
		if spec.TLSVersMax == utls.VersionTLS13 {
			ids = append(ids, id)
		}
	}
	if len(ids) < int(n)/4 {
		t.Fatalf("only %d of %d seeds have TLS 1.3", len(ids), n)
	}
	return ids
}

// No share is for a group that is not listed, though utls draws some such hellos (RFC 8446, section 4.2.8).
func TestUnlistedShares(t *testing.T) {
	drawn := 0
	for _, id := range seeds(t, 100) {
		if _, unlawful := lawful(t, id); unlawful {
			drawn++
		}
		cfg, _ := setup(t, Fingerprint(id))
		h := firstHello(t, cfg)
		shared, _ := h.shares()
		listed := h.extensions[h.index(10)].data[2:]
		for _, group := range shared {
			if !bytes.Contains(listed, []byte{byte(group >> 8), byte(group)}) {
				t.Errorf("seed %x: shares of %v, listed are %x", *id.Seed, shared, listed)
			}
		}
	}
	if drawn == 0 {
		t.Error("no seed has a share that is not listed: nothing was tested")
	}
}

// The protocols of the Config replace those of the preset, in the same place, and settings for the others go.
func TestNextProtos(t *testing.T) {
	for _, id := range []utls.ClientHelloID{utls.HelloChrome_120, utls.HelloChrome_133, utls.HelloFirefox_Auto} {
		cfg, server := setup(t, Fingerprint(id))
		cfg.NextProtos = []string{"http/1.1"}
		o, err := connect(t, cfg, serveOurs(t, server), nil, []byte("hello"))
		if err != nil {
			t.Fatal(err)
		}
		if proto := o.client.ConnectionState().NegotiatedProtocol; proto != "http/1.1" {
			t.Errorf("%s: %q", id.Str(), proto)
		}
		h := hellosIn(t, o.sent)[0]
		if i := h.index(16); i < 0 || string(h.extensions[i].data) != "\x00\x09\x08http/1.1" || h.has(17513) || h.has(17613) {
			t.Errorf("%s: %v", id.Str(), h.extensions)
		}
	}
}

// Groups that the Config forbids are neither listed nor shared: this is how a hello is made to fit a SYN.
func TestGroups(t *testing.T) {
	cfg, server := setup(t, Fingerprint(utls.HelloChrome_Auto))
	cfg.Groups = []tls.CurveID{tls.X25519, tls.CurveP256}
	o, err := connect(t, cfg, serveOurs(t, server), nil, []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	h := hellosIn(t, o.sent)[0]
	groups, _ := h.shares()
	if len(groups) != 2 || !handshake.IsGREASE(groups[0]) || groups[1] != uint16(tls.X25519) {
		t.Errorf("shares of %v", groups)
	}
	if data := h.extensions[h.index(10)].data; len(data) != 8 || !bytes.Equal(data[4:], []byte{0, 29, 0, 23}) {
		t.Errorf("supported_groups: %x", data)
	}
	if o.client.HelloLen() > 1420 {
		t.Errorf("%d bytes", o.client.HelloLen())
	}
}

// Without a share that is allowed the server asks for one; without a group nothing is sent.
func TestGroupsWithoutShare(t *testing.T) {
	for _, id := range current {
		cfg, server := setup(t, Fingerprint(id))
		cfg.Groups = []tls.CurveID{tls.CurveP384}
		o, err := connect(t, cfg, serveOurs(t, server), nil, []byte("hello"))
		if err != nil {
			t.Fatal(err)
		}
		if state := o.client.ConnectionState(); !state.HelloRetryRequest || state.CurveID != tls.CurveP384 {
			t.Errorf("%s: %+v", id.Str(), state)
		}
		cfg.Groups = []tls.CurveID{tls.SecP256r1MLKEM768}
		if _, err := handshake.NewClient(cfg); err == nil || !strings.Contains(err.Error(), "leaves no group") {
			t.Errorf("%s: %v", id.Str(), err)
		}
	}
}

// What cannot be honoured is refused by name before anything is sent.
func TestRefused(t *testing.T) {
	for id, text := range refusals {
		cfg, _ := setup(t, Fingerprint(id))
		if _, err := handshake.NewClient(cfg); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", id.Str(), err)
		}
	}
	cfg, _ := setup(t, Fingerprint(utls.HelloChrome_Auto))
	cfg.SignatureAlgorithms = []tls.SignatureScheme{tls.Ed25519}
	if _, err := handshake.NewClient(cfg); err == nil || !strings.Contains(err.Error(), "SignatureAlgorithms") {
		t.Error(err)
	}
	for _, b := range []*Builder{Spec(nil), new(Builder), Fingerprint(utls.ClientHelloID{})} {
		cfg, _ := setup(t, b)
		if _, err := handshake.NewClient(cfg); err == nil {
			t.Errorf("%+v works", b)
		}
	}
	never := utls.DefaultWeights
	never.TLSVersMax_Set_VersionTLS13 = 0
	cfg, _ = setup(t, Fingerprint(utls.ClientHelloID{Client: utls.HelloRandomized.Client, Version: "0", Weights: &never}))
	if _, err := handshake.NewClient(cfg); err == nil || !strings.Contains(err.Error(), "Weights") {
		t.Error(err)
	}
}
