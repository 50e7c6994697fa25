package handshake

import "testing"

// Section 5: a change_cipher_spec is dropped between messages only: within one it
// is an interleaved record (section 5.1), like any other. Where it may come at
// all is tested too, so that no test below fails for another reason.
func TestCCSInsideMessage(t *testing.T) {
	ccs := appendPlaintext(nil, recordCCS, versionTLS12, []byte{1})

	// To a client, in ServerHello, which is plaintext, and in what follows it.
	for _, inside := range []bool{false, true} {
		s, cfg := newScript(t)
		c := mustClient(t, cfg)
		hello := s.flight(c.AppendOutput(nil))[recordHeaderLen:]
		hello = hello[:messageHeaderLen+int(hello[2])<<8+int(hello[3])]
		cut := len(hello)
		if inside {
			cut = 9
		}
		records := append(appendPlaintext(nil, recordHandshake, versionTLS12, hello[:cut]), ccs...)
		_, err := run(c, records)
		if inside {
			wantFault(t, err, FaultBadCCS, StateServerHello, AlertUnexpectedMessage)
		} else if err != nil || c.State() != StateEncryptedExtensions {
			t.Errorf("behind ServerHello: %v, %v", err, c.State())
		}
	}
	for _, inside := range []bool{false, true} {
		s, cfg := newScript(t)
		c := mustClient(t, cfg)
		s.read(c.AppendOutput(nil))
		s.helloAndKeys()
		if _, err := run(c, s.take()); err != nil || c.State() != StateEncryptedExtensions {
			t.Fatal(err, c.State())
		}
		extensions := []byte{byte(typeEncryptedExtensions), 0, 0, 2, 0, 0}
		if inside {
			extensions = extensions[:3]
		}
		_, err := run(c, append(s.writer.seal(nil, recordHandshake, extensions, 0), ccs...))
		if inside {
			wantFault(t, err, FaultBadCCS, StateEncryptedExtensions, AlertUnexpectedMessage)
		} else if err != nil || c.State() != StateCertificateOrRequest {
			t.Errorf("behind EncryptedExtensions: %v, %v", err, c.State())
		}
	}

	// To a server, in Finished.
	for _, cut := range []int{0, 1, messageHeaderLen, messageHeaderLen + 1} {
		cfg, client, _ := serverSetup(t)
		c := scripted(t, cfg, client, "")
		finished := marshalFinished(c.finished())
		var records []byte
		if cut > 0 {
			records = c.seal(recordHandshake, finished[:cut]...)
		}
		if records = append(records, ccs...); cut > 0 {
			failsWith(t, "in Finished", c.s, testTime, records, FaultBadCCS, StateFinished)
			continue
		}
		c.s.Feed(append(records, c.seal(recordHandshake, finished...)...))
		if event, err := c.s.Next(testTime); err != nil || event.Kind != EventHandshakeComplete {
			t.Errorf("before Finished: %v, %v", event.Kind, err)
		}
	}
}
