package tlstfo

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/handshake"
)

const (
	sessionTestHost   = "host-not-to-be-seen.example"
	sessionTestSecret = "0123456789abcdef-0123456789abcde"
)

// sessionTestCert is a certificate of sessionTestHost.
func sessionTestCert(t testing.TB) *x509.Certificate {
	t.Helper()
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{sessionTestHost},
		Subject:   pkix.Name{CommonName: sessionTestHost},
		NotBefore: testEpoch.Add(-time.Hour), NotAfter: testEpoch.Add(1000 * time.Hour)}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// testSession is a session with the given ticket, received at now for an hour. The test may change it before it hands it on.
func testSession(t testing.TB, ticket string, now stamp) *Session {
	t.Helper()
	cert := sessionTestCert(t)
	return newSession(&handshake.Session{
		CipherSuite: tls.TLS_AES_128_GCM_SHA256, Secret: []byte(sessionTestSecret), Ticket: []byte(ticket),
		Lifetime: time.Hour, AgeAdd: 7, MaxEarlyData: 16384, ReceivedAt: now.wall, ALPN: "h2", ServerName: sessionTestHost,
		PeerCertificates: []*x509.Certificate{cert}, VerifiedChains: [][]*x509.Certificate{{cert}},
		OCSPResponse: []byte("ocsp"), SignedCertificateTimestamps: [][]byte{[]byte("sct")}, Group: tls.X25519MLKEM768,
		AuthenticatedAt: now.wall, HybridAt: now.wall, ClientCertificate: []byte("client"),
	}, now)
}

func TestSessionExpired(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name          string
		lifetime      time.Duration
		authenticated time.Duration // before the ticket
		now           stamp
		expired       bool
	}{
		{"fresh", time.Hour, 0, at(0), false},
		{"last millisecond", time.Hour, 0, at(time.Hour - time.Millisecond), false},
		{"lifetime over", time.Hour, 0, at(time.Hour), true},
		{"lifetime zero", 0, 0, at(0), true},
		{"longer than 7 days, before", 30 * day, 0, at(7*day - time.Second), false},
		{"longer than 7 days, after", 30 * day, 0, at(7 * day), true},
		{"lineage, before", day, 6 * day, at(day - time.Second), false},
		{"lineage, after", 2 * day, 6 * day, at(day), true},
		{"wall set back, running clock past the lifetime", time.Hour, 0,
			stamp{wall: testEpoch.Add(-day), boot: 3 * time.Hour, bootID: "boot-1"}, true},
		{"wall ahead, running clock within the lifetime", time.Hour, 0,
			stamp{wall: testEpoch.Add(2 * time.Hour), boot: time.Hour, bootID: "boot-1"}, true},
		{"another boot, wall set back", time.Hour, 0, stamp{wall: testEpoch.Add(-day), bootID: "boot-2"}, false},
		{"authenticated a week ahead", time.Hour, 0, stamp{wall: testEpoch.Add(-7 * day), bootID: "boot-2"}, true},
		{"never authenticated", time.Hour, 1e6 * time.Hour, at(0), true},
	} {
		s := testSession(t, "ticket", at(0))
		s.hs.Lifetime = tt.lifetime
		s.hs.AuthenticatedAt = testEpoch.Add(-tt.authenticated)
		if got := s.expired(tt.now); got != tt.expired {
			t.Errorf("%s: expired %v, want %v", tt.name, got, tt.expired)
		}
	}
}

func TestSessionExpiry(t *testing.T) {
	s := testSession(t, "ticket", at(0))
	if got, want := s.expiry(), testEpoch.Add(time.Hour); !got.Equal(want) {
		t.Errorf("expiry %v, want the end of the lifetime %v", got, want)
	}
	s.hs.AuthenticatedAt = testEpoch.Add(-maxSessionAge + time.Minute)
	if got, want := s.expiry(), testEpoch.Add(time.Minute); !got.Equal(want) {
		t.Errorf("expiry %v, want the end of the lineage %v", got, want)
	}
}

// TestSessionLimits: what a server said of its ticket, within what is allowed.
func TestSessionLimits(t *testing.T) {
	s := testSession(t, "ticket", stamp{wall: testEpoch})
	s.hs.Lifetime, s.hs.MaxEarlyData = time.Hour, 16384
	if s.Lifetime() != time.Hour || s.MaxEarlyData() != 16384 {
		t.Errorf("%v, %d bytes", s.Lifetime(), s.MaxEarlyData())
	}
	if s.hs.Lifetime = 30 * 24 * time.Hour; s.Lifetime() != maxSessionAge {
		t.Errorf("%v, want at most 7 days", s.Lifetime())
	}
	if zero := new(Session); zero.Lifetime() != 0 || zero.MaxEarlyData() != 0 {
		t.Errorf("a zero Session: %v, %d bytes", zero.Lifetime(), zero.MaxEarlyData())
	}
}

