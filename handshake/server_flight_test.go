package handshake

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

// script is a client that says what a test wants, under the keys that the
// server expects.
type script struct {
	t    *testing.T
	s    *Server
	keys *protector // the client's handshake keys
}

// scripted runs a handshake until the server waits for the client's second
// flight. With early set that is early data.
func scripted(t *testing.T, cfg *ServerConfig, client *Config, early string) *script {
	t.Helper()
	p := newPair(t, cfg, client, early)
	p.s.Feed(p.c.AppendOutput(nil))
	if err := p.nextServer(); err != nil {
		t.Fatal(err)
	}
	keys, err := newProtector(p.s.suite, bytes.Clone(p.s.clientHandshake))
	if err != nil {
		t.Fatal(err)
	}
	return &script{t, p.s, keys}
}

func (c *script) seal(typ recordType, data ...byte) []byte { return c.keys.seal(nil, typ, data, 0) }

func (c *script) message(typ messageType, body ...byte) []byte {
	return c.seal(recordHandshake, append([]byte{byte(typ), byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body))}, body...)...)
}

// finished is the Finished that the server expects now.
func (c *script) finished() []byte {
	return c.s.suite.finished(c.s.clientHandshake, c.s.transcript.Sum(nil))
}

// What may not come where the client's Finished is due.
func TestServerFinishedFaults(t *testing.T) {
	for _, c := range []struct {
		name    string
		fault   Fault
		records func(*script) []byte
	}{
		{"bad Finished", FaultBadFinished, func(c *script) []byte {
			return c.message(typeFinished, make([]byte, c.s.suite.hashLen)...)
		}},
		{"long Finished", FaultBadFinished, func(c *script) []byte { return c.message(typeFinished, append(c.finished(), 0)...) }},
		{"short Finished", FaultBadFinished, func(c *script) []byte { return c.message(typeFinished) }},
		{"a message behind Finished", FaultPartialMessage, func(c *script) []byte {
			body := c.finished()
			return c.seal(recordHandshake, append(append([]byte{20, 0, 0, byte(len(body))}, body...), 24)...)
		}},
		{"Certificate", FaultUnexpectedMessage, func(c *script) []byte { return c.message(typeCertificate, 0, 0, 0, 0) }},
		{"EndOfEarlyData", FaultUnexpectedMessage, func(c *script) []byte { return c.message(typeEndOfEarlyData) }},
		{"EncryptedExtensions", FaultUnexpectedMessage, func(c *script) []byte { return c.message(typeEncryptedExtensions, 0, 0) }},
		{"ClientHello", FaultUnexpectedMessage, func(c *script) []byte { return c.message(typeClientHello) }},
		{"KeyUpdate", FaultUnexpectedMessage, func(c *script) []byte { return c.message(typeKeyUpdate, 0) }},
		{"application data", FaultUnexpectedRecord, func(c *script) []byte { return c.seal(recordApplication, 1) }},
		{"garbage", FaultBadRecordMAC, func(c *script) []byte { return appendPlaintext(nil, recordApplication, versionTLS12, make([]byte, 40)) }},
		{"too many CCS", FaultTooManyCCS, func(*script) []byte {
			return bytes.Repeat(appendPlaintext(nil, recordCCS, versionTLS12, []byte{1}), maxCCS+1)
		}},
		{"bad CCS", FaultBadCCS, func(*script) []byte { return appendPlaintext(nil, recordCCS, versionTLS12, []byte{2}) }},
	} {
		cfg, client, _ := serverSetup(t)
		s := scripted(t, cfg, client, "")
		failsWith(t, c.name, s.s, testTime, c.records(s), c.fault, StateFinished)
	}
	cfg, client, _ := serverSetup(t)
	c := scripted(t, cfg, client, "")
	c.s.Feed(bytes.Repeat(appendPlaintext(nil, recordCCS, versionTLS12, []byte{1}), maxCCS))
	c.s.Feed(c.message(typeFinished, c.finished()...))
	if event, err := c.s.Next(testTime); err != nil || event.Kind != EventHandshakeComplete {
		t.Errorf("a good Finished: %v, %v", event.Kind, err)
	}
	if event, err := c.s.Next(testTime); err != nil || event.Kind != EventNone {
		t.Errorf("then: %v, %v", event.Kind, err)
	}
}

// Alerts of the client end the handshake, close_notify as well.
func TestServerAlerts(t *testing.T) {
	for _, c := range []struct {
		level byte
		alert Alert
	}{{2, AlertUnknownCA}, {1, AlertCloseNotify}} {
		cfg, client, _ := serverSetup(t)
		s := scripted(t, cfg, client, "")
		s.s.AppendOutput(nil)
		s.s.Feed(s.seal(recordAlert, c.level, byte(c.alert)))
		_, err := s.s.Next(testTime)
		var remote *RemoteError
		if !errors.As(err, &remote) || remote.Alert != c.alert || remote.State != StateFinished || !remote.Authenticated {
			t.Errorf("%v: %v", c.alert, err)
		}
		if out := s.s.AppendOutput(nil); len(out) != 0 {
			t.Errorf("%v is answered by %x", c.alert, out)
		}
	}
}

