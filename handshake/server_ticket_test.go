package handshake

import (
	"crypto/rand"
	"crypto/tls"
	"testing"
	"time"
)

// The tickets of a handshake share one record, and its overhead.
func TestServerTicketsInOneRecord(t *testing.T) {
	cfg, client, _ := serverSetup(t)
	p := newPair(t, cfg, client, "")
	p.s.Feed(p.c.AppendOutput(nil))
	if err := p.nextServer(); err != nil {
		t.Fatal(err)
	}
	p.c.Feed(p.s.AppendOutput(nil))
	if err := p.nextClient(); err != nil {
		t.Fatal(err)
	}
	p.s.Feed(p.c.AppendOutput(nil))
	if event, err := p.s.Next(testTime); err != nil || event.Kind != EventHandshakeComplete {
		t.Fatalf("%+v, %v", event, err)
	}
	out := p.s.AppendOutput(nil)
	if n := recordHeaderLen + int(out[3])<<8 + int(out[4]); n != len(out) {
		t.Errorf("a record of %d bytes of %d", n, len(out))
	}
	p.c.Feed(out)
	if sessions := p.sessions(t); len(sessions) != defaultTickets {
		t.Errorf("%d tickets", len(sessions))
	}
}

// A ticket under our own key whose session is not one that we can resume is as
// good as none.
func TestServerForeignTickets(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*ticketSession)
		format byte
		resume bool
	}{
		{"our own", func(*ticketSession) {}, ticketFormat, true},
		{"a suite of TLS 1.2", func(s *ticketSession) { s.suite = tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 }, ticketFormat, false},
		{"a suite with another hash", func(s *ticketSession) { s.suite = tls.TLS_AES_256_GCM_SHA384 }, ticketFormat, false},
		{"a secret of another length", func(s *ticketSession) { s.secret = append(s.secret, 0) }, ticketFormat, false},
		{"another version", func(*ticketSession) {}, ticketFormat + 1, false},
	} {
		cfg, client, _ := serverSetup(t)
		cfg.CipherSuites = []uint16{tls.TLS_AES_128_GCM_SHA256}
		session := firstSession(t, cfg, client)
		inside, _ := cfg.TicketKeys.open(session.Ticket)
		c.change(inside)
		session.Ticket = sealAs(t, cfg.TicketKeys, inside, c.format)
		p := connectPair(t, cfg, resume(client, session, time.Second, false), "")
		if got := p.s.ConnectionState().DidResume; got != c.resume {
			t.Errorf("%s: resumed %v", c.name, got)
		}
	}
}

// sealAs seals a session in a format that may be another than ours.
func sealAs(t *testing.T, keys *TicketKeys, session *ticketSession, format byte) []byte {
	t.Helper()
	plain, err := session.marshal()
	if err != nil {
		t.Fatal(err)
	}
	plain[0] = format
	ticket := make([]byte, ticketNameLen+ticketNonceLen)
	copy(ticket, keys.keys[0].name[:])
	rand.Read(ticket[ticketNameLen:])
	return keys.keys[0].aead.Seal(ticket, ticket[ticketNameLen:], plain, ticket[:ticketNameLen])
}
