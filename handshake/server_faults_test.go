package handshake

import (
	"bytes"
	"crypto/tls"
	"errors"
	"slices"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// firstHello returns the hello that a client would send, parsed.
func firstHello(t testing.TB, client *Config) *clientHello {
	t.Helper()
	out := mustClient(t, client).AppendOutput(nil)
	n := recordHeaderLen + int(out[3])<<8 + int(out[4])
	h, fault := parseClientHello(out[recordHeaderLen:n])
	if fault != 0 {
		t.Fatal(fault)
	}
	return h
}

// marshal makes a message of the fields that are not parsed any further.
func (h *clientHello) marshal() []byte {
	msg, err := buildMessage(typeClientHello, func(b *cryptobyte.Builder) {
		b.AddUint16(h.version)
		b.AddBytes(h.random)
		addBytes8(b, h.sessionID)
		addList16(b, h.suites)
		addBytes8(b, h.compression)
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			for _, e := range h.extensions {
				addExtension(b, e.typ, func(b *cryptobyte.Builder) { b.AddBytes(e.data) })
			}
		})
	})
	if err != nil {
		panic(err)
	}
	return msg
}

// set replaces an extension's data, or takes the extension out if data is nil.
func (h *clientHello) set(typ uint16, data []byte) {
	i := slices.IndexFunc(h.extensions, func(e extension) bool { return e.typ == typ })
	switch {
	case data == nil:
		h.extensions = slices.Delete(h.extensions, i, i+1)
	case i < 0:
		h.extensions = slices.Insert(h.extensions, 0, extension{typ, data}) // pre_shared_key stays the last
	default:
		h.extensions[i].data = data
	}
}

func (h *clientHello) get(typ uint16) []byte {
	i := slices.IndexFunc(h.extensions, func(e extension) bool { return e.typ == typ })
	return bytes.Clone(h.extensions[i].data)
}

// failsWith feeds a server and expects a fault in a state, and its alert in
// plaintext as the last thing that is sent.
func failsWith(t *testing.T, name string, s *Server, now time.Time, records []byte, fault Fault, state State) {
	t.Helper()
	s.Feed(records)
	for {
		event, err := s.Next(now)
		if err == nil && event.Kind != EventNone {
			continue
		}
		var local *LocalError
		if !errors.As(err, &local) || local.Fault != fault || local.State != state {
			t.Errorf("%s: %v; want %q while %v", name, err, fault, state)
			return
		}
		if _, again := s.Next(now); again != err || s.State() != StateFailed {
			t.Errorf("%s: then %v, %v", name, again, s.State())
		}
		out := s.AppendOutput(nil)
		if want := []byte{2, byte(fault.Alert())}; s.writer == nil && !bytes.HasSuffix(out, want) || s.writer != nil && len(out) == 0 {
			t.Errorf("%s: the alert is not there: %x", name, out)
		}
		return
	}
}

