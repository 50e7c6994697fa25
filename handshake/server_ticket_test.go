package handshake

import (
	"crypto/rand"
	"crypto/tls"
	"slices"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
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

// RFC 8701, section 4.1: tickets have an extension that nobody knows, one of the
// 16 of section 2, so that clients go on ignoring those (RFC 8446, section
// 4.6.1).
func TestServerTicketGREASE(t *testing.T) {
	cfg, client, _ := serverSetup(t)
	cfg.NumTickets = 100
	_, o := connectPair(t, allowEarlyData(cfg), client, "").c.Split()
	seen, count := make(map[uint16]bool), 0
	for {
		msg, ok, fault := o.message()
		if fault != 0 {
			t.Fatal(fault)
		}
		if ok {
			seen[greaseOf(t, msg)] = true
			count++
			continue
		}
		typ, data, ok, fault := o.record()
		if fault != 0 || ok && typ != recordHandshake {
			t.Fatal(typ, fault)
		}
		if !ok {
			break
		}
		o.addHandshake(data)
	}
	// That all have the same one by chance is one in 16 to the 99th.
	if count != cfg.NumTickets || len(seen) == 1 {
		t.Errorf("%d tickets, with %v", count, seen)
	}
	for b := range 256 {
		if v := greaseValue(byte(b)); !IsGREASE(v) || v>>12 != uint16(b)>>4 {
			t.Errorf("of %#02x: %#04x", b, v)
		}
	}
}

// greaseOf is the extension of a ticket besides early_data.
func greaseOf(t *testing.T, msg []byte) uint16 {
	t.Helper()
	body := cryptobyte.String(msg[messageHeaderLen+8:])
	var nonce, ticket cryptobyte.String
	if msg[0] != byte(typeNewSessionTicket) || !body.ReadUint8LengthPrefixed(&nonce) || !body.ReadUint16LengthPrefixed(&ticket) {
		t.Fatalf("%x", msg)
	}
	list, fault := readExtensions(&body)
	i := slices.IndexFunc(list, func(e extension) bool { return IsGREASE(e.typ) })
	if fault != 0 || len(list) != 2 || i < 0 {
		t.Fatalf("%v: %v", fault, list)
	}
	return list[i].typ
}

// A ticket under our own key whose session is not one that we can resume is as
// good as none.
func TestServerForeignTickets(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*ServerSession)
		format byte
		resume bool
	}{
		{"our own", func(*ServerSession) {}, serverSessionFormat, true},
		{"a suite of TLS 1.2", func(s *ServerSession) { s.CipherSuite = tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 }, serverSessionFormat, false},
		{"a suite with another hash", func(s *ServerSession) { s.CipherSuite = tls.TLS_AES_256_GCM_SHA384 }, serverSessionFormat, false},
		{"TLS 1.2", func(s *ServerSession) { s.Version = tls.VersionTLS12 }, serverSessionFormat, false},
		{"a secret of another length", func(s *ServerSession) { s.secret = append(s.secret, 0) }, serverSessionFormat, false},
		{"another format", func(*ServerSession) {}, serverSessionFormat + 1, false},
	} {
		cfg, client, _ := serverSetup(t)
		cfg.CipherSuites = []uint16{tls.TLS_AES_128_GCM_SHA256}
		session := firstSession(t, cfg, client)
		inside := cfg.TicketKeys.open(session.Ticket)
		c.change(inside)
		session.Ticket = sealAs(t, cfg.TicketKeys, inside, c.format)
		p := connectPair(t, cfg, resume(client, session, time.Second, false), "")
		if got := p.s.ConnectionState().DidResume; got != c.resume {
			t.Errorf("%s: resumed %v", c.name, got)
		}
	}
}

// sealAs seals a session in a format that may be another than ours.
func sealAs(t *testing.T, keys *TicketKeys, session *ServerSession, format byte) []byte {
	t.Helper()
	plain, err := session.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	plain[0] = format
	ticket := make([]byte, ticketNameLen+ticketNonceLen)
	copy(ticket, keys.keys[0].name[:])
	rand.Read(ticket[ticketNameLen:])
	return keys.keys[0].aead.Seal(ticket, ticket[ticketNameLen:], plain, ticket[:ticketNameLen])
}
