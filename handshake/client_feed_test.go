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

// However the bytes are cut, the same comes out, and a flight that stops
// anywhere is neither an error nor the end.
func TestFlightInPieces(t *testing.T) {
	s, cfg := newScript(t)
	c := mustClient(t, cfg)
	flight := s.flight(c.AppendOutput(nil))
	if _, err := run(c, flight); err != nil {
		t.Fatal(err)
	}
	want := c.AppendOutput(nil)

	for cut := range flight {
		s, cfg := newScript(t)
		c := mustClient(t, cfg)
		s.flight(c.AppendOutput(nil))
		events, err := run(c, flight[:cut])
		if err != nil || len(events) > 0 || c.State() == StateConnected {
			t.Fatalf("after %d of %d bytes: %v, %v", cut, len(flight), events, err)
		}
		if _, o := c.Split(); o != nil {
			t.Fatalf("split after %d of %d bytes", cut, len(flight))
		}
		events, err = run(c, flight[cut:])
		if err != nil || !slices.Equal(events, []EventKind{EventHandshakeComplete}) || !bytes.Equal(c.AppendOutput(nil), want) {
			t.Fatalf("cut after %d: %v, %v", cut, events, err)
		}
	}

	_, cfg = newScript(t)
	c = mustClient(t, cfg)
	c.AppendOutput(nil)
	for i, b := range flight {
		if events, err := run(c, []byte{b}); err != nil || len(events) > 0 && i < len(flight)-1 {
			t.Fatalf("byte %d: %v, %v", i, events, err)
		}
	}
	if !bytes.Equal(c.AppendOutput(nil), want) {
		t.Error("byte by byte another flight came out")
	}
}

// What is changed on the way never completes a handshake.
func TestFlightChangedAnywhere(t *testing.T) {
	s, cfg := newScript(t)
	c := mustClient(t, cfg)
	flight := s.flight(c.AppendOutput(nil))
	for i := range flight {
		if i%37 != 0 && i > 130 { // all of ServerHello, a sample of the rest
			continue
		}
		for _, flip := range []byte{1, 0x80} {
			_, cfg := newScript(t)
			c := mustClient(t, cfg)
			c.AppendOutput(nil)
			bad := bytes.Clone(flight)
			bad[i] ^= flip
			events, err := run(c, bad)
			version := i == 2 // of the first record: ignored (section 5.1)
			if len(events) > 0 && !version || err == nil && c.State() == StateConnected && !version {
				t.Errorf("byte %d: %v, %v", i, events, err)
			}
		}
	}
}