// Every rule for a first ClientHello.
func TestServerHelloFaults(t *testing.T) {
	cfg, client, _ := serverSetup(t)
	cfg.NextProtos = []string{"h2"}
	client.NextProtos = []string{"h2"}
	session := firstSession(t, cfg, client)
	resumed := resume(client, session, time.Second, false)
	cut := func(typ uint16) func(*clientHello) { return func(h *clientHello) { h.set(typ, nil) } }
	put := func(typ uint16, data ...byte) func(*clientHello) { return func(h *clientHello) { h.set(typ, data) } }
	for _, c := range []struct {
		name  string
		cfg   *Config
		fault Fault
		edit  func(*clientHello)
	}{
		{"none", client, 0, func(*clientHello) {}},
		{"none, resumed", resumed, 0, func(*clientHello) {}},
		// Section 4.2.1: legacy_version does not count, supported_versions does.
		{"legacy version", client, 0, func(h *clientHello) { h.version = 0x0301 }},
		{"SSL 3.0", client, FaultBadVersion, func(h *clientHello) { h.version = 0x0300 }}, // section D.5
		{"no versions", client, FaultUnsupportedVersion, cut(extSupportedVersions)},
		{"TLS 1.2", client, FaultUnsupportedVersion, put(extSupportedVersions, 2, 3, 3)},
		{"no extensions", client, FaultUnsupportedVersion, func(h *clientHello) { h.extensions = nil }},
		{"empty versions", client, FaultDecode, put(extSupportedVersions, 0)},
		{"odd versions", client, FaultDecode, put(extSupportedVersions, 3, 3, 4, 3)},
		// Section 4.1.2.
		{"two compression methods", client, FaultBadCompression, func(h *clientHello) { h.compression = []byte{0, 1} }},
		{"no null compression", client, FaultBadCompression, func(h *clientHello) { h.compression = []byte{1} }},
		{"no compression method", client, FaultDecode, func(h *clientHello) { h.compression = nil }},
		{"long session id", client, FaultDecode, func(h *clientHello) { h.sessionID = make([]byte, 33) }},
		{"no suites", client, FaultDecode, func(h *clientHello) { h.suites = nil }},
		{"other suites", client, FaultNoSharedSuite, func(h *clientHello) { h.suites = []uint16{0xc02f} }},
		{"extension twice", client, FaultDecode, func(h *clientHello) { h.extensions = append(h.extensions, h.extensions[0]) }},
		{"unknown extension", client, 0, put(0x6a6a, 1, 2, 3)},
		// Section 9.2.
		{"no groups", client, FaultMissingExtension, cut(extSupportedGroups)},
		{"no shares", client, FaultMissingExtension, cut(extKeyShare)},
		{"no algorithms", client, FaultMissingExtension, cut(extSignatureAlgorithms)},
		{"neither groups nor shares", client, FaultMissingExtension, func(h *clientHello) { h.set(extKeyShare, nil); h.set(extSupportedGroups, nil) }},
		// Section 4.2.8.
		{"other groups", client, FaultNoSharedGroup, put(extSupportedGroups, 0, 2, 0, 21)},
		{"empty groups", client, FaultDecode, put(extSupportedGroups, 0, 0)},
		{"share twice", client, FaultBadKeyShare, func(h *clientHello) {
			list := h.get(extKeyShare)[2:]
			h.set(extKeyShare, append([]byte{byte(len(list) * 2 >> 8), byte(len(list) * 2)}, append(list, list...)...))
		}},
		{"bad share", client, FaultBadKeyShare, func(h *clientHello) {
			h.set(extSupportedGroups, []byte{0, 2, 0, 29})
			h.set(extKeyShare, []byte{0, 5, 0, 29, 0, 1, 9})
		}},
		{"empty share", client, FaultDecode, put(extKeyShare, 0, 4, 0, 29, 0, 0)},
		{"cut share", client, FaultDecode, put(extKeyShare, 0, 5, 0, 29, 0, 2, 9)},
		{"trailing share data", client, FaultDecode, func(h *clientHello) { h.set(extKeyShare, append(h.get(extKeyShare), 0)) }},
		{"other algorithms", client, FaultNoSharedSignatureAlgorithm, put(extSignatureAlgorithms, 0, 2, 4, 1)},
		{"no algorithm", client, FaultDecode, put(extSignatureAlgorithms, 0, 0)},
		// RFC 7301.
		{"other protocols", client, FaultNoSharedALPN, put(extALPN, 0, 3, 2, 'h', '3')},
		{"empty protocol", client, FaultDecode, put(extALPN, 0, 1, 0)},
		{"no protocol", client, FaultDecode, put(extALPN, 0, 0)},
		// RFC 6066.
		{"trailing name data", client, FaultDecode, func(h *clientHello) { h.set(extServerName, append(h.get(extServerName), 0)) }},
		{"two names", client, FaultDecode, put(extServerName, 0, 8, 0, 0, 1, 'a', 0, 0, 1, 'b')},
		{"empty name", client, FaultDecode, put(extServerName, 0, 3, 0, 0, 0)},
		{"status request", client, 0, put(extStatusRequest, 1, 0, 0, 0, 0)},
		{"unknown status request", client, 0, put(extStatusRequest, 2, 9)},
		{"bad status request", client, FaultDecode, put(extStatusRequest, 1, 0, 0)},
		{"no authorities", client, FaultDecode, put(extCertificateAuthorities, 0, 0)},
		{"early_data with data", client, FaultDecode, put(extEarlyData, 1)},
		{"SCT with data", client, FaultDecode, put(extSCT, 1)},
		// Section 4.2.9.
		{"PSK without modes", resumed, FaultMissingExtension, cut(extPSKModes)},
		{"no modes", resumed, FaultDecode, put(extPSKModes, 0)},
		{"PSK with psk_ke only", resumed, 0, put(extPSKModes, 1, 0)},
		// Section 4.2.11.
		{"PSK not last", resumed, FaultPSKNotLast, func(h *clientHello) { h.extensions = append(h.extensions, extension{0x6a6a, nil}) }},
		{"no binders", resumed, FaultDecode, func(h *clientHello) {
			psk := h.get(extPreSharedKey)
			h.set(extPreSharedKey, append(psk[:len(psk)-h.bindersLength], 0, 0))
		}},
		{"more binders than identities", resumed, FaultBinderCount, func(h *clientHello) {
			psk := h.get(extPreSharedKey)
			list := psk[len(psk)-h.bindersLength+2:]
			psk = append(psk[:len(psk)-h.bindersLength], 0, byte(2*len(list)))
			h.set(extPreSharedKey, append(psk, bytes.Repeat(list, 2)...))
		}},
		{"bad binder", resumed, FaultBadBinder, func(h *clientHello) {
			psk := h.get(extPreSharedKey)
			psk[len(psk)-1] ^= 1
			h.set(extPreSharedKey, psk)
		}},
		{"changed hello", resumed, FaultBadBinder, func(h *clientHello) { h.random[0] ^= 1 }},
		{"no identities", resumed, FaultDecode, put(extPreSharedKey, 0, 0, 0, 33, 32)},
	} {
		hello := firstHello(t, c.cfg)
		c.edit(hello)
		meets(t, c.name, cfg, hello, c.fault)
	}
}

