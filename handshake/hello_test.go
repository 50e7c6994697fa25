package handshake

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"testing"
	"time"
)

// testSession is a session that could be offered, with a ticket of n bytes.
func testSession(suiteID uint16, n int) *Session {
	return &Session{
		CipherSuite: suiteID, SuiteOrder: compactOrder(), Secret: bytes.Repeat([]byte{1}, suiteByID(suiteID).hashLen),
		Ticket: bytes.Repeat([]byte{2}, n), Lifetime: time.Hour, MaxEarlyData: 16384,
		ReceivedAt: testTime, AuthenticatedAt: testTime, ALPN: "http/1.1", ServerName: "example.com", Group: tls.X25519,
	}
}

// compactOrder is the order of the suites in the compact hello.
func compactOrder() uint8 { return withSuites(defaultSuites()...).suiteOrder() }

// withSuites is a hello of which only the suites matter.
func withSuites(list ...uint16) *helloView {
	v := new(helloView)
	for _, id := range list {
		v.suites = binary.BigEndian.AppendUint16(v.suites, id)
	}
	return v
}

// The whole first flight fits a SYN, with nothing usual dropped for it.
func TestFirstFlightSize(t *testing.T) {
	for _, suiteID := range testSuites {
		for _, test := range []struct{ ticket, most int }{{256, 1150}, {320, 1200}} {
			cfg := &Config{
				ServerName: "example.com", // 11 bytes
				NextProtos: []string{"h2", "http/1.1"},
				Groups:     []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521},
				Session:    testSession(suiteID, test.ticket), EarlyData: true,
			}
			c := mustClient(t, cfg)
			if n, err := c.WriteEarly(make([]byte, 500)); n != 500 || err != nil {
				t.Fatal(n, err)
			}
			hello := c.hello
			flight := c.AppendOutput(nil)
			t.Logf("suite %x, %d byte ticket: hello %d, flight %d bytes", suiteID, test.ticket, c.HelloLen(), len(flight))
			if len(flight) > test.most {
				t.Errorf("suite %x, %d byte ticket: %d bytes, want at most %d", suiteID, test.ticket, len(flight), test.most)
			}
			if want := c.HelloLen() + 6 + 500 + recordOverhead; len(flight) != want {
				t.Errorf("%d bytes, want hello, change_cipher_spec and one record: %d", len(flight), want)
			}
			for _, typ := range []uint16{extServerName, extStatusRequest, extSupportedGroups, extSignatureAlgorithms,
				extSignatureAlgorithmsCert, extALPN, extSCT, extSupportedVersions, extPSKModes, extKeyShare, extEarlyData, extPreSharedKey} {
				if !hello.offers(typ) {
					t.Errorf("extension %d is missing", typ)
				}
			}
			if len(hello.sessionID) != 32 {
				t.Errorf("session id of %d bytes", len(hello.sessionID))
			}
		}
	}
}

// The compact hello offers what crypto/tls offers for TLS 1.3, and only that.
func TestHelloLikeStandardLibrary(t *testing.T) {
	std := newWire()
	go tls.Client(memConn{in: newWire(), out: std}, &tls.Config{
		ServerName: "example.com", MinVersion: tls.VersionTLS13, NextProtos: []string{"h2", "http/1.1"},
		ClientSessionCache: tls.NewLRUClientSessionCache(1),
	}).Handshake()
	record := make([]byte, 16384)
	n, _ := io.ReadAtLeast(std, record, 1000)
	theirs, ok := viewHello(record[recordHeaderLen:n])
	if !ok {
		t.Fatal("cannot parse the hello of crypto/tls")
	}
	c := mustClient(t, &Config{ServerName: "example.com", NextProtos: []string{"h2", "http/1.1"}})
	ours := c.hello
	if !bytes.Equal(ours.suites, theirs.suites) {
		t.Errorf("suites %x, want %x", ours.suites, theirs.suites)
	}
	// For TLS 1.2 only: ec_point_formats, session_ticket, extended_master_secret,
	// renegotiation_info.
	old := []uint16{11, 35, 23, 0xff01}
	var typ uint16
	for list, data := theirs.extensions, theirs.extensions; nextExtension(&list, &typ, &data); {
		mine, ok := ours.extension(typ)
		if slices.Contains(old, typ) {
			if ok {
				t.Errorf("extension %d is for TLS 1.2", typ)
			}
		} else if typ == extKeyShare {
			for _, g := range []tls.CurveID{tls.X25519MLKEM768, tls.X25519} {
				if !ours.sharesGroup(g) || !theirs.sharesGroup(g) || len(mine) != len(data) {
					t.Errorf("no share for %v", g)
				}
			}
		} else if !bytes.Equal(mine, data) {
			t.Errorf("extension %d: %x, want %x", typ, mine, data)
		}
	}
}

