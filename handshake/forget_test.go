package handshake

import (
	"bytes"
	"crypto/tls"
	"errors"
	"testing"
)

// secretsOf lists what an engine must not know any more. The protectors are
// those of before: an engine may hold none by then.
func (c *Client) secretsOf() [][]byte {
	secrets := [][]byte{c.clientHandshake, c.exporter}
	if c.early != nil {
		secrets = append(secrets, c.early.secret)
	}
	if c.handshake != nil {
		secrets = append(secrets, c.handshake.secret)
	}
	return append(secrets, protectorSecrets(c.reader, c.writer)...)
}

func (s *Server) secretsOf() [][]byte {
	secrets := [][]byte{s.clientHandshake, s.serverHandshake, s.clientTraffic, s.exporter}
	if s.earlySecret != nil {
		secrets = append(secrets, s.earlySecret.secret)
	}
	if s.master != nil {
		secrets = append(secrets, s.master.secret)
	}
	if s.session != nil {
		secrets = append(secrets, s.session.secret)
	}
	return append(secrets, protectorSecrets(s.reader, s.writer)...)
}

func protectorSecrets(list ...*protector) (secrets [][]byte) {
	for _, p := range list {
		if p != nil {
			secrets = append(secrets, p.secret)
		}
	}
	return secrets
}

// wantForgotten fails the test unless before has a secret, and all of it and of
// after is zero.
func wantForgotten(t *testing.T, name string, before, after [][]byte) {
	t.Helper()
	if len(bytes.Join(before, nil)) == 0 {
		t.Errorf("%s: there was no secret to forget", name)
	}
	for _, b := range bytes.Join(append(before, after...), nil) {
		if b != 0 {
			t.Errorf("%s: a secret is still there", name)
			return
		}
	}
}

// RFC 8446, section 6: "Servers and clients MUST forget the secret values and
// keys established in failed connections".
func TestClientForgets(t *testing.T) {
	for name, end := range map[string]func(*scriptedServer, *Client){
		"a fault": func(s *scriptedServer, c *Client) {
			c.Feed(s.writer.seal(nil, recordHandshake, []byte{99, 0, 0, 0}, 0))
		},
		"an alert":     func(s *scriptedServer, c *Client) { c.Feed(s.writer.seal(nil, recordAlert, []byte{2, 40}, 0)) },
		"close_notify": func(s *scriptedServer, c *Client) { c.Feed(s.writer.seal(nil, recordAlert, []byte{1, 0}, 0)) },
	} {
		s, cfg := newScript(t)
		resumeScript(s, cfg)
		c := mustClient(t, cfg)
		s.read(c.AppendOutput(nil))
		s.helloAndKeys()
		if _, err := run(c, s.take()); err != nil || c.State() != StateEncryptedExtensions {
			t.Fatal(err, c.State())
		}
		before := c.secretsOf()
		end(s, c)
		_, err := c.Next(testTime)
		if err == nil || c.State() != StateFailed {
			t.Fatalf("%s: %v", name, err)
		}
		wantForgotten(t, name, before, c.secretsOf())
		if c.keys != nil {
			t.Errorf("%s: private keys are still there", name)
		}
		if _, again := c.Next(testTime); again != err {
			t.Errorf("%s: then %v", name, again)
		}
	}
}

// The stages of the schedule are cleared one after the other, that of a PSK
// that was refused too, and nothing but the traffic keys and the exporter is
// left of a handshake.
func TestClientLetsGo(t *testing.T) {
	s, cfg := newScript(t)
	resumeScript(s, cfg)
	s.session = nil
	c := mustClient(t, cfg)
	psk := c.early.secret
	if _, err := run(c, s.flight(c.AppendOutput(nil))); err != nil {
		t.Fatal(err)
	}
	wantForgotten(t, "a PSK that was refused", [][]byte{make([]byte, 1), psk}, nil)
	if c.early != nil || c.handshake != nil || c.clientHandshake != nil || c.keys != nil || c.transcript != nil {
		t.Errorf("the handshake left secrets behind: %+v", c)
	}
}

func TestServerForgets(t *testing.T) {
	cfg, client, _ := serverSetup(t)
	session := firstSession(t, cfg, client)
	for name, end := range map[string]func(*script) []byte{
		"a fault":      func(c *script) []byte { return c.message(typeFinished, make([]byte, 32)...) },
		"an alert":     func(c *script) []byte { return c.seal(recordAlert, 2, 40) },
		"close_notify": func(c *script) []byte { return c.seal(recordAlert, 1, 0) },
	} {
		s := scripted(t, cfg, resume(client, session, 0, false), "")
		before := s.s.secretsOf()
		s.s.Feed(end(s))
		if _, err := s.s.Next(testTime); err == nil || s.s.State() != StateFailed {
			t.Fatalf("%s: %v", name, err)
		}
		wantForgotten(t, name, before, s.s.secretsOf())
		if _, err := s.s.ExportKeyingMaterial("x", nil, 8); !errors.Is(err, errNotYet) {
			t.Errorf("%s: keying material of a failed connection: %v", name, err)
		}
	}
	// What a handshake that went well leaves behind is in the Sealer, the Opener
	// and the exporter.
	p := newPair(t, cfg, resume(client, session, 0, false), "")
	p.s.Feed(p.c.AppendOutput(nil))
	if err := p.nextServer(); err != nil {
		t.Fatal(err)
	}
	before := [][]byte{p.s.clientHandshake, p.s.serverHandshake, p.s.master.secret, p.s.session.secret}
	if ce, se := p.run(); ce != nil || se != nil || p.s.State() != StateConnected {
		t.Fatal(ce, se)
	}
	wantForgotten(t, "a handshake that went well", before, nil)
}

func TestOpenerForgets(t *testing.T) {
	suite := suiteByID(tls.TLS_AES_128_GCM_SHA256)
	for name, end := range map[string]func(*Sealer) []byte{
		"a fault":      func(s *Sealer) []byte { return s.seal(nil, recordHandshake, []byte{99, 0, 0, 0}, 0) },
		"an alert":     func(s *Sealer) []byte { return s.Alert(nil, AlertAccessDenied) },
		"close_notify": func(s *Sealer) []byte { return s.CloseNotify(nil) },
	} {
		_, o, peer, _ := testSplit(t, suite.id, &resumption{suite: suite, template: Session{Secret: bytes.Repeat([]byte{7}, 32)}})
		before := append(protectorSecrets(o.reader), o.tickets.template.Secret)
		o.Feed(end(peer))
		ev, err := o.Next(testTime)
		if err == nil && ev.Kind != EventCloseNotify {
			t.Fatalf("%s: %+v", name, ev)
		}
		wantForgotten(t, name, before, protectorSecrets(o.reader))
		o.Feed([]byte("anything"))
		if again, err2 := o.Next(testTime); again.Kind != ev.Kind || err2 != err {
			t.Errorf("%s: then %+v, %v", name, again, err2)
		}
	}
}