// meets gives a server a first hello, which it must answer, or refuse with a fault.
func meets(t *testing.T, name string, cfg *ServerConfig, hello *clientHello, fault Fault) {
	t.Helper()
	s, err := NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	records := appendPlaintext(nil, recordHandshake, 0x0301, hello.marshal())
	if fault != 0 {
		failsWith(t, name, s, testTime, records, fault, StateClientHello)
		return
	}
	s.Feed(records)
	if _, err := s.Next(testTime); err != nil || s.State() != StateFinished {
		t.Errorf("%s: %v, %v", name, err, s.State())
	}
}

// What may not come where a ClientHello is due.
func TestServerFirstRecordFaults(t *testing.T) {
	cfg, client, _ := serverSetup(t)
	hello := firstHello(t, client).raw
	record := func(typ recordType, data ...byte) []byte { return appendPlaintext(nil, typ, 0x0301, data) }
	for _, c := range []struct {
		name    string
		fault   Fault
		records []byte
	}{
		{"HTTP", FaultBadRecordVersion, []byte("GET / HTTP/1.1\r\n\r\n")},
		{"application data", FaultUnexpectedRecord, record(recordApplication, 1)},
		{"change_cipher_spec", FaultBadCCS, record(recordCCS, 1)},
		{"empty handshake record", FaultEmptyFragment, record(recordHandshake)},
		{"overflow", FaultRecordOverflow, []byte{22, 3, 1, 0x40, 1}},
		{"Finished", FaultUnexpectedMessage, record(recordHandshake, 20, 0, 0, 0)},
		{"large message", FaultMessageTooLarge, record(recordHandshake, 1, 1, 0, 1)},
		{"trailing byte in the message", FaultDecode, record(recordHandshake, append(append([]byte{1, 0, byte((len(hello) - 3) >> 8), byte(len(hello) - 3)}, hello[4:]...), 0)...)},
		{"another message behind", FaultPartialMessage, record(recordHandshake, append(bytes.Clone(hello), 20)...)},
		{"empty message", FaultDecode, record(recordHandshake, 1, 0, 0, 0)},
	} {
		s, err := NewServer(cfg)
		if err != nil {
			t.Fatal(err)
		}
		failsWith(t, c.name, s, testTime, c.records, c.fault, StateClientHello)
	}
}

