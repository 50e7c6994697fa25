package handshake

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
)

// What a server must not say to a client that offers what browsers do, each
// with the rule that it breaks; the others it may.
func TestBrowserFaults(t *testing.T) {
	const hello, ee, cert, request = StateServerHelloRetried, StateEncryptedExtensions, StateCertificate, StateCertificateOrRequest
	all := withOffers(offerAll...)
	h2 := func(s *scriptedServer, c *Config) { all(s, c); s.alpn = "h2" }
	length := func(f func(int) int) func(int, []byte) (int, []byte) {
		return func(n int, data []byte) (int, []byte) { return f(n), data }
	}
	bomb := func(int, []byte) (int, []byte) { return maxMessageLen + 1, make([]byte, 100) }
	cut := func(n int, data []byte) (int, []byte) { return n, data[:len(data)-8] }
	dc := func(data ...byte) func([]byte) []byte {
		return func([]byte) []byte { return certificateWith(scriptCertificate, extDelegatedCredential, data) }
	}
	both := func(msg []byte) []byte { return more(inEE, extALPSOld)(more(inEE, extALPS)(msg)) }
	tests := []struct {
		rule  string
		setup func(*scriptedServer, *Config)
		step  State
		edit  func([]byte) []byte
		want  Fault
	}{
		{"RFC 8879, 4: a compressed certificate", all, cert, compressed(1, nil), 0},
		{"RFC 8879, 4: an algorithm that was offered", all, cert, compressed(2, nil), FaultBadCompressionAlgorithm},
		{"RFC 8879, 4: only if it was offered", nil, cert, compressed(1, nil), FaultUnexpectedMessage},
		{"RFC 8879, 4: it expands", all, cert, compressed(1, func(n int, d []byte) (int, []byte) { return n, []byte("zip") }), FaultDecompression},
		{"RFC 8879, 4: it is whole", all, cert, compressed(1, cut), FaultDecompression},
		{"RFC 8879, 4: not more than declared", all, cert, compressed(1, length(func(n int) int { return n - 1 })), FaultDecompression},
		{"RFC 8879, 4: not less than declared", all, cert, compressed(1, length(func(n int) int { return n + 1 })), FaultDecompression},
		{"RFC 8879, 5: the limit is for what is declared", all, cert, compressed(1, bomb), FaultUncompressedTooLarge},
		{"RFC 8879, 4: well-formed", all, cert, func([]byte) []byte { return []byte{25, 0, 0, 5, 0, 1, 0, 0, 0} }, FaultDecode},
		{"RFC 8879, 4: data that is not empty", all, cert, func([]byte) []byte { return []byte{25, 0, 0, 8, 0, 1, 0, 0, 0, 0, 0, 0} }, FaultDecode},
		{"RFC 8879, 4: what it expands to is a Certificate", all, cert, func(m []byte) []byte { return compressed(1, nil)(remade(m, 9, 9)) }, FaultDecode},
		{"RFC 8449, 4: the largest limit", all, ee, more(inEE, extRecordSizeLimit, 0x40, 1), 0},
		{"RFC 8449, 4: the smallest limit", all, ee, more(inEE, extRecordSizeLimit, 0, 64), 0},
		{"RFC 8449, 4: at least 64", all, ee, more(inEE, extRecordSizeLimit, 0, 63), FaultBadRecordSizeLimit},
		{"RFC 8449, 4: a limit of an extension to come", all, ee, more(inEE, extRecordSizeLimit, 0xff, 0xff), 0},
		{"RFC 8449, 4: well-formed", all, ee, more(inEE, extRecordSizeLimit, 1), FaultDecode},
		{"RFC 8446, 4.2: record_size_limit only where it was offered", nil, ee, more(inEE, extRecordSizeLimit, 0x40, 1), FaultUnsolicitedExtension},
		{"RFC 9345, 4.1.1: a credential only where it was offered", nil, cert, dc(0), FaultUnsolicitedExtension},
		{"RFC 9345, 4: well-formed", all, cert, dc(0, 0, 0, 9), FaultDecode},
		{"ALPS, 3: settings for a protocol of ours", h2, ee, more(inEE, extALPS, 's'), 0},
		{"ALPS, 3: only with a protocol", all, ee, more(inEE, extALPS, 's'), FaultBadALPS},
		{"ALPS, 3: only one that was offered with settings", func(s *scriptedServer, c *Config) { all(s, c); s.alpn = "http/1.1" }, ee, more(inEE, extALPS, 's'), FaultBadALPS},
		{"ALPS, 3: under the number that was offered", h2, ee, more(inEE, extALPSOld, 's'), FaultUnsolicitedExtension},
		{"ALPS, 3: under one number", func(s *scriptedServer, c *Config) { withOffers(offerALPS, offerALPSOld)(s, c); s.alpn = "h2" }, ee, both, FaultUnsolicitedExtension},
		{"RFC 9849, 6.2.1: configurations are ignored", all, ee, more(inEE, extECH, 0, 6, 0xfe, 0xd, 0, 2, 1, 1), 0},
		{"RFC 9849, 6.2.1: but well-formed", all, ee, more(inEE, extECH, 0, 6, 0xfe, 0xd, 0, 3, 1, 1), FaultDecode},
		{"RFC 9849, 5: at least one", all, ee, more(inEE, extECH, 0, 0), FaultDecode},
		{"RFC 8446, 4.2: encrypted_client_hello only where it was offered", nil, ee, more(inEE, extECH, 0, 4, 0xfe, 0xd, 0, 0), FaultUnsolicitedExtension},
		{"RFC 9849, 5: not in ServerHello", all, hello, more(inHello, extECH), FaultUnsolicitedExtension},
		{"RFC 8701, 4: no extension of GREASE in ServerHello", all, hello, more(inHello, 0x1a1a), FaultUnsolicitedExtension},
		{"RFC 8701, 4: no extension of GREASE in EncryptedExtensions", all, ee, more(inEE, 0x1a1a, 0), FaultUnsolicitedExtension},
		{"RFC 8701, 4: nor an empty one", all, ee, more(inEE, 0xdada), FaultUnsolicitedExtension},
		{"RFC 8701, 4: no extension of GREASE in Certificate", all, cert, func([]byte) []byte { return certificateWith(scriptCertificate, 0x1a1a, nil) }, FaultUnsolicitedExtension},
		{"RFC 8701, 4: no version of GREASE", all, hello, replaced(inHello, extSupportedVersions, 0x1a, 0x1a), FaultBadSelectedVersion},
		{"RFC 8701, 4: no suite of GREASE", all, hello, func(m []byte) []byte { m[inHello-3], m[inHello-2] = 0x1a, 0x1a; return m }, FaultBadCipherSuite},
		{"RFC 8701, 4: no group of GREASE", all, hello, replaced(inHello, extKeyShare, 0x1a, 0x1a, 0, 1, 0), FaultBadGroup},
		{"RFC 8701, 4: no signature algorithm of GREASE", all, StateCertificateVerify, func(m []byte) []byte { m[4], m[5] = 0x1a, 0x1a; return m }, FaultBadSignatureAlgorithm},
		{"RFC 8701, 3.1: no protocol of GREASE", func(s *scriptedServer, c *Config) { s.alpn, c.NextProtos = "\x1a\x1a", []string{"\x1a\x1a"} }, ee, func(m []byte) []byte { return m }, FaultBadALPN},
		{"RFC 8446, 4.3.1: compress_certificate not in EncryptedExtensions", all, ee, more(inEE, extCompressCertificate, 2, 0, 1), FaultUnsolicitedExtension},
		{"RFC 8446, 4.3.1: delegated_credential not in EncryptedExtensions", all, ee, more(inEE, extDelegatedCredential), FaultUnsolicitedExtension},
		{"RFC 8446, 4.2: record_size_limit not in CertificateRequest", func(s *scriptedServer, c *Config) { all(s, c); s.request = true }, request, more(messageHeaderLen+1, extRecordSizeLimit, 0x40, 1), FaultForbiddenExtension},
	}
	for _, test := range tests {
		s, cfg := newScript(t)
		if test.setup != nil {
			test.setup(s, cfg)
		}
		s.edit = at(test.step, test.edit)
		c := mustClient(t, cfg)
		_, err := run(c, s.flight(c.AppendOutput(nil)))
		if got := faultOf(err); got != test.want || test.want == 0 && err != nil {
			t.Errorf("%s: %v, want %v", test.rule, err, test.want)
		}
		if test.want != 0 {
			if alert, _ := lastAlert(t, c.AppendOutput(nil), s.reader); alert != test.want.Alert() {
				t.Errorf("%s: alert %v", test.rule, alert)
			}
		}
	}
}

