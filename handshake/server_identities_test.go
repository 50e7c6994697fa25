package handshake

import (
	"bytes"
	"slices"
	"testing"

	"golang.org/x/crypto/cryptobyte"
)

// offering is a resumed ClientHello with unknown PSKs before the session's.
func offering(t *testing.T, client *Config, session *Session, unknown int) []byte {
	t.Helper()
	h := firstHello(t, resume(client, session, 0, true))
	known := h.identities[0]
	h.identities = append(slices.Repeat([]pskIdentity{{ticket: []byte("unknown")}}, unknown), known)
	early := newEarlySecret(suiteByID(session.CipherSuite), session.Secret)
	binder := make([]byte, len(session.Secret))
	// Once with a binder of zeros, to know what binders cover.
	for range 2 {
		var b cryptobyte.Builder
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			for _, id := range h.identities {
				addBytes16(b, id.ticket)
				b.AddUint32(id.age)
			}
		})
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			for range unknown {
				addBytes8(b, make([]byte, 32))
			}
			addBytes8(b, binder)
		})
		h.set(extPreSharedKey, b.BytesOrPanic())
		parsed, fault := parseClientHello(h.marshal())
		if fault != 0 {
			t.Fatal(fault)
		}
		transcript := early.suite.hash()
		transcript.Write(parsed.truncated())
		binder = early.binder(transcript.Sum(nil))
	}
	return h.marshal()
}

// "In order to accept early data, the server MUST have [...] selected the first
// key offered in the client's "pre_shared_key" extension" (section 4.2.10). A
// later one resumes, if it is not one too many to be looked at.
func TestServerLaterIdentity(t *testing.T) {
	cfg, client, _ := serverSetup(t)
	allowEarlyData(cfg)
	for unknown, c := range map[int]struct {
		resumed bool
		reason  EarlyReason
		early   string
	}{
		0:                 {true, ReasonAccepted, "early"},
		1:                 {true, ReasonSessionNotResumed, ""},
		maxIdentities - 1: {true, ReasonSessionNotResumed, ""},
		maxIdentities:     {false, ReasonSessionNotResumed, ""},
	} {
		session := firstSession(t, cfg, client)
		hello := offering(t, client, session, unknown)
		// The early data is under the key of the session, wherever it stands.
		suite := suiteByID(session.CipherSuite)
		transcript := suite.hash()
		transcript.Write(hello)
		early, err := newProtector(suite, newEarlySecret(suite, session.Secret).clientTraffic(transcript.Sum(nil)))
		if err != nil {
			t.Fatal(err)
		}
		s, err := NewServer(cfg)
		if err != nil {
			t.Fatal(err)
		}
		p := &pair{s: s, now: testTime}
		s.Feed(early.seal(appendPlaintext(nil, recordHandshake, 0x0301, hello), recordApplication, []byte("early"), 0))
		if err := p.nextServer(); err != nil {
			t.Fatalf("%d before: %v", unknown, err)
		}
		if s.ConnectionState().DidResume != c.resumed || s.EarlyReason() != c.reason || string(p.early) != c.early {
			t.Errorf("%d before: resumed %v, %v, early %q", unknown, s.ConnectionState().DidResume, s.EarlyReason(), p.early)
		}
		if c.early != "" {
			continue
		}
		// The server goes on as if there had been no early data.
		keys, err := newProtector(s.suite, bytes.Clone(s.clientHandshake))
		if err != nil {
			t.Fatal(err)
		}
		client := &script{t, s, keys}
		s.Feed(client.message(typeFinished, client.finished()...))
		if event, err := s.Next(testTime); err != nil || event.Kind != EventHandshakeComplete {
			t.Errorf("%d before: %v, %v", unknown, event.Kind, err)
		}
	}
}
