package handshake

import (
	"bytes"
	"strings"
	"testing"
)

// Both ends export the same, under the limits of section 7.5, and nothing
// before the handshake is complete.
func TestExporter(t *testing.T) {
	cfg, client, _ := serverSetup(t)
	p := newPair(t, cfg, client, "")
	if _, err := p.c.ExportKeyingMaterial("label", nil, 16); err == nil {
		t.Error("keying material before the handshake")
	}
	if _, err := p.s.ExportKeyingMaterial("label", nil, 16); err == nil {
		t.Error("keying material of a server before the handshake")
	}
	if ce, se := p.run(); ce != nil || se != nil {
		t.Fatal(ce, se)
	}
	exporter := p.c.Exporter()
	p.sessions(t) // splits
	most := 255 * p.c.suite.hashLen
	for _, c := range []struct {
		label   string
		context []byte
		length  int
		ok      bool
	}{
		{"EXPORTER-label", nil, 32, true},
		{"EXPORTER-label", []byte("context"), 32, true},
		{"", nil, 0, true},
		{strings.Repeat("l", 249), make([]byte, 1<<17), most, true},
		{strings.Repeat("l", 250), nil, 1, false},
		{"l", nil, most + 1, false},
		{"l", nil, -1, false},
	} {
		ours, err := exporter.ExportKeyingMaterial(c.label, c.context, c.length)
		theirs, serverErr := p.s.ExportKeyingMaterial(c.label, c.context, c.length)
		if (err == nil) != c.ok || (serverErr == nil) != c.ok || !bytes.Equal(ours, theirs) || c.ok && len(ours) != c.length {
			t.Errorf("label of %d bytes, %d bytes: %v, %v", len(c.label), c.length, err, serverErr)
		}
	}
	for name, e := range map[string]*Exporter{"nil": nil, "zero": new(Exporter)} {
		if _, err := e.ExportKeyingMaterial("label", nil, 16); err == nil {
			t.Errorf("a %s Exporter exports", name)
		}
	}
}

// What a server's Exporter exports does not change when the handshake fails
// after it was taken: its secret is not one of those that are cleared then (section 6).
func TestExporterOfFailedHandshake(t *testing.T) {
	cfg, client, _ := serverSetup(t)
	s := scripted(t, cfg, client, "")
	exporter := s.s.Exporter()
	before, err := exporter.ExportKeyingMaterial("EXPORTER-label", nil, 32)
	if err != nil {
		t.Fatal(err)
	}
	s.s.Feed(s.message(typeFinished, make([]byte, 32)...))
	if _, err := s.s.Next(testTime); err == nil || s.s.Exporter() != nil {
		t.Fatal("the handshake did not fail, or can still be exported from")
	}
	if after, err := exporter.ExportKeyingMaterial("EXPORTER-label", nil, 32); err != nil || !bytes.Equal(before, after) {
		t.Errorf("%x, then %x, %v", before, after, err)
	}
}

// A version is known with the peer's hello, on both sides.
func TestVersionBeforeHello(t *testing.T) {
	cfg, client, _ := serverSetup(t)
	p := newPair(t, cfg, client, "")
	if c, s := p.c.ConnectionState().Version, p.s.ConnectionState().Version; c != 0 || s != 0 {
		t.Errorf("before any hello: client %#x, server %#x", c, s)
	}
	p.s.Feed(p.c.AppendOutput(nil))
	if err := p.nextServer(); err != nil || p.s.ConnectionState().Version != versionTLS13 {
		t.Errorf("%v, server %#x", err, p.s.ConnectionState().Version)
	}
}
