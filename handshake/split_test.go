package handshake

import (
	"bytes"
	"crypto/tls"
	"errors"
	"testing"
	"time"
)

// testSplit returns the two ends of a connection whose handshake is done.
func testSplit(t testing.TB, suiteID uint16, tickets *resumption) (s *Sealer, o *Opener, peerS *Sealer, peerO *Opener) {
	t.Helper()
	protect := func(b byte) *protector {
		suite := suiteByID(suiteID)
		p, err := newProtector(suite, bytes.Repeat([]byte{b}, suite.hashLen))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	a := link{state: StateConnected, writer: protect(1), reader: protect(2), sawRecord: true}
	b := link{state: StateConnected, writer: protect(2), reader: protect(1), sawRecord: true}
	s, o = a.split(tickets)
	peerS, peerO = b.split(nil)
	return
}

// Buffered is how many received bytes are not consumed yet.
func (l *link) Buffered() int { return l.w - l.r + len(l.msgs) - l.mr }

// drain reads events until there is no more, and joins their data.
func drain(t testing.TB, o *Opener) (data []byte, last EventKind) {
	t.Helper()
	for {
		ev, err := o.Next(time.Time{})
		if err != nil {
			t.Fatalf("after %d bytes: %v", len(data), err)
		}
		last = ev.Kind
		if ev.Kind != EventData {
			return data, last
		}
		data = append(data, ev.Data...)
	}
}

func feedError(o *Opener, records []byte) error {
	o.Feed(records)
	for {
		if ev, err := o.Next(time.Time{}); err != nil || ev.Kind != EventData {
			return err
		}
	}
}

var testSuites = []uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384, tls.TLS_CHACHA20_POLY1305_SHA256}

func TestSealOpen(t *testing.T) {
	for _, id := range testSuites {
		s, _, _, o := testSplit(t, id, nil)
		for _, n := range []int{0, 1, 100, maxPlaintext, maxPlaintext + 1, 3*maxPlaintext + 7} {
			want := bytes.Repeat([]byte("0123456789"), n/10+1)[:n]
			records := s.Seal([]byte("before"), want)
			if !bytes.HasPrefix(records, []byte("before")) {
				t.Fatal("dst was lost")
			}
			o.Feed(records[len("before"):])
			if got, _ := drain(t, o); !bytes.Equal(got, want) {
				t.Fatalf("suite %x: %d bytes came as %d", id, n, len(got))
			}
			for _, b := range s.SealRecord(nil, want, 1<<20) {
				o.Feed([]byte{b})
			}
			if got, _ := drain(t, o); !bytes.Equal(got, want) {
				t.Fatalf("suite %x: %d padded bytes came as %d", id, n, len(got))
			}
		}
		if o.Buffered() != 0 {
			t.Errorf("%d bytes are left", o.Buffered())
		}
	}
}

// RFC 8446, section 4.6.3: KeyUpdate both ways; several requests get one reply.
func TestKeyUpdate(t *testing.T) {
	for _, id := range testSuites {
		s, o, peerS, peerO := testSplit(t, id, nil)
		for range 3 { // more than a Sealer would
			peerO.Feed(s.KeyUpdate(nil, true))
			s.updates.asked.Store(false)
		}
		peerO.Feed(s.Seal(nil, []byte("after")))
		if got, _ := drain(t, peerO); string(got) != "after" {
			t.Fatalf("read %q", got)
		}
		key := peerS.writer.secret
		records := peerS.Seal(nil, []byte("reply"))
		if want := 2*recordOverhead + 5 + len("reply"); len(records) != want {
			t.Errorf("%d bytes, want one KeyUpdate and one record: %d", len(records), want)
		}
		if bytes.Equal(key, peerS.writer.secret) {
			t.Error("the key did not change")
		}
		o.Feed(records)
		if got, _ := drain(t, o); string(got) != "reply" {
			t.Fatalf("read %q", got)
		}
		if n := len(peerS.Seal(nil, []byte("x"))); n != recordOverhead+1 {
			t.Errorf("a second reply: %d bytes", n)
		}
		if n := len(s.Seal(nil, []byte("x"))); n != recordOverhead+1 {
			t.Errorf("a reply to a reply: %d bytes", n)
		}
	}
}

