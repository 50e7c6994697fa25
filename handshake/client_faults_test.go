package handshake

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"golang.org/x/crypto/cryptobyte"
)

// The helpers below make the edits of a scriptedServer.

// at edits the message of one step.
func at(step State, f func(msg []byte) []byte) func(State, []byte) []byte {
	return func(s State, msg []byte) []byte {
		if s == step {
			msg = f(bytes.Clone(msg))
		}
		return msg
	}
}

// remade is a message with another body.
func remade(msg []byte, body ...byte) []byte {
	out, _ := buildMessage(messageType(msg[0]), func(b *cryptobyte.Builder) { b.AddBytes(body) })
	return out
}

// more adds an extension to a message that ends with its extensions, whose
// length stands at offset.
func more(offset int, typ uint16, data ...byte) func([]byte) []byte {
	return func(msg []byte) []byte {
		msg = binary.BigEndian.AppendUint16(msg, typ)
		msg = binary.BigEndian.AppendUint16(msg, uint16(len(data)))
		msg = append(msg, data...)
		binary.BigEndian.PutUint16(msg[offset:], uint16(len(msg)-offset-2))
		return remade(msg, msg[messageHeaderLen:]...)
	}
}

// without takes an extension out of such a message.
func without(offset int, typ uint16) func([]byte) []byte {
	return func(msg []byte) []byte {
		list := cryptobyte.String(msg[offset+2:])
		out := bytes.Clone(msg[:offset+2])
		var t uint16
		for data := list; ; {
			before := list
			if !nextExtension(&list, &t, &data) {
				break
			}
			if t != typ {
				out = append(out, before[:len(before)-len(list)]...)
			}
		}
		binary.BigEndian.PutUint16(out[offset:], uint16(len(out)-offset-2))
		return remade(out, out[messageHeaderLen:]...)
	}
}

// changed sets one byte.
func changed(offset int, b byte) func([]byte) []byte {
	return func(msg []byte) []byte {
		if offset < 0 {
			offset += len(msg)
		}
		msg[offset] = b
		return msg
	}
}

func replaced(offset int, typ uint16, data ...byte) func([]byte) []byte {
	return func(msg []byte) []byte { return more(offset, typ, data...)(without(offset, typ)(msg)) }
}

func empty([]byte) []byte { return nil }

const (
	inHello = messageHeaderLen + 2 + 32 + 1 + 32 + 2 + 1 // the length of ServerHello's extensions
	inEE    = messageHeaderLen
)

