package handshake

import (
	"bytes"
	"crypto/tls"
	"errors"
	"testing"
)

// FuzzOpenerFeed gives an Opener, a client's or a server's, records under its
// keys, which follow the KeyUpdates among them, and others: it lives through all
// of them, and in single bytes they come to the same.
func FuzzOpenerFeed(f *testing.F) {
	ticket := []byte{22, 23, 4, 0, 0, 19, 0, 0, 0, 9, 0, 0, 0, 5, 1, 0, 0, 2, 9, 9, 0, 4, 0, 42, 0, 0}
	update := []byte{22, 5, 24, 0, 0, 1, 1}
	data := []byte{23, 2, 'h', 'i'}
	for half := range byte(2) {
		f.Add(half, joined(ticket, update, data, update, []byte{21, 2, 1, 0}, data))
		f.Add(half, joined(data, update[:4], []byte{22, 3, 0, 1, 0}, data, []byte{21, 2, 1, 90}, []byte{21, 2, 2, 40}))
		f.Add(half, joined([]byte{23, 0}, ticket[:9], []byte{22, 1, 0}, []byte{0, 0}, data))
		f.Add(half, joined(data, []byte{23 | plainRecord, 20}, make([]byte, 20)))
		f.Add(half, joined(update, []byte{20 | plainRecord, 1, 1}))
	}
	f.Fuzz(func(t *testing.T, half byte, list []byte) {
		o, sealer := fuzzOpener(t, half)
		var wire []byte
		var events []EventKind
		var err error
		for len(list) >= 2 && err == nil && o.state == StateConnected {
			typ, n := list[0], min(int(list[1]), len(list)-2)
			record := fuzzRecord(t, o, typ, list[2:2+n])
			wire, list = append(wire, record...), list[2+n:]
			var got []EventKind
			got, err = feedOpener(t, o, record)
			events = append(events, got...)
		}
		checkOpener(t, o, sealer, half, err)

		slow, _ := fuzzOpener(t, half)
		var slowEvents []EventKind
		var slowErr error
		for i := range wire {
			var got []EventKind
			got, slowErr = feedOpener(t, slow, wire[i:i+1])
			slowEvents = append(slowEvents, got...)
		}
		// close_notify is said again and again.
		if !bytes.Equal(distinct(events), distinct(slowEvents)) || (err == nil) != (slowErr == nil) || err != nil && err.Error() != slowErr.Error() {
			t.Fatalf("record by record %v, %v; byte by byte %v, %v", events, err, slowEvents, slowErr)
		}
	})
}

// plainRecord is the bit of a type that keeps a record of FuzzOpenerFeed
// unprotected.
const plainRecord = 0x80

func joined(records ...[]byte) []byte { return bytes.Join(records, nil) }

func fuzzOpener(t *testing.T, half byte) (*Opener, *Sealer) {
	t.Helper()
	suite := suiteByID(tls.TLS_AES_128_GCM_SHA256)
	var tickets *resumption
	if half%2 == 0 {
		tickets = &resumption{suite: suite, template: Session{CipherSuite: suite.id, Secret: make([]byte, suite.hashLen), AuthenticatedAt: testTime}}
	}
	sealer, o, _, _ := testSplit(t, suite.id, tickets)
	return o, sealer
}

// fuzzRecord makes the record that the Opener expects next, or one in plaintext.
func fuzzRecord(t *testing.T, o *Opener, typ byte, content []byte) []byte {
	t.Helper()
	if typ&plainRecord != 0 {
		return appendPlaintext(nil, recordType(typ&^plainRecord), versionTLS12, content)
	}
	p, err := newProtector(o.reader.suite, bytes.Clone(o.reader.secret))
	if err != nil {
		t.Fatal(err)
	}
	p.seq = o.reader.seq
	return p.seal(nil, recordType(typ), content, 0)
}

// feedOpener feeds records and returns the events up to an error.
func feedOpener(t *testing.T, o *Opener, records []byte) (events []EventKind, err error) {
	t.Helper()
	o.Feed(records)
	for {
		ev, err := o.Next(testTime)
		if err != nil || ev.Kind == EventNone {
			return events, err
		}
		events = append(events, ev.Kind)
		switch ev.Kind {
		case EventCloseNotify:
			return events, nil
		case EventData:
			if len(ev.Data) == 0 {
				t.Fatal("no data")
			}
		case EventTicket:
			checkFuzzedSession(t, ev.Session)
		default:
			t.Fatalf("event %d", ev.Kind)
		}
	}
}

// checkFuzzedSession checks that a session can be stored, and is for as long as
// it may be.
func checkFuzzedSession(t *testing.T, s *Session) {
	t.Helper()
	if s.Lifetime <= 0 || s.Lifetime > MaxSessionLifetime || len(s.Ticket) == 0 {
		t.Fatalf("%+v", s)
	}
	if _, err := s.MarshalBinary(); err != nil {
		t.Fatal(err)
	}
}

// distinct leaves out an event that is the same as the one before.
func distinct(events []EventKind) (kinds []byte) {
	for i, kind := range events {
		if i == 0 || kind != EventCloseNotify || events[i-1] != kind {
			kinds = append(kinds, byte(kind))
		}
	}
	return kinds
}

// checkOpener checks what must hold whatever came.
func checkOpener(t *testing.T, o *Opener, sealer *Sealer, half byte, err error) {
	t.Helper()
	if out := o.AppendOutput(nil); len(out) > 0 {
		t.Fatalf("an Opener has output: %x", out)
	}
	// Section 4.6.3: however many KeyUpdates asked, one answers.
	if n := len(sealer.Seal(nil, []byte("x"))); n > 2*recordOverhead+5+1 {
		t.Fatalf("%d bytes answer", n)
	}
	if n := len(sealer.Seal(nil, []byte("x"))); n != recordOverhead+1 {
		t.Fatalf("%d bytes answer once more", n)
	}
	if len(o.msgs)-o.mr > maxMessageLen+messageHeaderLen {
		t.Fatalf("%d bytes of messages wait", len(o.msgs)-o.mr)
	}
	if err == nil && o.state == StateConnected {
		return
	}
	// Section 6: the keys are forgotten, and the end stays.
	if o.reader.secret != nil || o.reader.aead != nil || o.tickets != nil {
		t.Fatal("the keys are still there")
	}
	o.Feed([]byte("more"))
	event, again := o.Next(testTime)
	if again != err || err == nil && event.Kind != EventCloseNotify {
		t.Fatalf("%v, then %v, %v", err, event.Kind, again)
	}
	var local *LocalError
	var remote *RemoteError
	switch {
	case err == nil:
	case errors.As(err, &local):
		if local.Fault == FaultInternal || local.State != StateConnected {
			t.Fatal(err)
		}
	case !errors.As(err, &remote) || remote.State != StateConnected || !remote.Authenticated:
		t.Fatal(err)
	}
}
