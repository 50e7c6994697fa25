package handshake

import (
	"bytes"
	"crypto/tls"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// contents returns how long the content of each protected record is, opened by key.
func contents(t *testing.T, records []byte, key *protector) (lengths []int) {
	t.Helper()
	for len(records) > 0 {
		n := recordHeaderLen + int(records[3])<<8 + int(records[4])
		if recordType(records[0]) == recordApplication {
			_, data, fault := key.open(records[:recordHeaderLen], records[recordHeaderLen:n])
			if fault != 0 {
				t.Fatal(fault)
			}
			lengths = append(lengths, len(data))
		}
		records = records[n:]
	}
	return lengths
}

// Once record_size_limit is negotiated, no record of ours has more content than the server wants, less a byte for the type
// (RFC 8449, section 4): in the handshake, after it, and in early data of a session made with it.
func TestRecordSizeLimitSent(t *testing.T) {
	s, cfg := newScript(t)
	cfg.Hello = browser{offer: []extension{offerLimit}}
	s.request = true
	cfg.Certificates = []tls.Certificate{{Certificate: [][]byte{scriptCertificate}, PrivateKey: scriptKey}}
	s.edit = at(StateEncryptedExtensions, more(inEE, extRecordSizeLimit, 0, 100))
	c := mustClient(t, cfg)
	if _, err := run(c, s.flight(c.AppendOutput(nil))); err != nil {
		t.Fatal(err)
	}
	lengths := contents(t, c.AppendOutput(nil), s.reader)
	if len(lengths) < 4 || slices.Max(lengths) != 99 {
		t.Errorf("records of the handshake: %v", lengths)
	}
	r := c.resumption
	sealer, _ := c.Split()
	key, _ := newProtector(s.suite, bytes.Clone(sealer.writer.secret))
	lengths = contents(t, sealer.SealRecord(sealer.Seal(nil, make([]byte, 250)), make([]byte, 120), 1000), key)
	if !slices.Equal(lengths, []int{99, 99, 52, 21, 99}) {
		t.Errorf("records after it: %v", lengths)
	}
	if padded := sealer.SealRecord(nil, []byte("x"), 1000); len(padded) != recordOverhead+99 {
		t.Errorf("a padded record of %d bytes", len(padded))
	}

	session, fault := r.session([]byte{0, 0, 0, 60, 0, 0, 0, 1, 1, 7, 0, 2, 8, 9, 0, 8, 0, 42, 0, 4, 0, 0, 1, 0}, testTime)
	if fault != 0 || session.RecordLimit != 99 {
		t.Fatal(fault, session.RecordLimit)
	}
	data, err := session.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if session, err = ParseSession(data); err != nil || session.RecordLimit != 99 {
		t.Fatal(err)
	}
	session.ALPN = ""
	cfg.Session, cfg.EarlyData = session, true
	c = mustClient(t, cfg)
	if n, err := c.WriteEarly(make([]byte, 250)); n != 250 || err != nil {
		t.Fatal(n, err)
	}
	key, _ = newProtector(s.suite, bytes.Clone(c.writer.secret))
	if lengths = contents(t, c.AppendOutput(nil)[c.HelloLen():], key); !slices.Equal(lengths, []int{99, 99, 52}) {
		t.Errorf("records of early data: %v", lengths)
	}

	// A Session that a caller made may have any limit: no record is longer than TLS allows.
	session.RecordLimit, session.MaxEarlyData = 0xffff, 1<<20
	c = mustClient(t, cfg)
	if n, err := c.WriteEarly(make([]byte, 20000)); n != 20000 || err != nil {
		t.Fatal(n, err)
	}
	key, _ = newProtector(s.suite, bytes.Clone(c.writer.secret))
	if lengths = contents(t, c.AppendOutput(nil)[c.HelloLen():], key); !slices.Equal(lengths, []int{maxPlaintext, 20000 - maxPlaintext}) {
		t.Errorf("records of early data without a limit: %v", lengths)
	}
}

// A server that negotiated it does not send more than we want (RFC 8449, section 4); one that did not may.
func TestRecordSizeLimitReceived(t *testing.T) {
	for size, want := range map[int]Fault{199: 0, 200: FaultRecordOverflow} {
		for _, negotiated := range []bool{true, false} {
			s, cfg := newScript(t)
			cfg.Hello = browser{offer: []extension{{extRecordSizeLimit, []byte{0, 200}}}}
			if negotiated {
				s.edit = at(StateEncryptedExtensions, more(inEE, extRecordSizeLimit, 0x40, 1))
			}
			c := mustClient(t, cfg)
			_, err := run(c, s.flight(c.AppendOutput(nil))) // its Certificate is longer than 200 bytes
			if negotiated != errors.Is(err, FaultRecordOverflow) {
				t.Errorf("a flight in large records, negotiated %v: %v", negotiated, err)
			}
			_, o, peer, _ := testSplit(t, tls.TLS_AES_128_GCM_SHA256, nil)
			want := want
			if negotiated {
				o.reader.limit = 200
			} else {
				want = 0
			}
			if err := feedError(o, peer.SealRecord(nil, make([]byte, size), 0)); faultOf(err) != want {
				t.Errorf("%d bytes, negotiated %v: %v, want %v", size, negotiated, err, want)
			}
		}
	}
}

// Settings that the session was made with are those of its early data; others are made anew (draft-vvv-tls-alps, section 4.3).
func TestApplicationSettings(t *testing.T) {
	s, cfg := newScript(t)
	ours := map[string][]byte{"h2": []byte("client")}
	cfg.Hello = browser{offer: []extension{offerALPS}, settings: ours}
	s.alpn = "h2"
	s.edit = at(StateEncryptedExtensions, more(inEE, extALPS, []byte("server")...))
	c := mustClient(t, cfg)
	if _, err := run(c, s.flight(c.AppendOutput(nil))); err != nil {
		t.Fatal(err)
	}
	if got, ok := c.PeerApplicationSettings(); !ok || string(got) != "server" {
		t.Errorf("the server's settings: %q, %v", got, ok)
	}
	lengths := contents(t, c.AppendOutput(nil), s.reader)
	if want := []int{messageHeaderLen + 2 + 4 + len("client") + messageHeaderLen + 32}; !slices.Equal(lengths, want) {
		t.Errorf("the client's flight has records of %v, want EncryptedExtensions and Finished: %v", lengths, want)
	}
	session, fault := c.resumption.session([]byte{0, 0, 0, 60, 0, 0, 0, 1, 1, 7, 0, 2, 8, 9, 0, 8, 0, 42, 0, 4, 0, 0, 1, 0}, testTime)
	if fault != 0 {
		t.Fatal(fault)
	}
	data, err := session.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if session, err = ParseSession(data); err != nil || string(session.ApplicationSettings) != "client" || string(session.PeerApplicationSettings) != "server" {
		t.Fatalf("%+v, %v", session, err)
	}

	s, cfg = newScript(t)
	s.session, s.alpn, s.early = session, "h2", true
	cfg.Session, cfg.EarlyData = session, true
	cfg.Hello = browser{offer: []extension{offerALPS}, settings: ours}
	c = mustClient(t, cfg)
	if _, err := run(c, s.flight(c.AppendOutput(nil))); err != nil {
		t.Fatal(err)
	}
	if got, ok := c.PeerApplicationSettings(); !ok || string(got) != "server" {
		t.Errorf("with early data: %q, %v", got, ok)
	}
	for _, other := range []browser{{}, {offer: []extension{offerALPS}}, {offer: []extension{offerALPS}, settings: map[string][]byte{"h2": []byte("x")}}} {
		cfg.Hello = other
		if c := mustClient(t, cfg); c.EarlyData() != EarlyNotOffered || c.EarlyReason() != ReasonALPSMismatch {
			t.Errorf("%v: early data %v, %v", other, c.EarlyData(), c.EarlyReason())
		}
	}
}

// A client that answers settings and a CertificateRequest sends EncryptedExtensions first (draft-vvv-tls-alps, section 3.2).
func TestSettingsBeforeCertificate(t *testing.T) {
	s, cfg := newScript(t)
	cfg.Hello = browser{offer: []extension{offerALPS}}
	cfg.Certificates = []tls.Certificate{{Certificate: [][]byte{scriptCertificate}, PrivateKey: scriptKey}}
	s.request, s.alpn = true, "h2"
	s.edit = at(StateEncryptedExtensions, more(inEE, extALPS))
	c := mustClient(t, cfg)
	if _, err := run(c, s.flight(c.AppendOutput(nil))); err != nil {
		t.Fatal(err)
	}
	record := c.AppendOutput(nil)[6:] // behind change_cipher_spec
	_, data, fault := s.reader.open(record[:recordHeaderLen], record[recordHeaderLen:])
	if fault != 0 {
		t.Fatal(fault)
	}
	var types []messageType
	for len(data) > 0 {
		types = append(types, messageType(data[0]))
		data = data[messageHeaderLen+int(data[1])<<16+int(data[2])<<8+int(data[3]):]
	}
	if want := []messageType{typeEncryptedExtensions, typeCertificate, typeCertificateVerify, typeFinished}; !slices.Equal(types, want) {
		t.Errorf("the flight is %v, want %v", types, want)
	}
}

// A session ends with the delegated credential that its server was authenticated by, however often it is resumed (RFC 9345, section 7.4).
func TestDelegatedSession(t *testing.T) {
	ticket := []byte{0, 0, 0xe, 0x10, 0, 0, 0, 1, 1, 7, 0, 2, 8, 9, 0, 0} // an hour
	s, cfg := newScript(t)
	goodDelegation().setup(t, s, cfg)
	c := mustClient(t, cfg)
	if _, err := run(c, s.flight(c.AppendOutput(nil))); err != nil {
		t.Fatal(err)
	}
	session, fault := c.resumption.session(ticket, testTime)
	if fault != 0 || session.Lifetime != 30*time.Minute {
		t.Fatalf("%v, lifetime %v", fault, session.Lifetime)
	}
	if late, fault := c.resumption.session(ticket, testTime.Add(30*time.Minute)); late != nil || fault != 0 {
		t.Errorf("a session after the credential's end: %v, %v", late, fault)
	}
	data, err := session.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if session, err = ParseSession(data); err != nil {
		t.Fatal(err)
	}
	s, cfg = newScript(t)
	s.session, cfg.Session = session, session
	c = mustClient(t, cfg)
	if _, err := run(c, s.flight(c.AppendOutput(nil))); err != nil {
		t.Fatal(err)
	}
	if again, fault := c.resumption.session(ticket, testTime.Add(10*time.Minute)); fault != 0 || again.Lifetime != 20*time.Minute {
		t.Errorf("resumed: %v, %v", again, fault)
	}
}

// Padding that no hello has room for is an error, not a panic.
func TestPaddingTooLong(t *testing.T) {
	for _, zeros := range []int{0x10000, math.MaxInt} {
		_, cfg := newScript(t)
		cfg.Hello = browser{offer: []extension{{extPadding, nil}}, padding: func(int) (int, bool) { return zeros, true }}
		if _, err := NewClient(cfg); err == nil {
			t.Errorf("padding of %d bytes was sent", zeros)
		}
	}
}

// askShare has a client answer a HelloRetryRequest with a cookie that wants a share of a group.
func askShare(s *scriptedServer, c *Client, group uint16) error {
	_, err := run(c, s.retry(c.AppendOutput(nil), func(b *cryptobyte.Builder) {
		addExtension(b, extKeyShare, func(b *cryptobyte.Builder) { b.AddUint16(group) })
		addExtension(b, extCookie, func(b *cryptobyte.Builder) { addBytes16(b, []byte("cookie")) })
	}))
	return err
}

// An empty cookie is the place of one. With both it and a share the second hello has them where the Builder wants; GREASE is no group
// to ask for (RFC 8701, section 4).
func TestCookiePlace(t *testing.T) {
	place := extension{extCookie, nil}
	zeros := func(n int) (int, bool) { return 1000 - n, true }
	s, cfg := newScript(t)
	cfg.Hello = browser{offer: []extension{offerGREASE, place, {extPadding, nil}, offerECH}, padding: zeros}
	c := mustClient(t, cfg)
	if c.hello.offers(extCookie) || len(c.hello.message) != 1000+4 {
		t.Errorf("the first hello has a cookie, or %d bytes", len(c.hello.message))
	}
	if err := askShare(s, c, uint16(tls.CurveP256)); err != nil {
		t.Fatal(err)
	}
	var order []uint16
	var typ uint16
	var data cryptobyte.String
	for list := c.hello.extensions; nextExtension(&list, &typ, &data); {
		order = append(order, typ)
	}
	want := []uint16{offerGREASE.typ, extCookie, extPadding, extECH}
	if tail := order[len(order)-4:]; !slices.Equal(tail, want) || len(c.hello.message) != 1000+4 {
		t.Errorf("the second hello ends with %v, want %v, and has %d bytes", tail, want, len(c.hello.message))
	}
	s, cfg = newScript(t)
	cfg.Hello = browser{offer: offerAll}
	if err := askShare(s, mustClient(t, cfg), 0x1a1a); !errors.Is(err, FaultBadGroup) {
		t.Errorf("HelloRetryRequest for GREASE: %v", err)
	}
}

// browserProofs are for the list of all faults.
func browserProofs() map[Fault]proof {
	all := withOffers(offerAll...)
	const cert, ee, request = StateCertificate, StateEncryptedExtensions, StateCertificateOrRequest
	early := func(s *scriptedServer, c *Config) { all(s, c); resumeScript(s, c); s.early = true }
	short := func(n int, data []byte) (int, []byte) { return n + 1, data }
	large := func(int, []byte) (int, []byte) { return maxMessageLen + 1, []byte{0} }
	return map[Fault]proof{
		FaultBadCompressionAlgorithm: flightProof(request, AlertIllegalParameter, all, cert, compressed(2, nil)),
		FaultUncompressedTooLarge:    flightProof(request, AlertBadCertificate, all, cert, compressed(1, large)),
		FaultDecompression:           flightProof(request, AlertBadCertificate, all, cert, compressed(1, short)),
		FaultBadRecordSizeLimit:      flightProof(ee, AlertIllegalParameter, all, ee, more(inEE, extRecordSizeLimit, 0, 63)),
		FaultBadALPS:                 flightProof(ee, AlertIllegalParameter, all, ee, more(inEE, extALPS)),
		FaultGroupForShow: {StateServerHello, AlertHandshakeFailure, func(t *testing.T) error {
			s, cfg := newScript(t)
			cfg.Groups, cfg.Hello = DefaultGroups(), listing{groups: map[uint16]uint16{uint16(tls.CurveP521): 256}}
			return askShare(s, mustClient(t, cfg), 256)
		}},
		FaultALPSWithEarlyData: flightProof(ee, AlertIllegalParameter, early, ee, more(inEE, extALPS)),
		FaultBadDelegatedCredential: {request, AlertIllegalParameter, func(t *testing.T) error {
			s, cfg := newScript(t)
			d := goodDelegation()
			d.noUsage = true
			d.setup(t, s, cfg)
			c := mustClient(t, cfg)
			_, err := run(c, s.flight(c.AppendOutput(nil)))
			return err
		}},
	}
}