// Things that are not TLS are told apart from TLS that is wrong.
func TestGarbage(t *testing.T) {
	for _, test := range []struct {
		name string
		in   string
		want Fault
	}{
		{"HTTP", "HTTP/1.1 400 Bad Request\r\n\r\n", FaultBadRecordVersion},
		{"SSH", "SSH-2.0-OpenSSH_9.2p1\r\n", FaultBadRecordVersion},
		{"zeros", "\x00\x00\x00\x00\x00\x00", FaultBadRecordVersion},
		{"oversized record", "\x16\x03\x03\x40\x01", FaultRecordOverflow},
		{"oversized message", "\x16\x03\x03\x00\x04\x02\x01\x00\x01", FaultMessageTooLarge},
		{"application data", "\x17\x03\x03\x00\x01x", FaultUnexpectedRecord},
		{"empty handshake record", "\x16\x03\x03\x00\x00", FaultEmptyFragment},
		{"empty ServerHello", "\x16\x03\x03\x00\x04\x02\x00\x00\x00", FaultDecode},
		{"Finished at once", "\x16\x03\x03\x00\x04\x14\x00\x00\x00", FaultUnexpectedMessage},
		{"bad change_cipher_spec", "\x14\x03\x03\x00\x01\x02", FaultBadCCS},
		{"alert inside a message", "\x16\x03\x03\x00\x01\x02\x15\x03\x03\x00\x02\x01\x5a", FaultUnexpectedRecord},
		{"long alert", "\x15\x03\x03\x00\x03\x02\x28\x00", FaultBadAlert},
		{"warning that TLS 1.3 does not have", "\x15\x03\x03\x00\x02\x01\x70", FaultBadAlert},
	} {
		_, cfg := newScript(t)
		c := mustClient(t, cfg)
		c.AppendOutput(nil)
		if _, err := run(c, []byte(test.in)); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
	for _, test := range []struct {
		in   string
		want Alert
		text string // section 6.1: close_notify is no error alert
	}{
		{"\x15\x03\x03\x00\x02\x02\x28", AlertHandshakeFailure, "tls: the peer sent a fatal alert while waiting for ServerHello: tls: handshake failure"},
		{"\x15\x03\x03\x00\x02\x01\x00", AlertCloseNotify, "tls: the peer sent close_notify while waiting for ServerHello"},
	} {
		_, cfg := newScript(t)
		c := mustClient(t, cfg)
		_, err := run(c, []byte(test.in))
		var remote *RemoteError
		if !errors.As(err, &remote) || remote.Alert != test.want || remote.State != StateServerHello || remote.Authenticated || err.Error() != test.text {
			t.Errorf("alert %v: %v", test.want, err)
		}
	}
}

// EarlyLeft is how much more early data WriteEarly would take.
func (c *Client) EarlyLeft() int {
	if !c.earlyOpen() {
		return 0
	}
	return int(c.earlyLeft)
}

// earlyKey returns what opens the client's early data.
func (s *scriptedServer) earlyKey(hello []byte) *protector {
	h := s.suite.hash()
	h.Write(hello)
	p, _ := newProtector(s.suite, newEarlySecret(s.suite, s.session.Secret).clientTraffic(h.Sum(nil)))
	return p
}

// opened decrypts records and returns their contents; change_cipher_spec
// records are left out.
func opened(t testing.TB, out []byte, key *protector) (types []recordType, contents []string) {
	t.Helper()
	for len(out) > 0 {
		n := recordHeaderLen + int(out[3])<<8 + int(out[4])
		if recordType(out[0]) != recordCCS {
			typ, data, fault := key.open(out[:recordHeaderLen], out[recordHeaderLen:n])
			if fault != 0 {
				t.Fatal(fault)
			}
			types, contents = append(types, typ), append(contents, string(data))
		}
		out = out[n:]
	}
	return types, contents
}

// Early data may go on until the server's Finished was read; EndOfEarlyData
// ends it and stands in the transcript (sections 4.2.10 and 4.5).
func TestEarlyDataAccepted(t *testing.T) {
	s, cfg := newScript(t)
	resumeScript(s, cfg)
	s.early = true
	c := mustClient(t, cfg)
	hello := c.AppendOutput(nil)
	c.WriteEarly([]byte("one"))
	flight := s.flight(hello)
	finished := len(flight) - recordOverhead - messageHeaderLen - s.suite.hashLen
	events, err := run(c, flight[:finished])
	if err != nil || !slices.Equal(events, []EventKind{EventEarlyAccepted}) || c.EarlyReason() != ReasonAccepted {
		t.Fatal(events, err)
	}
	c.WriteEarly([]byte("two"))
	if events, err = run(c, flight[finished:]); err != nil || !slices.Equal(events, []EventKind{EventHandshakeComplete}) {
		t.Fatal(events, err)
	}
	if n, err := c.WriteEarly([]byte("three")); n != 0 || !errors.Is(err, ErrNoEarlyData) || c.EarlyLeft() != 0 {
		t.Errorf("after the end %d bytes were taken, %v", n, err)
	}
	out := c.AppendOutput(nil)
	last := recordOverhead + messageHeaderLen + s.suite.hashLen
	types, contents := opened(t, out[:len(out)-last], s.earlyKey(s.hello.message))
	if !slices.Equal(types, []recordType{recordApplication, recordApplication, recordHandshake}) || !slices.Equal(contents, []string{"one", "two", "\x05\x00\x00\x00"}) {
		t.Errorf("records %v, %q", types, contents)
	}
	s.transcript = append(s.transcript, 5, 0, 0, 0)
	_, contents = opened(t, out[len(out)-last:], s.reader)
	if want := string(marshalFinished(s.suite.finished(s.reader.secret, s.sum()))); contents[0] != want {
		t.Errorf("Finished %x, want %x", contents[0], want)
	}
}

// On rejection the client says so at once, goes on under the handshake key,
// and sends no EndOfEarlyData (section 4.2.10).
func TestEarlyDataRejected(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*scriptedServer)
		want   EarlyReason
	}{
		{"declined", func(*scriptedServer) {}, ReasonPeerDeclined},
		{"not resumed", func(s *scriptedServer) { s.session = nil }, ReasonSessionNotResumed},
	} {
		s, cfg := newScript(t)
		resumeScript(s, cfg)
		test.change(s)
		c := mustClient(t, cfg)
		hello := c.AppendOutput(nil)
		c.WriteEarly([]byte("early"))
		c.AppendOutput(nil)
		events, err := run(c, s.flight(hello))
		if err != nil || !slices.Equal(events, []EventKind{EventEarlyRejected, EventHandshakeComplete}) {
			t.Fatalf("%s: %v, %v", test.name, events, err)
		}
		if c.EarlyData() != EarlyRejected || c.EarlyReason() != test.want {
			t.Errorf("%s: %v, %v", test.name, c.EarlyData(), c.EarlyReason())
		}
		types, contents := opened(t, c.AppendOutput(nil), s.reader)
		if len(types) != 1 || contents[0] != string(marshalFinished(s.suite.finished(s.reader.secret, s.sum()))) {
			t.Errorf("%s: last flight %v, %x", test.name, types, contents)
		}
	}
}