// An encrypted_client_hello in HelloRetryRequest confirms nothing where only GREASE was sent.
func TestECHInHelloRetryRequest(t *testing.T) {
	for size, want := range map[int]Fault{8: 0, 7: FaultDecode, 0: FaultDecode} {
		s, cfg := newScript(t)
		cfg.Hello = browser{offer: offerAll}
		c := mustClient(t, cfg)
		first := c.hello
		_, err := run(c, s.retry(c.AppendOutput(nil), func(b *cryptobyte.Builder) {
			addExtension(b, extKeyShare, func(b *cryptobyte.Builder) { b.AddUint16(uint16(tls.CurveP256)) })
			addExtension(b, extECH, func(b *cryptobyte.Builder) { b.AddBytes(make([]byte, size)) })
		}))
		if faultOf(err) != want {
			t.Errorf("%d bytes: %v, want %v", size, err, want)
			continue
		}
		if want != 0 {
			continue
		}
		// RFC 9849, section 6.2.1: the second hello has the same.
		was, _ := first.extension(extECH)
		if is, ok := c.hello.extension(extECH); !ok || !bytes.Equal(is, was) {
			t.Error("the second hello has another encrypted_client_hello")
		}
	}
	s, cfg := newScript(t)
	c := mustClient(t, cfg)
	_, err := run(c, s.retry(c.AppendOutput(nil), func(b *cryptobyte.Builder) {
		addExtension(b, extECH, func(b *cryptobyte.Builder) { b.AddBytes(make([]byte, 8)) })
	}))
	if !errors.Is(err, FaultUnsolicitedExtension) {
		t.Errorf("where it was not offered: %v", err)
	}
}