func TestServerNameExtension(t *testing.T) {
	for name, want := range map[string]string{
		"example.com": "example.com", "example.com.": "example.com", "192.0.2.1": "", "2001:db8::1": "",
		"[2001:db8::1]": "", "fe80::1%eth0": "", "[fe80::1%25eth0]": "", "xn--bcher-kva.example": "xn--bcher-kva.example",
	} {
		c := mustClient(t, &Config{ServerName: name})
		ext, ok := c.hello.extension(extServerName)
		if want == "" && ok || want != "" && !bytes.HasSuffix(ext, []byte(want)) || ok && len(ext) != 5+len(want) {
			t.Errorf("%s: server_name %q, want %q", name, ext, want)
		}
	}
}

// What is drawn from the random source is all that differs between hellos.
func TestHelloIsReproducible(t *testing.T) {
	seed := make([]byte, 1024)
	rand.Read(seed)
	a := mustClient(t, &Config{ServerName: "example.com", rand: bytes.NewReader(seed)})
	b := mustClient(t, &Config{ServerName: "example.com", rand: bytes.NewReader(seed)})
	if !bytes.Equal(a.hello.message, b.hello.message) {
		t.Error("the same randomness made another hello")
	}
}

// Early data goes only where the server comes to the suite of the session again: some servers, asked under another order of
// suites, resume with another one of the same hash and take the early data (section 4.2.10 forbids it).
func TestEarlyDataSuiteOrder(t *testing.T) {
	const aes, aes256, chacha = tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384, tls.TLS_CHACHA20_POLY1305_SHA256
	order := withSuites
	for _, test := range []struct {
		suite         uint16
		before, after *helloView
		want          bool
	}{
		{aes, order(aes, aes256, chacha), order(aes, aes256, chacha), true},
		{aes, order(0x1a1a, aes, aes256, chacha), order(0x2a2a, aes, aes256, chacha, 0xc02b), true}, // GREASE, and suites of TLS 1.2
		{aes, order(aes, aes256, chacha), order(chacha, aes, aes256), false},
		{chacha, order(chacha, aes), order(aes, chacha), false},
		{chacha, order(aes, chacha), order(aes, chacha), true}, // the server has a preference of its own
		{aes, order(aes), order(aes, chacha), false},           // and here it may have one for what it was not offered
		{aes, order(aes, chacha), order(aes), true},
		{aes, order(aes, chacha), order(aes256, aes), true},
		{aes256, order(aes, aes256, chacha), order(chacha, aes256, aes), true}, // no other suite has its hash
		{aes, order(), order(aes, chacha), false},                              // not known
	} {
		s := testSession(test.suite, 20)
		s.SuiteOrder = test.before.suiteOrder()
		if got := test.after.keepsSuite(s); got != test.want {
			t.Errorf("%x, made under %x, offered under %x: %v", test.suite, test.before.suites, test.after.suites, got)
		}
	}
	// The hello is one with the session and without early data.
	cfg := &Config{ServerName: "example.com", NextProtos: []string{"http/1.1"}, Session: testSession(aes, 100), EarlyData: true}
	cfg.Session.SuiteOrder = 0
	c := mustClient(t, cfg)
	if !c.hello.offers(extPreSharedKey) || c.hello.offers(extEarlyData) || c.EarlyData() != EarlyNotOffered || c.EarlyReason() != ReasonSuiteOrder {
		t.Errorf("%v, %v", c.EarlyData(), c.EarlyReason())
	}
}

// fixedHello is a Builder of what somebody else built.
type fixedHello []byte

func (f fixedHello) BuildHello(*Config, io.Reader) (*Hello, error) { return &Hello{Raw: f}, nil }