// The rules for a second ClientHello (section 4.1.2), and for early data before
// it (section 4.2.10).
func TestServerRetryFaults(t *testing.T) {
	cfg, client, _ := serverSetup(t)
	allowEarlyData(cfg)
	session := firstSession(t, cfg, client)
	cfg.Groups = []tls.CurveID{tls.CurveP256}
	resumed := resume(client, session, 0, false)
	early := resume(client, session, 0, true)
	garbage := appendPlaintext(nil, recordApplication, versionTLS12, make([]byte, 40))
	for _, c := range []struct {
		name    string
		cfg     *Config
		fault   Fault
		edit    func(*clientHello)
		records func(hello []byte) []byte
	}{
		{"random", client, FaultSecondHelloChanged, func(h *clientHello) { h.random[0] ^= 1 }, nil},
		{"session id", client, FaultSecondHelloChanged, func(h *clientHello) { h.sessionID[0] ^= 1 }, nil},
		{"suites", client, FaultSecondHelloChanged, func(h *clientHello) { h.suites = h.suites[1:] }, nil},
		{"version", client, FaultSecondHelloChanged, func(h *clientHello) { h.version-- }, nil},
		{"one extension more", client, FaultSecondHelloChanged, func(h *clientHello) { h.set(0x6a6a, []byte{1}) }, nil},
		{"one extension less", client, FaultSecondHelloChanged, func(h *clientHello) { h.set(extServerName, nil) }, nil},
		{"two shares", client, FaultBadKeyShare, func(h *clientHello) {
			list := append(h.get(extKeyShare)[2:], 0, 29, 0, 1, 1)
			h.set(extKeyShare, append([]byte{byte(len(list) >> 8), byte(len(list))}, list...))
		}, nil},
		{"another group", client, FaultBadKeyShare, func(h *clientHello) { h.set(extKeyShare, []byte{0, 5, 0, 29, 0, 1, 1}) }, nil},
		{"no share", client, FaultMissingExtension, func(h *clientHello) { h.set(extKeyShare, nil) }, nil},
		{"no PSK any more", resumed, FaultMissingExtension, func(h *clientHello) { h.set(extPreSharedKey, nil) }, nil},
		{"bad second binder", resumed, FaultBadBinder, func(h *clientHello) {
			psk := h.get(extPreSharedKey)
			psk[len(psk)-1] ^= 1
			h.set(extPreSharedKey, psk)
		}, nil},
		{"application data without early_data", client, FaultUnexpectedRecord, nil, func([]byte) []byte { return garbage }},
		{"early data inside the hello", early, FaultUnexpectedRecord, nil, func(hello []byte) []byte {
			return append(appendPlaintext(nil, recordHandshake, versionTLS12, hello[:9]), garbage...)
		}},
		{"too much early data", early, FaultTooMuchEarlyData, nil, func([]byte) []byte {
			return bytes.Repeat(appendPlaintext(nil, recordApplication, versionTLS12, make([]byte, 1<<14)), 2)
		}},
		{"another message behind", client, FaultPartialMessage, nil, func(hello []byte) []byte {
			return appendPlaintext(nil, recordHandshake, versionTLS12, append(bytes.Clone(hello), 20))
		}},
	} {
		p := newPair(t, cfg, c.cfg, "")
		p.s.Feed(p.c.AppendOutput(nil))
		if err := p.nextServer(); err != nil || p.s.State() != StateClientHelloRetried {
			t.Fatalf("%s: %v, %v", c.name, err, p.s.State())
		}
		p.c.Feed(p.s.AppendOutput(nil))
		if err := p.nextClient(); err != nil {
			t.Fatal(err)
		}
		out := p.c.AppendOutput(nil)
		for recordType(out[0]) != recordHandshake { // the compatibility change_cipher_spec
			out = out[recordHeaderLen+int(out[3])<<8+int(out[4]):]
		}
		hello, fault := parseClientHello(out[recordHeaderLen : recordHeaderLen+int(out[3])<<8+int(out[4])])
		if fault != 0 {
			t.Fatal(fault)
		}
		if c.edit != nil {
			c.edit(hello)
		}
		records := appendPlaintext(nil, recordHandshake, versionTLS12, hello.marshal())
		if c.records != nil {
			records = c.records(hello.raw)
		}
		failsWith(t, c.name, p.s, testTime, records, c.fault, StateClientHelloRetried)
	}
}