// What could not be honoured is refused by name, before anything is sent.
func TestRefusedOffers(t *testing.T) {
	for name, offer := range map[string]extension{
		"post_handshake_auth (49)":                       {49, nil},
		"channel_id (30032)":                             {30032, nil},
		"an unknown extension (4660)":                    {0x1234, nil},
		"max_fragment_length (1)":                        {1, []byte{1}},
		"quic_transport_parameters (57)":                 {57, nil},
		"compress_certificate (27): there is no":         {extCompressCertificate, []byte{2, 0, 2}},
		"compress_certificate (27): it is malformed":     {extCompressCertificate, []byte{1, 0}},
		"record_size_limit (28): it is malformed":        {extRecordSizeLimit, []byte{0, 63}},
		"delegated_credential (34): it is malformed":     {extDelegatedCredential, []byte{0, 0}},
		"application_settings (17613): it is malformed":  {extALPS, nil},
		"has extension 16 twice":                         {extALPN, []byte{0, 3, 2, 'h', '2'}},
		"early_data (42): it is malformed":               {extEarlyData, []byte{0}},
		"cookie (44): it is malformed":                   {extCookie, []byte{0, 1, 'c'}},
		"record_size_limit (28): it is malformed, or ne": {extRecordSizeLimit, []byte{0x40, 2}},
	} {
		_, cfg := newScript(t)
		cfg.Hello = browser{offer: []extension{offer}}
		if _, err := NewClient(cfg); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, cfg := newScript(t)
	cfg.NextProtos, cfg.Hello = nil, browser{offer: []extension{offerALPS}}
	if _, err := NewClient(cfg); err == nil {
		t.Error("application settings without application protocols were offered")
	}
}

// A decompressor that makes no progress, or fails late, ends the handshake too.
func TestDecompress(t *testing.T) {
	stuck := func(io.Reader) (io.Reader, error) {
		return io.MultiReader(strings.NewReader("abc"), &stuckReader{}), nil
	}
	if _, err := decompress(stuck, nil, 3); !errors.Is(err, io.ErrNoProgress) {
		t.Error(err)
	}
	late := func(io.Reader) (io.Reader, error) {
		return io.MultiReader(strings.NewReader("abc"), &stuckReader{errors.New("late")}), nil
	}
	if _, err := decompress(late, nil, 3); err == nil || err.Error() != "late" {
		t.Error(err)
	}
	refused := func(io.Reader) (io.Reader, error) { return nil, errors.New("no") }
	if _, err := decompress(refused, nil, 3); err == nil {
		t.Error("a decompressor that refuses expands")
	}
	panics := func(io.Reader) (io.Reader, error) { panic("index out of range") }
	if out, err := decompress(panics, nil, 3); out != nil || err == nil {
		t.Errorf("a decompressor that panics: %x, %v", out, err)
	}
}

type stuckReader struct{ err error }

func (r *stuckReader) Read([]byte) (int, error) { return 0, r.err }