// Edits keep what they are not about, and put early_data where it stood.
func TestHelloEdits(t *testing.T) {
	c := mustClient(t, &Config{ServerName: "example.com"})
	base := c.hello
	edit := helloEdit{earlyData: true, cookie: []byte("cookie"), share: &keyShare{tls.CurveP256, []byte("share")}, session: testSession(tls.TLS_AES_128_GCM_SHA256, 9)}
	message, err := edit.apply(&base)
	if err != nil {
		t.Fatal(err)
	}
	edited, ok := viewHello(message)
	if !ok {
		t.Fatal("malformed")
	}
	if data, _ := edited.extension(extCookie); string(data) != "\x00\x06cookie" {
		t.Errorf("cookie %q", data)
	}
	if !edited.sharesGroup(tls.CurveP256) || edited.sharesGroup(tls.X25519) || !edited.offers(extEarlyData) {
		t.Error("key_share or early_data is wrong")
	}
	if psk, _ := edited.extension(extPreSharedKey); !bytes.HasSuffix(edited.message, psk) {
		t.Error("pre_shared_key is not the last extension (section 4.2.11)")
	}
	// The way back: nothing that was added stays.
	back, _ := (&helloEdit{cookie: []byte("c"), share: &keyShare{tls.X25519, []byte("s")}}).apply(&edited)
	again, _ := viewHello(back)
	if again.offers(extEarlyData) || again.offers(extPreSharedKey) {
		t.Error("early_data or pre_shared_key stayed")
	}
	var typ uint16
	for list, data := base.extensions, base.extensions; nextExtension(&list, &typ, &data); {
		for _, v := range []helloView{edited, again} {
			if got, _ := v.extension(typ); typ != extKeyShare && !bytes.Equal(got, data) {
				t.Errorf("extension %d changed", typ)
			}
		}
	}
}

func TestMalformedHello(t *testing.T) {
	good := mustClient(t, &Config{ServerName: "example.com"}).hello.message
	for i := range good {
		if _, ok := viewHello(good[:i]); ok {
			t.Fatalf("%d of %d bytes pass", i, len(good))
		}
	}
	if _, err := NewClient(&Config{ServerName: "x", Hello: fixedHello(good[:50])}); err == nil {
		t.Error("a malformed hello was taken")
	}
	v, _ := viewHello(good)
	for _, typ := range []uint16{extSupportedVersions, extKeyShare, extSupportedGroups, extSignatureAlgorithms} {
		if _, err := NewClient(&Config{ServerName: "x", Hello: fixedHello(trim(v, typ))}); err == nil {
			t.Errorf("a hello without extension %d was taken", typ)
		}
	}
}

// The age is in milliseconds, hidden by the ticket's offset (section 4.2.11.1);
// a clock that went back gives none.
func TestObfuscatedTicketAge(t *testing.T) {
	for age, want := range map[time.Duration]uint32{0: 7, 1500 * time.Microsecond: 8, time.Hour: 3600_007, -time.Hour: 7} {
		session := testSession(tls.TLS_AES_128_GCM_SHA256, 20)
		session.AgeAdd = 7
		c := mustClient(t, &Config{ServerName: "x", Session: session, TicketAge: age})
		psk, _ := c.hello.extension(extPreSharedKey)
		if got := binary.BigEndian.Uint32(psk[2+2+20:]); got != want {
			t.Errorf("age %v: %d, want %d", age, got, want)
		}
	}
}

// WriteEarly takes what the ticket allows, and only while it may.
func TestWriteEarlyLimit(t *testing.T) {
	cfg := &Config{ServerName: "example.com", NextProtos: []string{"http/1.1"}, Session: testSession(tls.TLS_AES_128_GCM_SHA256, 100), EarlyData: true}
	cfg.Session.MaxEarlyData = 20000
	c := mustClient(t, cfg)
	hello := len(c.AppendOutput(nil))
	if hello != c.HelloLen() || c.EarlyLeft() != 20000 {
		t.Errorf("hello %d, HelloLen %d, EarlyLeft %d", hello, c.HelloLen(), c.EarlyLeft())
	}
	for _, step := range []struct{ write, took, out int }{
		{0, 0, 0},
		{16384 + 1, 16384 + 1, 6 + 16385 + 2*recordOverhead},
		{4000, 3615, 3615 + recordOverhead},
		{1, 0, 0},
	} {
		n, err := c.WriteEarly(make([]byte, step.write))
		if out := len(c.AppendOutput(nil)); n != step.took || err != nil || out != step.out {
			t.Errorf("wrote %d: took %d, %v, output %d", step.write, n, err, out)
		}
	}
	for name, change := range map[EarlyReason]func(*Config){
		ReasonDisabled:              func(c *Config) { c.EarlyData = false },
		ReasonNoSession:             func(c *Config) { c.Session = nil },
		ReasonUnsupportedForSession: func(c *Config) { c.Session.MaxEarlyData = 0 },
		ReasonALPNMismatch:          func(c *Config) { c.NextProtos = []string{"h2"} },
	} {
		again, session := *cfg, *cfg.Session
		again.Session = &session
		change(&again)
		c := mustClient(t, &again)
		n, err := c.WriteEarly([]byte("x"))
		if n != 0 || !errors.Is(err, ErrNoEarlyData) || c.EarlyData() != EarlyNotOffered || c.EarlyReason() != name || c.hello.offers(extEarlyData) {
			t.Errorf("%v: took %d, %v, %v, %v", name, n, err, c.EarlyData(), c.EarlyReason())
		}
	}
}
