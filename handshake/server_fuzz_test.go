package handshake

import (
	"bytes"
	"crypto/tls"
	"errors"
	"testing"
)

// FuzzClientHello: the parser takes anything, and what it takes it
// understands as a whole.
func FuzzClientHello(f *testing.F) {
	cfg, client, _ := serverSetup(f)
	f.Add(firstHello(f, client).raw)
	s, c := fuzzSession(f, cfg, client)
	_ = s
	f.Add(firstHello(f, c).raw)
	f.Fuzz(func(t *testing.T, msg []byte) {
		if len(msg) < messageHeaderLen {
			return
		}
		h, fault := parseClientHello(msg)
		if fault != 0 {
			return
		}
		h.check()
		if len(h.extensions) > 0 && !bytes.Equal(h.marshal()[messageHeaderLen:], msg[messageHeaderLen:]) {
			t.Error("something of the hello was lost")
		}
		if len(h.binders) != len(h.identities) || len(h.truncated()) > len(msg) {
			t.Errorf("%d binders, %d identities", len(h.binders), len(h.identities))
		}
		h.checkRetried(h, tls.X25519)
	})
}

// FuzzServerFeed: a server lives through all that can be fed, in plaintext or
// under its keys, and its first error stays.
func FuzzServerFeed(f *testing.F) {
	cfg, client, _ := serverSetup(f)
	allowEarlyData(cfg)
	cfg.ClientAuth = tls.RequestClientCert
	_, resumed := fuzzSession(f, cfg, client)
	resumed.EarlyData = true
	first := mustClient(f, client).AppendOutput(nil)
	again := mustClient(f, resumed).AppendOutput(nil)
	f.Add(byte(0), first)
	f.Add(byte(0), again)
	for start := range byte(4) {
		f.Add(start, []byte{22, 4, 11, 0, 0, 0, 0, 22, 4, 20, 0, 0, 0, 21, 2, 2, 40, 23, 1, 1})
		f.Add(start, []byte{22, 4, 5, 0, 0, 0, 22, 8, 11, 0, 0, 4, 0, 0, 0, 0, 22, 4, 15, 0, 0, 0})
	}
	f.Fuzz(func(t *testing.T, start byte, data []byte) {
		own := *cfg
		own.AntiReplay = NewReplayRegister(testTime.AddDate(0, 0, -1), 10)
		s, err := NewServer(&own)
		if err != nil {
			t.Fatal(err)
		}
		p := &pair{s: s, now: testTime}
		switch start % 4 {
		case 0: // anything
			for i, b := range data {
				if s.Feed([]byte{b}); i%7 == 0 {
					if p.nextServer() != nil {
						break
					}
				}
			}
			checkDead(t, p)
			return
		case 1:
			s.Feed(first)
		case 2:
			s.Feed(again)
		case 3: // HelloRetryRequest goes out
			own.Groups = []tls.CurveID{tls.CurveP521}
			s.Feed(again)
		}
		if err := p.nextServer(); err != nil {
			t.Fatal(err)
		}
		// data is a list of records: type, length, content.
		for len(data) >= 2 {
			typ, n := recordType(data[0]), min(int(data[1]), len(data)-2)
			content := data[2 : 2+n]
			data = data[2+n:]
			if s.reader == nil {
				s.Feed(appendPlaintext(nil, typ, versionTLS12, content))
			} else {
				seal, err := newProtector(s.suite, bytes.Clone(s.reader.secret))
				if err != nil {
					t.Fatal(err)
				}
				seal.seq = s.reader.seq
				s.Feed(seal.seal(nil, typ, content, 0))
			}
			if p.nextServer() != nil {
				break
			}
		}
		checkDead(t, p)
	})
}

// checkDead checks that an error stays, and has a fault.
func checkDead(t *testing.T, p *pair) {
	err := p.nextServer()
	if err == nil {
		return
	}
	var local *LocalError
	var remote *RemoteError
	if !errors.As(err, &local) && !errors.As(err, &remote) || errors.Is(err, FaultInternal) {
		t.Fatalf("%v", err)
	}
	out := p.s.AppendOutput(nil)
	p.s.Feed([]byte("more"))
	if again := p.nextServer(); again != err {
		t.Fatalf("%v, then %v", err, again)
	}
	if more := p.s.AppendOutput(nil); len(more) > 0 || local != nil && len(out) == 0 {
		t.Fatalf("%d bytes, then %d", len(out), len(more))
	}
}

// FuzzTicket: what a client offers as a ticket is opened or not, and what was
// sealed comes back.
func FuzzTicket(f *testing.F) {
	cfg, client, _ := serverSetup(f)
	session, _ := fuzzSession(f, cfg, client)
	f.Add(session.Ticket)
	plain, err := (&ServerSession{CipherSuite: tls.TLS_AES_128_GCM_SHA256, secret: make([]byte, 32), peer: [][]byte{{1}}}).Bytes()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain)
	f.Fuzz(func(t *testing.T, data []byte) {
		if got := cfg.TicketKeys.open(data); got != nil && !bytes.Equal(data, session.Ticket) {
			t.Fatal("a ticket was forged")
		}
		parsed, err := ParseServerSession(data)
		if err != nil {
			return
		}
		again, err := parsed.Bytes()
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("%x became %x (%v)", data, again, err)
		}
	})
}

// fuzzSession returns a session of a full handshake, and a configuration that
// offers it.
func fuzzSession(f *testing.F, cfg *ServerConfig, client *Config) (*Session, *Config) {
	f.Helper()
	s, err := NewServer(cfg)
	if err != nil {
		f.Fatal(err)
	}
	p := &pair{c: mustClient(f, client), s: s, now: testTime}
	if ce, se := p.run(); ce != nil || se != nil {
		f.Fatal(ce, se)
	}
	_, o := p.c.Split()
	event, err := o.Next(testTime)
	if err != nil || event.Kind != EventTicket {
		f.Fatal(event.Kind, err)
	}
	return event.Session, resume(client, event.Session, 0, false)
}