// What a server must not say, each with the rule of RFC 8446 that it breaks.
func TestClientFaults(t *testing.T) {
	const hello, ee, request, cert, verify, fin = StateServerHelloRetried, StateEncryptedExtensions, StateCertificateOrRequest,
		StateCertificate, StateCertificateVerify, StateFinished
	type setup func(*scriptedServer, *Config)
	resume := setup(resumeScript)
	accept := func(s *scriptedServer, c *Config) { resumeScript(s, c); s.early = true }
	ask := func(s *scriptedServer, c *Config) { s.request = true }
	p256 := append([]byte{0, 23, 0, 65, 4}, make([]byte, 64)...)
	tests := []struct {
		rule  string
		setup setup
		step  State
		edit  func([]byte) []byte
		want  Fault
	}{
		{"4.1.3: legacy_version is 0x0303", nil, hello, changed(messageHeaderLen+1, 4), FaultBadVersion},
		{"4.1.3: the session id is echoed", nil, hello, changed(messageHeaderLen+2+32+1, 9), FaultBadSessionIDEcho},
		{"4.1.3: a suite that was offered", nil, hello, changed(inHello-2, 9), FaultBadCipherSuite},
		{"4.1.3: compression is null", nil, hello, changed(inHello-1, 1), FaultDecode},
		{"4.2.1: version 1.3 is selected", nil, hello, replaced(inHello, extSupportedVersions, 3, 3), FaultBadSelectedVersion},
		{"4.2.1: one version", nil, hello, replaced(inHello, extSupportedVersions, 3, 4, 3), FaultDecode},
		{"4.1.3: supported_versions is there", nil, hello, without(inHello, extSupportedVersions), FaultUnsupportedVersion},
		{"9.2: key_share is there", nil, hello, without(inHello, extKeyShare), FaultMissingExtension},
		{"4.2.11: a key_share with the PSK, for psk_dhe_ke", resume, hello, without(inHello, extKeyShare), FaultPSKWithoutKeyShare},
		{"4.2.8: a group with a share", nil, hello, replaced(inHello, extKeyShare, p256...), FaultBadGroup},
		{"4.2.8: a share of the right length", nil, hello, replaced(inHello, extKeyShare, 0, 29, 0, 2, 1, 2), FaultBadKeyShare},
		{"7.4.2: a shared secret of zeros", nil, hello, replaced(inHello, extKeyShare, append([]byte{0, 29, 0, 32}, make([]byte, 32)...)...), FaultBadKeyShare},
		{"4.2: no extension that was not offered", nil, hello, more(inHello, 0x1234), FaultUnsolicitedExtension},
		{"4.2: no extension of another message", nil, hello, more(inHello, extALPN, 0, 3, 2, 'h', '2'), FaultUnsolicitedExtension},
		{"4.2: no extension twice", nil, hello, more(inHello, extSupportedVersions, 3, 4), FaultDuplicateExtension},
		{"4.2.11: no PSK where none was offered", nil, hello, more(inHello, extPreSharedKey, 0, 0), FaultUnsolicitedExtension},
		{"4.2.11: a PSK that was offered", resume, hello, replaced(inHello, extPreSharedKey, 0, 1), FaultBadPSKIndex},
		{"4.2.11: a well-formed selection", resume, hello, replaced(inHello, extPreSharedKey, 0), FaultDecode},
		{"4: ServerHello comes first", nil, hello, empty, FaultUnexpectedRecord},

		{"4.2: no extension that was not offered", nil, ee, more(inEE, 0x1234), FaultUnsolicitedExtension},
		{"4.2: no extension of another message", nil, ee, more(inEE, extKeyShare), FaultUnsolicitedExtension},
		{"4.2: no extension twice", nil, ee, func(m []byte) []byte { return more(inEE, extServerName)(more(inEE, extServerName)(m)) }, FaultDecode},
		{"4.2.10: no early_data where none was offered", nil, ee, more(inEE, extEarlyData), FaultUnsolicitedExtension},
		{"4.2.10: early_data is empty", accept, ee, replaced(inEE, extEarlyData, 0), FaultDecode},
		{"4.2.10: early data under the ticket's protocol", accept, ee, replaced(inEE, extALPN, 0, 9, 8, 'h', 't', 't', 'p', '/', '1', '.', '1'), FaultEarlyDataALPNMismatch},
		{"4.2.10: early data with a protocol at all", accept, ee, without(inEE, extALPN), FaultEarlyDataALPNMismatch},
		{"RFC 7301, 3.1: a protocol that was offered", nil, ee, more(inEE, extALPN, 0, 3, 2, 'h', '9'), FaultBadALPN},
		{"RFC 7301, 3.1: one protocol", nil, ee, more(inEE, extALPN, 0, 6, 2, 'h', '2', 2, 'h', '2'), FaultBadALPN},
		{"RFC 7301, 3.1: a protocol that is not empty", nil, ee, more(inEE, extALPN, 0, 1, 0), FaultDecode},
		{"RFC 6066, 3: server_name is empty", nil, ee, more(inEE, extServerName, 0), FaultDecode},
		{"4.3.1: EncryptedExtensions comes next", nil, ee, empty, FaultUnexpectedMessage},

		{"4.3.2: no context during the handshake", ask, request, func(m []byte) []byte { return remade(m, append([]byte{1, 7}, m[5:]...)...) }, FaultBadCertificateRequest},
		{"4.3.2: signature_algorithms is there", ask, request, without(messageHeaderLen+1, extSignatureAlgorithms), FaultMissingExtension},
		{"4.2: no extension of another message", ask, request, more(messageHeaderLen+1, extKeyShare), FaultForbiddenExtension},
		{"4.3.2: not on a resumed handshake", func(s *scriptedServer, c *Config) { resumeScript(s, c); s.request = true }, 0, nil, FaultCertificateRequestWithPSK},
		{"4.3.2: once", ask, cert, func(m []byte) []byte { m[0] = byte(typeCertificateRequest); return m }, FaultUnexpectedMessage},

		{"4.4.2.4: a certificate is there", nil, cert, func(m []byte) []byte { return remade(m, 0, 0, 0, 0) }, FaultNoCertificate},
		{"4.4.2: no context", nil, cert, func(m []byte) []byte { return remade(m, 1, 7, 0, 0, 0) }, FaultDecode},
		{"4.4.2: X.509", nil, cert, func(m []byte) []byte { return remade(m, 0, 0, 0, 6, 0, 0, 1, 7, 0, 0) }, FaultDecode},
		{"4.4.2: no empty entry", nil, cert, func(m []byte) []byte { return remade(m, 0, 0, 0, 5, 0, 0, 0, 0, 0) }, FaultDecode},
		{"4.4.2: no extension that was not offered", nil, cert, func(m []byte) []byte { return remade(m, 0, 0, 0, 10, 0, 0, 1, 7, 0, 4, 0x12, 0x34, 0, 0) }, FaultUnsolicitedExtension},
		{"RFC 6066, 8: an OCSP response", nil, cert, func(m []byte) []byte { return remade(m, 0, 0, 0, 11, 0, 0, 1, 7, 0, 5, 0, 5, 0, 1, 2) }, FaultDecode},
		{"RFC 6962, 3.3: a list of timestamps", nil, cert, func(m []byte) []byte { return remade(m, 0, 0, 0, 12, 0, 0, 1, 7, 0, 6, 0, 18, 0, 2, 0, 0) }, FaultDecode},
		{"4.4: Certificate comes before CertificateVerify", nil, cert, empty, FaultUnexpectedMessage},
		{"4.4.3: an algorithm that was offered", nil, verify, changed(5, 8), FaultBadSignatureAlgorithm},
		{"4.4.3: no PKCS #1 v1.5", nil, verify, func(m []byte) []byte { m[4], m[5] = 4, 1; return m }, FaultBadSignatureAlgorithm},
		{"4.4.3: an algorithm that fits the key", nil, verify, func(m []byte) []byte { m[4], m[5] = 4, 3; return m }, FaultBadSignatureAlgorithm},
		{"4.4.3: the signature verifies", nil, verify, changed(-1, 0), FaultBadSignature},
		{"4.4.3: CertificateVerify is there", nil, verify, empty, FaultUnexpectedMessage},
		{"4.4.4: Finished verifies", nil, fin, changed(-1, 0), FaultBadFinished},
		{"4.4.4: Finished has the hash's length", nil, fin, func(m []byte) []byte { return remade(m, m[4:35]...) }, FaultBadFinished},
		{"4.4.4: Finished verifies, resumed", resume, fin, changed(-1, 0), FaultBadFinished},
		{"5.1: no message spans a key change", nil, fin, func(m []byte) []byte { return append(m, 4, 0) }, FaultPartialMessage},
		{"5.1: no message behind ServerHello", nil, hello, func(m []byte) []byte { return append(m, 8, 0, 0, 2, 0, 0) }, FaultPartialMessage},
		{"4.6.2: no message that does not exist", nil, ee, changed(0, 99), FaultUnexpectedMessage},
	}
	for _, test := range tests {
		s, cfg := newScript(t)
		if test.setup != nil {
			test.setup(s, cfg)
		}
		if test.edit != nil {
			s.edit = at(test.step, test.edit)
		}
		c := mustClient(t, cfg)
		_, err := run(c, s.flight(c.AppendOutput(nil)))
		var local *LocalError
		if !errors.As(err, &local) || local.Fault != test.want {
			t.Errorf("%s: %v, want %v", test.rule, err, test.want)
			continue
		}
		if _, again := c.Next(testTime); again != err {
			t.Errorf("%s: then %v", test.rule, again)
		}
		key := s.reader
		if c.status == EarlyAccepted || cfg.EarlyData && local.State <= StateEncryptedExtensions {
			early := newEarlySecret(s.suite, s.session.Secret)
			h := s.suite.hash()
			h.Write(s.hello.message)
			key, _ = newProtector(s.suite, early.clientTraffic(h.Sum(nil)))
		}
		out := c.AppendOutput(nil)
		if alert, _ := lastAlert(t, out, key); alert != test.want.Alert() {
			t.Errorf("%s: sent alert %v, want %v", test.rule, alert, test.want.Alert())
		}
	}
}

