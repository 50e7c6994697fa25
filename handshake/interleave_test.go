package handshake

import (
	"bytes"
	"crypto/tls"
	"testing"
)

// Section 5.1: "Handshake messages MUST NOT be interleaved with other record
// types", on either side, at any time, whatever the other record is.
func TestNothingInsideMessage(t *testing.T) {
	for name, record := range map[string][]byte{
		"a warning":     {1, byte(AlertUserCanceled)},
		"an error":      {2, byte(AlertInternalError)},
		"close_notify":  {1, byte(AlertCloseNotify)},
		"an odd length": {1},
	} {
		cfg, client, _ := serverSetup(t)
		s, err := NewServer(cfg)
		if err != nil {
			t.Fatal(err)
		}
		part := appendPlaintext(nil, recordHandshake, 0x0301, firstHello(t, client).raw[:9])
		failsWith(t, name, s, testTime, appendPlaintext(part, recordAlert, 0x0301, record), FaultUnexpectedRecord, StateClientHello)

		_, clientCfg := newScript(t)
		c := mustClient(t, clientCfg)
		_, err = run(c, appendPlaintext([]byte{22, 3, 3, 0, 1, 2}, recordAlert, versionTLS12, record))
		wantFault(t, err, FaultUnexpectedRecord, StateServerHello, AlertUnexpectedMessage)

		sealer, _, _, o := testSplit(t, tls.TLS_AES_128_GCM_SHA256, nil)
		records := sealer.seal(nil, recordHandshake, []byte{24, 0, 0}, 0)
		wantFault(t, feedError(o, sealer.seal(records, recordAlert, record, 0)), FaultUnexpectedRecord, StateConnected, AlertUnexpectedMessage)
	}
	sealer, _, _, o := testSplit(t, tls.TLS_AES_128_GCM_SHA256, nil)
	records := sealer.seal(nil, recordHandshake, []byte{24, 0, 0}, 0)
	err := feedError(o, sealer.SealRecord(records, nil, 0))
	wantFault(t, err, FaultUnexpectedRecord, StateConnected, AlertUnexpectedMessage)
}

// A peer whose records all end in the midst of a message makes us hold no more
// for it: a message, and a record.
func TestMessagesAcrossRecords(t *testing.T) {
	suite := suiteByID(tls.TLS_AES_128_GCM_SHA256)
	_, o, peer, _ := testSplit(t, suite.id, &resumption{suite: suite, template: Session{Secret: make([]byte, suite.hashLen)}})
	// Tickets of 4 KiB with a lifetime of zero.
	body := append(append(make([]byte, 9), 0x10, 0), make([]byte, 0x1000+2)...)
	message := append([]byte{4, 0, byte(len(body) >> 8), byte(len(body))}, body...)
	stream := bytes.Repeat(message, maxTickets)
	o.Feed(peer.seal(nil, recordHandshake, stream[:1], 0))
	for stream = stream[1:]; len(stream) > 0; {
		n := min(len(stream), 3*len(message))
		o.Feed(peer.seal(nil, recordHandshake, stream[:n], 0))
		stream = stream[n:]
		if ev, err := o.Next(testTime); err != nil || ev.Kind != EventNone {
			t.Fatal(ev, err)
		}
		if held := cap(o.msgs); held > maxMessageLen {
			t.Fatalf("%d bytes are held for messages", held)
		}
	}
	if o.Buffered() != 0 {
		t.Errorf("%d bytes are left", o.Buffered())
	}
}
