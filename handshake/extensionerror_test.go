package handshake

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// RFC 8446, section 6.2, has one alert for all that cannot be parsed, and one
// for all that is missing. The error tells which extension it is about.
func TestServerExtensionError(t *testing.T) {
	cfg, client, _ := serverSetup(t)
	resumed := resume(client, firstSession(t, cfg, client), time.Second, false)
	for _, c := range []struct {
		cfg   *Config
		typ   uint16
		data  []byte // nil: it is left out
		fault Fault
		text  string
	}{
		{client, extServerName, []byte{0}, FaultDecode, "server_name (0)"},                             // RFC 6066, section 3
		{client, extALPN, []byte{0, 0}, FaultDecode, "application_layer_protocol_negotiation (16)"},    // RFC 7301, section 3.1
		{client, extCompressCertificate, []byte{0}, FaultDecode, "compress_certificate (27)"},          // RFC 8879, section 3
		{client, extKeyShare, []byte{0}, FaultDecode, "key_share (51)"},                                // section 4.2.8
		{client, extKeyShare, []byte{0, 10, 9, 9, 0, 1, 0, 9, 9, 0, 1, 0}, FaultBadKeyShare, "(51)"},   // section 4.2.8
		{client, extSupportedGroups, nil, FaultMissingExtension, "supported_groups (10)"},              // section 9.2
		{client, extKeyShare, nil, FaultMissingExtension, "key_share (51)"},                            // section 9.2
		{client, extSignatureAlgorithms, nil, FaultMissingExtension, "signature_algorithms (13)"},      // section 9.2
		{resumed, extPSKModes, nil, FaultMissingExtension, "psk_key_exchange_modes (45)"},              // section 4.2.9
		{resumed, extPreSharedKey, []byte{0, 0}, FaultDecode, "pre_shared_key (41)"},                   // section 4.2.11
		{client, extCertificateAuthorities, []byte{0, 0}, FaultDecode, "certificate_authorities (47)"}, // section 4.2.4
	} {
		hello := firstHello(t, c.cfg)
		hello.set(c.typ, c.data)
		s, err := NewServer(cfg)
		if err != nil {
			t.Fatal(err)
		}
		s.Feed(appendPlaintext(nil, recordHandshake, 0x0301, hello.marshal()))
		_, err = s.Next(testTime)
		var got ExtensionError
		if !errors.Is(err, c.fault) || !errors.As(err, &got) || uint16(got) != c.typ || !strings.HasSuffix(err.Error(), c.text) {
			t.Errorf("extension %d: %v", c.typ, err)
		}
	}
	if got := ExtensionError(4711).Error(); got != "extension 4711" {
		t.Error(got)
	}
	// What is in no extension names none.
	s, _ := NewServer(cfg)
	s.Feed(appendPlaintext(nil, recordHandshake, 0x0301, slices.Concat([]byte{1, 0, 0, 2}, []byte{3, 3})))
	if _, err := s.Next(testTime); !errors.Is(err, FaultDecode) || errors.As(err, new(ExtensionError)) {
		t.Errorf("a hello that is cut off: %v", err)
	}
}

// The same of EncryptedExtensions (RFC 8446, section 4.3.1).
func TestClientExtensionError(t *testing.T) {
	const inEE = messageHeaderLen
	for typ, data := range map[uint16][]byte{extServerName: {0}, extALPN: {0, 1, 0}} {
		s, cfg := newScript(t)
		cfg.NextProtos = []string{"h2"}
		s.edit = at(StateEncryptedExtensions, more(inEE, typ, data...))
		c := mustClient(t, cfg)
		_, err := run(c, s.flight(c.AppendOutput(nil)))
		var got ExtensionError
		if !errors.Is(err, FaultDecode) || !errors.As(err, &got) || uint16(got) != typ {
			t.Errorf("extension %d: %v", typ, err)
		}
	}
}

// A client that speaks plain HTTP is told from garbage, for whoever reads the
// log. The alert is the same (RFC 8446, section 5.1: not a record).
func TestServerSpeaksHTTP(t *testing.T) {
	for request, want := range map[string]bool{
		"GET / HTTP/1.1\r\n": true, "HEAD / HTTP/1.1\r\n": true, "POST / HTTP/1.1\r\n": true, "PUT / HTTP/1.1\r\n": true,
		"OPTIONS * HTTP/1.1\r\n": true, "CONNECT example.com:443 HTTP/1.1\r\n": true,
		"PATCH": false, "GETS ": false, "EHLO example.com\r\n": false, "\x16\x02\x00\x00\x00": false,
	} {
		cfg, _, _ := serverSetup(t)
		s, err := NewServer(cfg)
		if err != nil {
			t.Fatal(err)
		}
		for i := range request { // byte by byte
			s.Feed([]byte{request[i]})
			if _, err = s.Next(testTime); err != nil {
				break
			}
		}
		if !errors.Is(err, FaultBadRecordVersion) || strings.Contains(err.Error(), "speaks HTTP") != want {
			t.Errorf("%q: %v", request, err)
		}
	}
}