// "Until receiving a subsequent KeyUpdate from the peer, the sender MUST NOT
// send another KeyUpdate with request_update set to "update_requested"" (RFC
// 9846, section 4.7.3).
func TestKeyUpdateAsksOnce(t *testing.T) {
	s, o, peerS, peerO := testSplit(t, tls.TLS_AES_128_GCM_SHA256, nil)
	asks := func() bool {
		peerO.Feed(s.KeyUpdate(nil, true))
		peerO.updates.owed.Store(false)
		if _, last := drain(t, peerO); last != EventNone {
			t.Fatal(last)
		}
		return peerO.updates.owed.Load()
	}
	if !asks() || asks() || asks() {
		t.Error("the first KeyUpdate did not ask, or a later one did")
	}
	o.Feed(peerS.KeyUpdate(nil, false))
	drain(t, o)
	if !asks() {
		t.Error("after the peer's KeyUpdate ours does not ask")
	}
}

// Section 5.5: a key is changed before it protected too many records.
func TestKeyLimit(t *testing.T) {
	s, _, _, o := testSplit(t, tls.TLS_AES_128_GCM_SHA256, nil)
	limited := *s.writer.suite
	limited.maxRecords = 3
	s.writer.suite = &limited
	var records []byte
	for range 7 {
		records = s.Seal(records, []byte("data"))
	}
	if s.writer.seq > 3 {
		t.Errorf("one key protected %d records", s.writer.seq)
	}
	if want := 7*(recordOverhead+4) + 2*(recordOverhead+5); len(records) != want {
		t.Errorf("%d bytes, want 7 records and 2 KeyUpdates: %d", len(records), want)
	}
	o.Feed(records)
	if got, _ := drain(t, o); len(got) != 7*4 {
		t.Errorf("read %d bytes", len(got))
	}
}

// Section 6.1: bytes after close_notify are ignored, in each direction on its
// own, and a KeyUpdate that comes after ours is legal and stays unanswered.
func TestCloseNotify(t *testing.T) {
	s, o, peerS, peerO := testSplit(t, tls.TLS_AES_128_GCM_SHA256, nil)
	peerO.Feed(s.Seal(nil, []byte("last words")))
	peerO.Feed(s.CloseNotify(nil))
	peerO.Feed([]byte("not a record at all"))
	if got, last := drain(t, peerO); string(got) != "last words" || last != EventCloseNotify {
		t.Fatalf("read %q, then event %d", got, last)
	}
	peerO.Feed([]byte("more"))
	if _, last := drain(t, peerO); last != EventCloseNotify || peerO.Buffered() != 0 {
		t.Errorf("event %d, %d bytes held", last, peerO.Buffered())
	}
	o.Feed(peerS.KeyUpdate(nil, true))
	o.Feed(peerS.Seal(nil, []byte("still here")))
	if got, _ := drain(t, o); string(got) != "still here" {
		t.Errorf("read %q", got)
	}
	for name, more := range map[string][]byte{
		"Seal": s.Seal(nil, []byte("x")), "SealRecord": s.SealRecord(nil, nil, 5), "CloseNotify": s.CloseNotify(nil),
		"KeyUpdate": s.KeyUpdate(nil, true), "Alert": s.Alert(nil, AlertInternalError),
	} {
		if len(more) != 0 {
			t.Errorf("%s after CloseNotify: %d bytes", name, len(more))
		}
	}
}

func TestAlerts(t *testing.T) {
	s, _, _, o := testSplit(t, tls.TLS_AES_128_GCM_SHA256, nil)
	for range 4 { // more than the budget in all, but not in a row
		for range maxWarnings {
			o.Feed(s.Alert(nil, AlertUserCanceled))
		}
		o.Feed(s.Seal(nil, []byte("x")))
	}
	if got, _ := drain(t, o); len(got) != 4 {
		t.Errorf("read %d bytes", len(got))
	}
	err := feedError(o, s.Alert(nil, AlertAccessDenied))
	var remote *RemoteError
	if !errors.As(err, &remote) || remote.Alert != AlertAccessDenied || !remote.Authenticated || remote.State != StateConnected {
		t.Errorf("%#v", err)
	}
	if _, again := o.Next(time.Time{}); again != err {
		t.Errorf("then: %v", again)
	}
}