// HelloRetryRequest rejects early data, and the second hello is plaintext
// again, without early_data, with the binder over both hellos (sections 4.1.2,
// 4.2.10 and 4.2.11.2).
func TestEarlyDataRetried(t *testing.T) {
	s, cfg := newScript(t)
	resumeScript(s, cfg)
	c := mustClient(t, cfg)
	first := c.AppendOutput(nil)
	c.WriteEarly([]byte("early"))
	c.AppendOutput(nil)
	request := s.retry(first, func(b *cryptobyte.Builder) {
		addExtension(b, extKeyShare, func(b *cryptobyte.Builder) { b.AddUint16(uint16(tls.CurveP256)) })
	})
	before := s.sum()
	events, err := run(c, request)
	if err != nil || !slices.Equal(events, []EventKind{EventEarlyRejected}) || c.EarlyReason() != ReasonHelloRetryRequest {
		t.Fatal(events, err, c.EarlyReason())
	}
	if n, err := c.WriteEarly([]byte("more")); n != 0 || !errors.Is(err, ErrNoEarlyData) {
		t.Errorf("%d more bytes of early data, %v", n, err)
	}
	second := c.AppendOutput(nil)
	hello, ok := viewHello(second[recordHeaderLen:])
	if !ok || second[0] != byte(recordHandshake) || hello.offers(extEarlyData) || !hello.offers(extPreSharedKey) || !hello.sharesGroup(tls.CurveP256) {
		t.Fatalf("second hello %x", second)
	}
	n := s.suite.hashLen
	h := s.suite.hash()
	h.Write(s.transcript)
	h.Write(hello.message[:len(hello.message)-3-n])
	early := newEarlySecret(s.suite, s.session.Secret)
	if want := early.binder(h.Sum(nil)); !bytes.HasSuffix(hello.message, want) {
		t.Errorf("binder is not over %x and the second hello", before)
	}
	s.group = tls.CurveP256
	if events, err = run(c, s.flight(second)); err != nil || !slices.Equal(events, []EventKind{EventHandshakeComplete}) || !c.ConnectionState().DidResume {
		t.Errorf("%v, %v", events, err)
	}
}

// "Recomputing the "obfuscated_ticket_age" and binder values" (section 4.1.2):
// the second hello states the age that the ticket has by then.
func TestRetriedTicketAge(t *testing.T) {
	for _, later := range []time.Duration{0, 40 * time.Millisecond, -time.Hour} {
		s, cfg := newScript(t)
		resumeScript(s, cfg)
		cfg.TicketAge = 5 * time.Second
		c := mustClient(t, cfg)
		first := c.AppendOutput(nil)
		if ev, err := c.Next(testTime); ev.Kind != EventNone || err != nil {
			t.Fatal(ev, err)
		}
		c.Feed(s.retry(first, func(b *cryptobyte.Builder) {
			addExtension(b, extCookie, func(b *cryptobyte.Builder) { addBytes16(b, []byte("c")) })
		}))
		if ev, err := c.Next(testTime.Add(later)); ev.Kind != EventEarlyRejected || err != nil {
			t.Fatal(ev, err)
		}
		for i, want := range []time.Duration{cfg.TicketAge, cfg.TicketAge + max(later, 0)} {
			hello := first[recordHeaderLen:]
			if i == 1 {
				hello = c.hello.message
			}
			parsed, fault := parseClientHello(hello)
			if fault != 0 {
				t.Fatal(fault)
			}
			if age := time.Duration(parsed.identities[0].age-s.session.AgeAdd) * time.Millisecond; age != want {
				t.Errorf("%v later: hello %d has age %v, want %v", later, i+1, age, want)
			}
		}
	}
}

