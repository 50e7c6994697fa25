package handshake

import (
	"bytes"
	"crypto/tls"
	"errors"
	"testing"
)

// Every type of message in every state of a client: what the state diagram
// does not have is unexpected_message, whatever the message says. This is what
// FREAK, SMACK and their kin were about: messages that were let through in a
// state that they do not belong in, or left out.
func TestClientStateMachine(t *testing.T) {
	ask := func(s *scriptedServer, c *Config) { s.request = true }
	all := withOffers(offerAll...)
	askAll := func(s *scriptedServer, c *Config) { ask(s, c); all(s, c) }
	for _, c := range []struct {
		state   State
		setup   func(*scriptedServer, *Config)
		step    State // of the script
		allowed []messageType
	}{
		{StateServerHello, nil, StateServerHelloRetried, []messageType{typeServerHello}},
		{StateEncryptedExtensions, nil, StateEncryptedExtensions, []messageType{typeEncryptedExtensions}},
		{StateCertificateOrRequest, nil, StateCertificate, []messageType{typeCertificate, typeCertificateRequest}},
		{StateCertificate, ask, StateCertificate, []messageType{typeCertificate}},
		{StateCertificateVerify, nil, StateCertificateVerify, []messageType{typeCertificateVerify}},
		{StateFinished, nil, StateFinished, []messageType{typeFinished}},
		{StateEncryptedExtensions, resumeScript, StateEncryptedExtensions, []messageType{typeEncryptedExtensions}},
		{StateFinished, resumeScript, StateFinished, []messageType{typeFinished}},
		{StateEncryptedExtensions, all, StateEncryptedExtensions, []messageType{typeEncryptedExtensions}},
		{StateCertificateOrRequest, all, StateCertificate, []messageType{typeCertificate, typeCertificateRequest, typeCompressed}},
		{StateCertificate, askAll, StateCertificate, []messageType{typeCertificate, typeCompressed}},
		{StateCertificateVerify, all, StateCertificateVerify, []messageType{typeCertificateVerify}},
		{StateFinished, all, StateFinished, []messageType{typeFinished}},
	} {
		for _, typ := range allMessageTypes() {
			s, cfg := newScript(t)
			if c.setup != nil {
				c.setup(s, cfg)
			}
			s.edit = at(c.step, func(m []byte) []byte { m[0] = byte(typ); return m })
			client := mustClient(t, cfg)
			_, err := run(client, s.flight(client.AppendOutput(nil)))
			wantOutOfOrder(t, err, messageType(typ), c.state, c.allowed)
		}
	}
	// After HelloRetryRequest.
	for _, typ := range allMessageTypes() {
		p := retryProof(0, func(m []byte) []byte { m[0] = byte(typ); return m })
		wantOutOfOrder(t, p.produce(t), messageType(typ), StateServerHelloRetried, []messageType{typeServerHello})
	}
}

// allMessageTypes lists the types of all versions of TLS, and some that no
// version has.
func allMessageTypes() (types []int) {
	for typ := range 36 {
		types = append(types, typ)
	}
	return append(types, 67, 100, 203, 254, 255)
}

// wantOutOfOrder fails the test unless a message of a type that is not allowed
// was refused as unexpected in the state. One that is allowed is not looked at:
// its content need not be good.
func wantOutOfOrder(t *testing.T, err error, typ messageType, state State, allowed []messageType) {
	t.Helper()
	var local *LocalError
	is := errors.As(err, &local)
	unexpected := is && local.Alert() == AlertUnexpectedMessage && (local.Fault == FaultUnexpectedMessage || local.Fault == FaultCertificateRequestWithPSK)
	switch expected := !bytes.Contains(toBytes(allowed), []byte{byte(typ)}); {
	case expected && (!unexpected || local.State != state):
		t.Errorf("message %d while %v: %v", typ, state, err)
	case !expected && unexpected && local.State == state:
		t.Errorf("message %d while %v is allowed: %v", typ, state, err)
	}
}