// Every fault of the Opener, and that none queues an alert.
func TestOpenerFaults(t *testing.T) {
	handshake := func(s *Sealer, data ...byte) []byte { return s.seal(nil, recordHandshake, data, 0) }
	many := func(n int, record func() []byte) (records []byte) {
		for range n {
			records = append(records, record()...)
		}
		return records
	}
	for _, c := range []struct {
		name  string
		fault Fault
		send  func(*Sealer) []byte
	}{
		{"warnings", FaultTooManyWarnings, func(s *Sealer) []byte {
			return many(maxWarnings+1, func() []byte { return s.Alert(nil, AlertUserCanceled) })
		}},
		{"warning", FaultBadAlert, func(s *Sealer) []byte { return s.seal(nil, recordAlert, []byte{1, 100}, 0) }},
		{"alert level", FaultAlertLevel, func(s *Sealer) []byte { return s.seal(nil, recordAlert, []byte{3, 100}, 0) }},
		{"long alert", FaultBadAlert, func(s *Sealer) []byte { return s.seal(nil, recordAlert, []byte{1, 0, 0}, 0) }},
		{"empty records", FaultTooManyEmptyRecords, func(s *Sealer) []byte {
			return many(maxEmptyRecords+1, func() []byte { return s.SealRecord(nil, nil, 0) })
		}},
		{"key updates", FaultTooManyKeyUpdates, func(s *Sealer) []byte {
			return many(maxKeyUpdates+1, func() []byte { return s.KeyUpdate(nil, true) })
		}},
		{"empty handshake record", FaultEmptyFragment, func(s *Sealer) []byte { return handshake(s) }},
		{"no content type", FaultEmptyInner, func(s *Sealer) []byte { return s.seal(nil, 0, nil, 3) }},
		{"unknown record", FaultUnexpectedRecord, func(s *Sealer) []byte { return s.seal(nil, 99, []byte{1}, 0) }},
		{"protected CCS", FaultUnexpectedRecord, func(s *Sealer) []byte { return s.seal(nil, recordCCS, []byte{1}, 0) }},
		{"plain CCS", FaultBadCCS, func(*Sealer) []byte { return []byte{20, 3, 3, 0, 1, 1} }},
		{"plain alert", FaultPlaintextRecord, func(*Sealer) []byte { return []byte{21, 3, 3, 0, 2, 2, 40} }},
		{"overflow", FaultRecordOverflow, func(*Sealer) []byte { return []byte{23, 3, 3, 0x41, 1} }},
		{"padding counts", FaultRecordOverflow, func(s *Sealer) []byte {
			return s.seal(nil, recordApplication, make([]byte, maxPlaintext), 1)
		}},
		{"garbage", FaultBadRecordMAC, func(*Sealer) []byte { return append([]byte{23, 3, 3, 0, 20}, make([]byte, 20)...) }},
		{"short", FaultBadRecordMAC, func(*Sealer) []byte { return []byte{23, 3, 3, 0, 2, 1, 1} }},
		{"data inside a message", FaultUnexpectedRecord, func(s *Sealer) []byte {
			return s.Seal(handshake(s, 24, 0, 0), []byte("data"))
		}},
		{"data behind KeyUpdate", FaultPartialMessage, func(s *Sealer) []byte { return handshake(s, 24, 0, 0, 1, 0, 24) }},
		{"bad KeyUpdate", FaultBadKeyUpdate, func(s *Sealer) []byte { return handshake(s, 24, 0, 0, 1, 2) }},
		{"long KeyUpdate", FaultDecode, func(s *Sealer) []byte { return handshake(s, 24, 0, 0, 2, 0, 0) }},
		{"ticket for a server", FaultUnexpectedMessage, func(s *Sealer) []byte { return handshake(s, 4, 0, 0, 1, 0) }},
		{"ClientHello", FaultUnexpectedMessage, func(s *Sealer) []byte { return handshake(s, 1, 0, 0, 0) }},
		{"large message", FaultMessageTooLarge, func(s *Sealer) []byte { return handshake(s, 4, 1, 0, 1) }},
	} {
		s, _, _, o := testSplit(t, tls.TLS_AES_128_GCM_SHA256, nil)
		err := feedError(o, c.send(s))
		var local *LocalError
		if !errors.As(err, &local) || local.Fault != c.fault || local.State != StateConnected || local.Alert() != c.fault.Alert() {
			t.Errorf("%s: %v, want %q", c.name, err, c.fault)
		}
		if _, again := o.Next(time.Time{}); again != err {
			t.Errorf("%s: then %v", c.name, again)
		}
		if out := o.AppendOutput(nil); len(out) != 0 {
			t.Errorf("%s: an alert was queued", c.name)
		}
	}
}