// What may not come in early data, or in its place (sections 4.2.10 and 4.5).
func TestServerEndOfEarlyDataFaults(t *testing.T) {
	cfg, client, _ := serverSetup(t)
	allowEarlyData(cfg)
	for _, c := range []struct {
		name    string
		fault   Fault
		state   State
		records func(c *script, early *protector) []byte
	}{
		{"no EndOfEarlyData", FaultBadRecordMAC, StateEndOfEarlyData, func(c *script, _ *protector) []byte {
			return c.message(typeFinished, c.finished()...)
		}},
		{"EndOfEarlyData with a body", FaultDecode, StateEndOfEarlyData, func(_ *script, early *protector) []byte {
			return early.seal(nil, recordHandshake, []byte{5, 0, 0, 1, 0}, 0)
		}},
		{"a message behind EndOfEarlyData", FaultPartialMessage, StateFinished, func(_ *script, early *protector) []byte {
			return early.seal(nil, recordHandshake, []byte{5, 0, 0, 0, 20}, 0)
		}},
		{"Finished in early data", FaultUnexpectedMessage, StateEndOfEarlyData, func(c *script, early *protector) []byte {
			return early.seal(nil, recordHandshake, append([]byte{20, 0, 0, 32}, make([]byte, 32)...), 0)
		}},
		{"early data inside a message", FaultUnexpectedRecord, StateEndOfEarlyData, func(_ *script, early *protector) []byte {
			return early.seal(early.seal(nil, recordHandshake, []byte{5}, 0), recordApplication, []byte("x"), 0)
		}},
		{"early data after its end", FaultBadRecordMAC, StateFinished, func(_ *script, early *protector) []byte {
			return early.seal(early.seal(nil, recordHandshake, []byte{5, 0, 0, 0}, 0), recordApplication, []byte("x"), 0)
		}},
	} {
		session := firstSession(t, cfg, client)
		p := newPair(t, cfg, resume(client, session, 0, true), "x")
		p.s.Feed(p.c.AppendOutput(nil))
		if err := p.nextServer(); err != nil || string(p.early) != "x" {
			t.Fatalf("%v, %q, %v", err, p.early, p.s.EarlyReason())
		}
		early, err := newProtector(p.s.suite, bytes.Clone(p.s.reader.secret))
		if err != nil {
			t.Fatal(err)
		}
		early.seq = p.s.reader.seq
		keys, err := newProtector(p.s.suite, bytes.Clone(p.s.clientHandshake))
		if err != nil {
			t.Fatal(err)
		}
		failsWith(t, c.name, p.s, testTime, c.records(&script{t, p.s, keys}, early), c.fault, c.state)
	}
}

func TestServerConfigErrors(t *testing.T) {
	cfg, _, _ := serverSetup(t)
	for name, change := range map[string]func(*ServerConfig){
		"no certificate":  func(c *ServerConfig) { c.Certificates = nil },
		"no groups":       func(c *ServerConfig) { c.Groups = []tls.CurveID{} },
		"unknown group":   func(c *ServerConfig) { c.Groups = []tls.CurveID{1} },
		"no suites":       func(c *ServerConfig) { c.CipherSuites = []uint16{} },
		"unknown suite":   func(c *ServerConfig) { c.CipherSuites = []uint16{1} },
		"empty protocol":  func(c *ServerConfig) { c.NextProtos = []string{""} },
		"no anti-replay":  func(c *ServerConfig) { c.MaxEarlyData = 1 },
		"no ticket keys":  func(c *ServerConfig) { allowEarlyData(c).TicketKeys = nil },
		"no algorithms":   func(c *ServerConfig) { c.SignatureAlgorithms = []tls.SignatureScheme{} },
		"too long a name": func(c *ServerConfig) { c.NextProtos = []string{strings.Repeat("x", 256)} },
	} {
		bad := *cfg
		change(&bad)
		if _, err := NewServer(&bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := NewServer(nil); err == nil {
		t.Error("no configuration: accepted")
	}
}

// A random source that fails at any point is an internal error, not a panic.
func TestServerFailingRandom(t *testing.T) {
	cfg, client, _ := serverSetup(t)
	for n := range 200 {
		cfg.rand = io.LimitReader(rand.Reader, int64(n))
		p := newPair(t, cfg, client, "")
		if _, err := p.run(); err == nil {
			return // enough for a whole handshake with two tickets
		} else if !errors.Is(err, FaultInternal) {
			t.Fatalf("%d random bytes: %v", n, err)
		}
	}
	t.Error("200 random bytes are not enough")
}

func TestServerKeyLog(t *testing.T) {
	cfg, client, _ := serverSetup(t)
	allowEarlyData(cfg)
	session := firstSession(t, cfg, client)
	var ours, theirs strings.Builder
	cfg.KeyLogWriter = &ours
	again := resume(client, session, 0, true)
	again.KeyLogWriter = &theirs
	connectPair(t, cfg, again, "x")
	sorted := func(s string) string {
		lines := strings.Split(s, "\n")
		slices.Sort(lines)
		return strings.Join(lines, "\n")
	}
	if a, b := sorted(ours.String()), sorted(theirs.String()); a != b || strings.Count(a, "\n") != 5 {
		t.Errorf("the key logs differ:\n%s\n%s", a, b)
	}
	cfg.KeyLogWriter = failingWriter{}
	p := newPair(t, cfg, client, "")
	if _, err := p.run(); !errors.Is(err, FaultInternal) {
		t.Errorf("a key log that fails: %v", err)
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, io.ErrShortWrite }