func TestRetryFaults(t *testing.T) {
	group := func(g tls.CurveID) func(b *cryptobyte.Builder) {
		return func(b *cryptobyte.Builder) {
			addExtension(b, extKeyShare, func(b *cryptobyte.Builder) { b.AddUint16(uint16(g)) })
		}
	}
	cookie := func(data ...byte) func(b *cryptobyte.Builder) {
		return func(b *cryptobyte.Builder) {
			addExtension(b, extCookie, func(b *cryptobyte.Builder) { b.AddBytes(data) })
		}
	}
	both := func(fs ...func(*cryptobyte.Builder)) func(b *cryptobyte.Builder) {
		return func(b *cryptobyte.Builder) {
			for _, f := range fs {
				f(b)
			}
		}
	}
	for _, test := range []struct {
		rule       string
		extensions func(b *cryptobyte.Builder)
		edit       func([]byte) []byte
		want       Fault
	}{
		{"4.1.4: something changes", both(), nil, FaultUselessHelloRetryRequest},
		{"4.2.8: a group without a share", group(tls.X25519), nil, FaultUselessHelloRetryRequest},
		{"4.2.8: a group that was listed", group(tls.CurveP521), nil, FaultBadGroup},
		{"4.2.2: a cookie that is not empty", cookie(0, 0), nil, FaultDecode},
		{"4.2.2: a cookie", cookie(0, 2, 1), nil, FaultDecode},
		{"4.1.4: no other extension", both(cookie(0, 1, 1), func(b *cryptobyte.Builder) {
			addExtension(b, extPreSharedKey, func(b *cryptobyte.Builder) { b.AddUint16(0) })
		}), nil, FaultUnsolicitedExtension},
		{"4.2: no extension twice", both(cookie(0, 1, 1), cookie(0, 1, 1)), nil, FaultDuplicateExtension},
		{"4.2.8: a group, not a share", func(b *cryptobyte.Builder) {
			addExtension(b, extKeyShare, func(b *cryptobyte.Builder) { b.AddBytes([]byte{0, 23, 0, 0}) })
		}, nil, FaultDecode},
		{"4.1.3: the session id is echoed", cookie(0, 1, 1), changed(messageHeaderLen+2+32+1, 9), FaultBadSessionIDEcho},
		{"5.1: nothing behind it", cookie(0, 1, 1), func(m []byte) []byte { return append(m, 2, 0) }, FaultPartialMessage},
		{"4.1.4: not twice", cookie(0, 1, 1), nil, FaultSecondHelloRetryRequest},
	} {
		s, cfg := newScript(t)
		c := mustClient(t, cfg)
		if test.edit != nil {
			s.edit = at(StateServerHello, test.edit)
		}
		_, err := run(c, s.retry(c.AppendOutput(nil), test.extensions))
		if test.want == FaultSecondHelloRetryRequest && err == nil {
			out := c.AppendOutput(nil)
			_, err = run(c, s.retry(out[6:], test.extensions))
		}
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.rule, err, test.want)
			continue
		}
		if alert, _ := lastAlert(t, c.AppendOutput(nil), nil); alert != test.want.Alert() {
			t.Errorf("%s: sent alert %v, want %v", test.rule, alert, test.want.Alert())
		}
	}
}