func TestSessionEncoding(t *testing.T) {
	for _, received := range []stamp{at(time.Millisecond), {wall: testEpoch}} {
		s := testSession(t, "ticket", received)
		b, err := s.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		p, err := ParseSession(b)
		if err != nil {
			t.Fatal(err)
		}
		if !p.received.wall.Equal(received.wall) || p.received.boot != received.boot || p.received.bootID != received.bootID {
			t.Errorf("received %+v, want %+v", p.received, received)
		}
		if p.hs.ServerName != s.hs.ServerName || !bytes.Equal(p.hs.Secret, s.hs.Secret) || !bytes.Equal(p.hs.Ticket, s.hs.Ticket) ||
			p.hs.MaxEarlyData != s.hs.MaxEarlyData || !p.hs.AuthenticatedAt.Equal(s.hs.AuthenticatedAt) ||
			!p.hs.VerifiedChains[0][0].Equal(s.hs.VerifiedChains[0][0]) {
			t.Error("the ticket came back changed")
		}
		again, err := p.MarshalBinary()
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("encoded again it differs (%v)", err)
		}
		for n := range b {
			if _, err := ParseSession(b[:n]); !errors.Is(err, ErrSessionCorrupt) {
				t.Fatalf("cut to %d of %d bytes: error %v", n, len(b), err)
			}
		}
	}
}

func TestParseSessionRefuses(t *testing.T) {
	good, err := testSession(t, "ticket", at(0)).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	change := func(f func(b []byte)) []byte {
		b := bytes.Clone(good)
		f(b)
		return b
	}
	for name, b := range map[string][]byte{
		"nothing":             nil,
		"another version":     change(func(b []byte) { b[0]++ }),
		"negative boot clock": change(func(b []byte) { b[9] = 0x80 }),
		"boot clock, no boot": append(append(append([]byte{}, good[:17]...), 0), good[24:]...),
		"trailing byte":       append(bytes.Clone(good), 0),
		"over the limit":      append(bytes.Clone(good), make([]byte, maxSessionSize)...),
	} {
		if _, err := ParseSession(b); !errors.Is(err, ErrSessionCorrupt) {
			t.Errorf("%s: error %v, want ErrSessionCorrupt", name, err)
		}
	}
}

func TestSessionEncodingIsBounded(t *testing.T) {
	s := testSession(t, "ticket", at(0))
	b, err := s.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	room := maxSessionSize - len(b) + len(s.hs.OCSPResponse)
	s.hs.OCSPResponse = make([]byte, room)
	if b, err = s.MarshalBinary(); err != nil || len(b) != maxSessionSize {
		t.Fatalf("at the limit: %d bytes, error %v", len(b), err)
	}
	if _, err := ParseSession(b); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	s.hs.OCSPResponse = make([]byte, room+1)
	if _, err = s.MarshalBinary(); err == nil {
		t.Error("one byte past the limit: no error")
	}
}

// Whatever prints a session, none of its secrets come out.
func TestSessionIsNotPrinted(t *testing.T) {
	s := testSession(t, "ticket-not-to-be-seen", at(0))
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"} {
		fmt.Fprintf(&out, verb+"\n", s)
		fmt.Fprintf(&out, verb+"\n", *s)
		fmt.Fprintf(&out, verb+"\n", struct{ S *Session }{s})
		fmt.Fprintf(&out, verb+"\n", struct{ s *Session }{s})
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("session", "s", s, "value", *s)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("session", "s", s, "value", *s)
	if err := json.NewEncoder(&out).Encode(map[string]any{"s": s}); err != nil {
		t.Error(err)
	}
	io.WriteString(&out, s.String()+s.GoString())
	for _, secret := range []string{sessionTestSecret, string(s.hs.Ticket)} {
		for _, form := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), fmt.Sprint([]byte(secret)), sessionTestHost} {
			if strings.Contains(out.String(), strings.Trim(form, "[]")) {
				t.Errorf("%q was printed", form)
			}
		}
	}
	if !strings.Contains(out.String(), "Session") {
		t.Error("nothing was printed at all")
	}
}

func FuzzParseSession(f *testing.F) {
	b, err := testSession(f, "ticket", at(0)).MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:40])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSession(b)
		if err != nil {
			if s != nil || !errors.Is(err, ErrSessionCorrupt) {
				t.Fatalf("session %v, error %v", s, err)
			}
			return
		}
		s.age(at(0))
		s.expired(at(0))
		again, err := s.MarshalBinary()
		if err != nil {
			t.Fatalf("what was parsed cannot be encoded: %v", err)
		}
		p, err := ParseSession(again)
		if err != nil {
			t.Fatalf("what was encoded cannot be parsed: %v", err)
		}
		if !reflect.DeepEqual(p, s) {
			t.Fatal("parsed again it differs")
		}
	})
}