// The key of early data cannot be updated: where section 5.5 asks for that,
// early data ends.
func TestEarlyKeyLimit(t *testing.T) {
	s, cfg := newScript(t)
	resumeScript(s, cfg)
	c := mustClient(t, cfg)
	limited := *c.writer.suite
	limited.maxRecords = 3
	c.writer.suite = &limited
	for range 3 {
		if n, err := c.WriteEarly([]byte("x")); n != 1 || err != nil || c.EarlyLeft() == 0 && c.writer.seq < 3 {
			t.Fatal(n, err, c.EarlyLeft())
		}
	}
	if n, err := c.WriteEarly([]byte("x")); n != 0 || !errors.Is(err, ErrNoEarlyData) || c.EarlyLeft() != 0 {
		t.Errorf("one record too many: %d, %v, %d left", n, err, c.EarlyLeft())
	}
}

// A suite of another hash leaves no PSK for the second hello (section 4.1.4).
func TestRetryDropsPSK(t *testing.T) {
	s, cfg := newScript(t)
	resumeScript(s, cfg)
	s.suite = suiteByID(tls.TLS_AES_256_GCM_SHA384)
	cookie := func(b *cryptobyte.Builder) {
		addExtension(b, extCookie, func(b *cryptobyte.Builder) { addBytes16(b, []byte("c")) })
	}
	c := mustClient(t, cfg)
	if _, err := run(c, s.retry(c.AppendOutput(nil), cookie)); err != nil {
		t.Fatal(err)
	}
	s.session = nil
	second := c.AppendOutput(nil)[6:]
	if _, err := run(c, s.flight(second)); err != nil || s.hello.offers(extPreSharedKey) || c.ConnectionState().DidResume {
		t.Errorf("%v, psk %v", err, s.hello.offers(extPreSharedKey))
	}
	// The caller may insist.
	s, cfg = newScript(t)
	resumeScript(s, cfg)
	s.suite = suiteByID(tls.TLS_AES_256_GCM_SHA384)
	cfg.RequirePSK = true
	c = mustClient(t, cfg)
	if _, err := run(c, s.retry(c.AppendOutput(nil), cookie)); !errors.Is(err, FaultAbandoned) {
		t.Error(err)
	}
}

// With RequirePSK nothing is ever protected by the keys of a handshake that
// does not resume.
func TestRequirePSK(t *testing.T) {
	s, cfg := newScript(t)
	resumeScript(s, cfg)
	cfg.RequirePSK, cfg.EarlyData = true, false
	c := mustClient(t, cfg)
	hello := c.AppendOutput(nil)
	s.session = nil
	if _, err := run(c, s.flight(hello)); !errors.Is(err, FaultAbandoned) {
		t.Fatal(err)
	}
	// Section 6.1: user_canceled "generally has AlertLevel=warning" and "SHOULD
	// be followed by a close_notify".
	want := []byte{21, 3, 3, 0, 2, 1, byte(AlertUserCanceled), 21, 3, 3, 0, 2, 1, byte(AlertCloseNotify)}
	if out := c.AppendOutput(nil); !bytes.Equal(out, want) {
		t.Errorf("output %x", out)
	}
}

// The budgets of the handshake, at the limit and one past it.
func TestHandshakeBudgets(t *testing.T) {
	ccs := []byte{20, 3, 3, 0, 1, 1}
	warning := []byte{21, 3, 3, 0, 2, 1, byte(AlertUserCanceled)}
	for _, test := range []struct {
		record []byte
		limit  int
		want   Fault
	}{{ccs, maxCCS, FaultTooManyCCS}, {warning, maxWarnings, FaultTooManyWarnings}} {
		for over := range 2 {
			s, cfg := newScript(t)
			c := mustClient(t, cfg)
			flight := s.flight(c.AppendOutput(nil))
			_, err := run(c, bytes.Repeat(test.record, test.limit+over))
			if over == 0 {
				if _, err = run(c, flight); err != nil {
					t.Errorf("%v at the limit: %v", test.want, err)
				}
			} else if !errors.Is(err, test.want) {
				t.Errorf("%v past the limit: %v", test.want, err)
			}
		}
	}
	// No change_cipher_spec after the handshake (section 5).
	s, cfg := newScript(t)
	c := mustClient(t, cfg)
	if _, err := run(c, s.flight(c.AppendOutput(nil))); err != nil {
		t.Fatal(err)
	}
	_, o := c.Split()
	o.Feed(ccs)
	if _, err := o.Next(testTime); !errors.Is(err, FaultBadCCS) {
		t.Error(err)
	}
}