// After HelloRetryRequest version, suite and group are settled (sections 4.1.4
// and 4.2.8).
func TestServerHelloAfterRetry(t *testing.T) {
	for _, test := range []struct {
		edit func([]byte) []byte
		want Fault
	}{
		{nil, 0},
		{changed(inHello-2, 3), FaultSuiteChangedAfterRetry},
		{without(inHello, extSupportedVersions), FaultVersionChangedAfterRetry},
		{replaced(inHello, extSupportedVersions, 3, 3), FaultVersionChangedAfterRetry},
		{replaced(inHello, extKeyShare, append([]byte{0, 29, 0, 32, 1}, make([]byte, 31)...)...), FaultGroupChangedAfterRetry},
	} {
		s, cfg := newScript(t)
		c := mustClient(t, cfg)
		request := s.retry(c.AppendOutput(nil), func(b *cryptobyte.Builder) {
			addExtension(b, extKeyShare, func(b *cryptobyte.Builder) { b.AddUint16(uint16(tls.CurveP256)) })
			addExtension(b, extCookie, func(b *cryptobyte.Builder) { addBytes16(b, []byte("biscuit")) })
		})
		if _, err := run(c, request); err != nil {
			t.Fatal(err)
		}
		out := c.AppendOutput(nil)
		if !bytes.Equal(out[:6], []byte{20, 3, 3, 0, 1, 1}) {
			t.Fatalf("no change_cipher_spec before the second hello: %x", out[:6]) // section D.4
		}
		if out = out[6:]; !bytes.Equal(out[:3], []byte{22, 3, 3}) {
			t.Errorf("second hello in record %x", out[:3]) // section 5.1
		}
		s.group = tls.CurveP256
		if test.edit != nil {
			s.edit = at(StateServerHelloRetried, test.edit)
		}
		events, err := run(c, s.flight(out))
		if data, _ := s.hello.extension(extCookie); string(data) != "\x00\x07biscuit" {
			t.Errorf("cookie %q", data)
		}
		if test.want == 0 && (err != nil || !slices.Equal(events, []EventKind{EventHandshakeComplete})) || test.want != 0 && !errors.Is(err, test.want) {
			t.Errorf("%v, %v, want %v", events, err, test.want)
		}
	}
}

// Early data accepted under another suite than the ticket's is fatal, one of
// another hash cannot resume at all (sections 4.2.10 and 4.2.11).
func TestResumedSuite(t *testing.T) {
	for id, want := range map[uint16]Fault{
		tls.TLS_CHACHA20_POLY1305_SHA256: FaultEarlyDataSuiteMismatch,
		tls.TLS_AES_256_GCM_SHA384:       FaultPSKSuiteMismatch,
	} {
		s, cfg := newScript(t)
		resumeScript(s, cfg)
		s.early = true
		s.suite = suiteByID(id)
		c := mustClient(t, cfg)
		if _, err := run(c, s.flight(c.AppendOutput(nil))); !errors.Is(err, want) {
			t.Errorf("suite %x: %v, want %v", id, err, want)
		}
	}
}