func toBytes(types []messageType) (b []byte) {
	for _, typ := range types {
		b = append(b, byte(typ))
	}
	return b
}

// The same for a server.
func TestServerStateMachine(t *testing.T) {
	cfg, client, _ := serverSetup(t)
	allowEarlyData(cfg)
	body := make([]byte, 40)
	send := func(s *Server, state State, key *protector, typ int, allowed ...messageType) {
		t.Helper()
		if s.State() != state {
			t.Fatalf("the server is %v, not %v", s.State(), state)
		}
		msg := append([]byte{byte(typ), 0, 0, byte(len(body))}, body...)
		if key != nil {
			s.Feed(key.seal(nil, recordHandshake, msg, 0))
		} else {
			s.Feed(appendPlaintext(nil, recordHandshake, versionTLS12, msg))
		}
		_, err := s.Next(testTime)
		wantOutOfOrder(t, err, messageType(typ), state, allowed)
	}
	asking := *cfg
	asking.ClientAuth = tls.RequireAnyClientCert
	retrying := *cfg
	retrying.Groups = []tls.CurveID{tls.CurveP384}
	for _, typ := range allMessageTypes() {
		s, err := NewServer(cfg)
		if err != nil {
			t.Fatal(err)
		}
		send(s, StateClientHello, nil, typ, typeClientHello)

		s, _ = NewServer(&retrying)
		s.Feed(mustClient(t, client).AppendOutput(nil))
		if _, err := s.Next(testTime); err != nil {
			t.Fatal(err)
		}
		send(s, StateClientHelloRetried, nil, typ, typeClientHello)

		c := scripted(t, cfg, client, "")
		send(c.s, StateFinished, c.keys, typ, typeFinished)

		c = scripted(t, &asking, client, "")
		send(c.s, StateCertificate, c.keys, typ, typeCertificate)

		c = scripted(t, &asking, client, "")
		der := cfg.Certificates[0].Certificate[0]
		n := len(der)
		list := append([]byte{0, 0, byte((n + 5) >> 8), byte(n + 5), 0, byte(n >> 8), byte(n)}, der...)
		c.s.Feed(c.message(typeCertificate, append(list, 0, 0)...))
		if _, err := c.s.Next(testTime); err != nil {
			t.Fatal(err)
		}
		send(c.s, StateCertificateVerify, c.keys, typ, typeCertificateVerify)

		p := newPair(t, cfg, resume(client, firstSession(t, cfg, client), 0, true), "x")
		p.s.Feed(p.c.AppendOutput(nil))
		if err := p.nextServer(); err != nil {
			t.Fatal(err)
		}
		early, err := newProtector(p.s.suite, bytes.Clone(p.s.reader.secret))
		if err != nil {
			t.Fatal(err)
		}
		early.seq = p.s.reader.seq
		send(p.s, StateEndOfEarlyData, early, typ, typeEndOfEarlyData)
	}
}

// After the handshake a client takes KeyUpdate and NewSessionTicket, a server
// KeyUpdate alone: no renegotiation, and no post-handshake authentication, which
// we do not offer (section 4.6.2: "MUST send an unexpected_message").
func TestConnectedStateMachine(t *testing.T) {
	suite := suiteByID(tls.TLS_AES_128_GCM_SHA256)
	for _, typ := range allMessageTypes() {
		for name, tickets := range map[string]*resumption{"client": {suite: suite, template: Session{Secret: make([]byte, 32)}}, "server": nil} {
			_, o, peer, _ := testSplit(t, suite.id, tickets)
			err := feedError(o, peer.seal(nil, recordHandshake, append([]byte{byte(typ), 0, 0, 9}, make([]byte, 9)...), 0))
			allowed := []messageType{typeKeyUpdate}
			if name == "client" {
				allowed = append(allowed, typeNewSessionTicket)
			}
			wantOutOfOrder(t, err, messageType(typ), StateConnected, allowed)
		}
	}
}