// One less than what the faults above need is let through.
func TestOpenerBudgets(t *testing.T) {
	suite := suiteByID(tls.TLS_AES_128_GCM_SHA256)
	_, o, s, _ := testSplit(t, suite.id, &resumption{suite: suite, template: Session{Secret: make([]byte, suite.hashLen)}})
	noLifetime := []byte{4, 0, 0, 15, 0, 0, 0, 0, 0, 0, 0, 5, 1, 0, 0, 1, 9, 0, 0}
	for range 3 {
		for range maxTickets {
			o.Feed(s.seal(nil, recordHandshake, noLifetime, 0))
		}
		for range maxEmptyRecords {
			o.Feed(s.SealRecord(nil, nil, 0))
		}
		for range maxKeyUpdates {
			o.Feed(s.KeyUpdate(nil, false))
		}
		o.Feed(s.Seal(nil, []byte("x")))
		if got, _ := drain(t, o); string(got) != "x" {
			t.Fatalf("read %q", got)
		}
	}
}

func TestOpenerTicket(t *testing.T) {
	suite := suiteByID(tls.TLS_AES_128_GCM_SHA256)
	now := time.Unix(1e9, 0)
	_, o, peerS, _ := testSplit(t, suite.id, &resumption{suite: suite, template: Session{Secret: make([]byte, suite.hashLen)}})
	message := func(lifetime byte) []byte {
		return peerS.seal(nil, recordHandshake, []byte{4, 0, 0, 15, lifetime, 0, 0, 9, 0, 0, 0, 5, 1, 0, 0, 1, 9, 0, 0}, 0)
	}
	none := peerS.seal(nil, recordHandshake, []byte{4, 0, 0, 15, 0, 0, 0, 0, 0, 0, 0, 5, 1, 0, 0, 1, 9, 0, 0}, 0)
	o.Feed(append(none, message(0)...)) // the first one has no lifetime: it is discarded
	if ev, err := o.Next(now); err != nil || ev.Kind != EventTicket || ev.Session.Lifetime != 9*time.Second || !ev.Session.ReceivedAt.Equal(now) {
		t.Errorf("%+v, %v", ev, err)
	}
	wantFault(t, feedError(o, message(1)), FaultBadTicket, StateConnected, AlertIllegalParameter)
}

// The buffer grows while a transport fills it, and one record is opened where
// it lies.
func TestOpenerZeroCopy(t *testing.T) {
	s, _, _, o := testSplit(t, tls.TLS_AES_128_GCM_SHA256, nil)
	wire := s.Seal(nil, make([]byte, 1<<20))
	reads, got := 0, 0
	for len(wire) > 0 {
		n := copy(o.Buffer(), wire)
		o.Advance(n)
		wire = wire[n:]
		reads++
		for {
			ev, err := o.Next(time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			if ev.Kind == EventNone {
				break
			}
			got += len(ev.Data)
			if &ev.Data[:cap(ev.Data)][cap(ev.Data)-1] != &o.buf[:cap(o.buf)][cap(o.buf)-1] {
				t.Fatal("the data was copied")
			}
		}
	}
	if got != 1<<20 || len(o.buf) > 2*bulkBuffer || reads > 40 {
		t.Errorf("%d bytes in %d reads through a buffer of %d", got, reads, len(o.buf))
	}
}

func TestSplitEngineIsSpent(t *testing.T) {
	l := link{state: StateConnected, out: []byte("queued")}
	l.Feed([]byte("unread"))
	_, o := l.split(nil)
	if string(o.buf[o.r:o.w]) != "unread" || string(l.AppendOutput(nil)) != "queued" || l.err != errSplit {
		t.Error("split lost bytes, or left the engine usable")
	}
}

func BenchmarkSeal(b *testing.B) {
	s, _, _, _ := testSplit(b, tls.TLS_AES_128_GCM_SHA256, nil)
	p := make([]byte, maxPlaintext)
	var dst []byte
	b.SetBytes(maxPlaintext)
	b.ReportAllocs()
	for b.Loop() {
		dst = s.Seal(dst[:0], p)
	}
}

func BenchmarkOpen(b *testing.B) {
	s, _, _, o := testSplit(b, tls.TLS_AES_128_GCM_SHA256, nil)
	p := make([]byte, maxPlaintext)
	var wire []byte
	b.SetBytes(maxPlaintext)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		wire = s.Seal(wire[:0], p)
		o.Feed(wire)
		b.StartTimer()
		if ev, err := o.Next(time.Time{}); err != nil || len(ev.Data) != maxPlaintext {
			b.Fatal(err)
		}
	}
}
