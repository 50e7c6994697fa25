package handshake

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"testing"
)

// undecryptable is a record as early data looks to who has no key for it.
func undecryptable() []byte {
	return appendPlaintext(nil, recordApplication, versionTLS12, make([]byte, 40))
}

// Section 4.2.10: a server that refuses early data skips what it cannot open, but
// only until the first record that it can. From then on such a record is
// what it always is: forged.
func TestServerSkipEndsAtRecord(t *testing.T) {
	cfg, client, _ := serverSetup(t)
	allowEarlyData(cfg)
	cfg.ClientAuth = tls.RequestClientCert
	session := firstSession(t, cfg, client)
	cfg.TicketKeys.Rotate(rand.Reader, 0)
	c := scripted(t, cfg, resume(client, session, 0, true), "refused")
	for range 2 {
		c.s.Feed(undecryptable())
		if event, err := c.s.Next(testTime); err != nil || event.Kind != EventNone {
			t.Fatalf("early data: %v, %v", event.Kind, err)
		}
	}
	c.s.Feed(c.message(typeCertificate, 0, 0, 0, 0))
	if event, err := c.s.Next(testTime); err != nil || event.Kind != EventNone || c.s.State() != StateFinished {
		t.Fatalf("no certificate: %v, %v, %v", event.Kind, err, c.s.State())
	}
	failsWith(t, "after a record that opens", c.s, testTime, undecryptable(), FaultBadRecordMAC, StateFinished)
}

// Section 4.2.10: after HelloRetryRequest it ends at the second ClientHello.
func TestServerSkipEndsAtSecondHello(t *testing.T) {
	cfg, client, _ := serverSetup(t)
	allowEarlyData(cfg)
	session := firstSession(t, cfg, client)
	cfg.Groups = []tls.CurveID{tls.CurveP521}
	p := newPair(t, cfg, resume(client, session, 0, true), "refused")
	p.s.Feed(p.c.AppendOutput(nil))
	p.s.Feed(undecryptable())
	if err := p.nextServer(); err != nil || p.s.State() != StateClientHelloRetried {
		t.Fatalf("%v, %v", err, p.s.State())
	}
	p.c.Feed(p.s.AppendOutput(nil))
	if err := p.nextClient(); err != nil {
		t.Fatal(err)
	}
	p.s.Feed(p.c.AppendOutput(nil))
	if err := p.nextServer(); err != nil || p.s.State() != StateFinished {
		t.Fatalf("%v, %v", err, p.s.State())
	}
	failsWith(t, "after the second hello", p.s, testTime, undecryptable(), FaultBadRecordMAC, StateFinished)
}

// And an Opener skips nothing, whatever was left to skip.
func TestOpenerSkipsNothing(t *testing.T) {
	suite := suiteByID(tls.TLS_AES_128_GCM_SHA256)
	reader, err := newProtector(suite, make([]byte, suite.hashLen))
	if err != nil {
		t.Fatal(err)
	}
	l := link{state: StateConnected, reader: reader, sawRecord: true, skip: newSkipBudget(1 << 14)}
	_, o := l.split(nil)
	wantFault(t, feedError(o, undecryptable()), FaultBadRecordMAC, StateConnected, AlertBadRecordMAC)
}

// "Handshake messages MUST NOT span key changes" (section 5.1): what follows is
// under another key also where the answer is a HelloRetryRequest and the key is to
// change only after the next hello. None is sent.
func TestServerBytesBehindRetriedHello(t *testing.T) {
	cfg, client, _ := serverSetup(t)
	cfg.Groups = []tls.CurveID{tls.CurveP521}
	hello := firstHello(t, client).raw
	for name, behind := range map[string][]byte{"a byte": {1}, "a whole message": {20, 0, 0, 0}, "another hello": hello} {
		s, err := NewServer(cfg)
		if err != nil {
			t.Fatal(err)
		}
		records := appendPlaintext(nil, recordHandshake, 0x0301, append(bytes.Clone(hello), behind...))
		failsWith(t, name, s, testTime, records, FaultPartialMessage, StateClientHello)
		if s.Retried() {
			t.Errorf("%s: a HelloRetryRequest was sent", name)
		}
	}
	s, err := NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.Feed(appendPlaintext(nil, recordHandshake, 0x0301, hello))
	if _, err := s.Next(testTime); err != nil || !s.Retried() {
		t.Errorf("the hello alone: %v, retried %v", err, s.Retried())
	}
}
