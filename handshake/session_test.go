package handshake

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func fullSession(t testing.TB) *Session {
	t.Helper()
	ca := newAuthority(t)
	cert := ca.issue(t, newKey(t, "ECDSA"), nil)
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	s := testSession(tls.TLS_AES_256_GCM_SHA384, 300)
	s.AgeAdd = 77
	s.PeerCertificates = []*x509.Certificate{leaf}
	s.VerifiedChains = [][]*x509.Certificate{{leaf, ca.cert}, {leaf, ca.cert, ca.cert}}
	s.OCSPResponse = []byte("response")
	s.SignedCertificateTimestamps = [][]byte{[]byte("one"), []byte("two")}
	s.HybridAt = testTime.Add(-time.Minute)
	s.ClientCertificate = ChainSum(cert.Certificate)
	return s
}

func TestSessionMarshal(t *testing.T) {
	for name, s := range map[string]*Session{
		"full": fullSession(t),
		"bare": {CipherSuite: tls.TLS_CHACHA20_POLY1305_SHA256, Secret: make([]byte, 32), Ticket: []byte{1}},
	} {
		data, err := s.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseSession(data)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []*time.Time{&got.ReceivedAt, &got.AuthenticatedAt, &got.HybridAt} {
			if !p.IsZero() {
				*p = p.UTC()
			}
		}
		if !reflect.DeepEqual(got, s) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, s)
		}
		for i := range data {
			if _, err := ParseSession(data[:i]); err == nil {
				t.Fatalf("%s: %d of %d bytes pass", name, i, len(data))
			}
		}
		if _, err := ParseSession(append(data, 0)); err == nil {
			t.Errorf("%s: a byte too much passes", name)
		}
		data[0]++
		if _, err := ParseSession(data); err == nil {
			t.Errorf("%s: another version passes", name)
		}
	}
}

func TestSessionUnusable(t *testing.T) {
	for name, change := range map[string]func(*Session){
		"suite":      func(s *Session) { s.CipherSuite = tls.TLS_RSA_WITH_AES_128_CBC_SHA },
		"secret":     func(s *Session) { s.Secret = s.Secret[:47] },
		"no ticket":  func(s *Session) { s.Ticket = nil },
		"big ticket": func(s *Session) { s.Ticket = make([]byte, maxTicketLen+1) },
	} {
		s := testSession(tls.TLS_AES_256_GCM_SHA384, 100)
		change(s)
		if _, err := s.MarshalBinary(); err == nil {
			t.Errorf("%s: marshalled", name)
		}
		if _, err := NewClient(&Config{ServerName: "x", Session: s}); err == nil {
			t.Errorf("%s: offered", name)
		}
	}
}

// What a caller, or a file, can put into a session is an error, not a panic,
// and a session does not show its secret.
func TestSessionOddities(t *testing.T) {
	s := fullSession(t)
	for name, change := range map[string]func(*Session){
		"a nil certificate":     func(s *Session) { s.PeerCertificates = append(s.PeerCertificates, nil) },
		"a nil one in a chain":  func(s *Session) { s.VerifiedChains = [][]*x509.Certificate{{nil}} },
		"a long protocol":       func(s *Session) { s.ALPN = strings.Repeat("x", 256) },
		"a long chain":          func(s *Session) { s.VerifiedChains[0] = slices.Repeat(s.PeerCertificates, 256) },
		"too many certificates": func(s *Session) { s.PeerCertificates = slices.Repeat(s.PeerCertificates, 256) },
	} {
		odd := *s
		odd.VerifiedChains = slices.Clone(s.VerifiedChains)
		change(&odd)
		if _, err := odd.MarshalBinary(); err == nil {
			t.Errorf("%s: marshalled", name)
		}
	}
	for _, age := range []time.Duration{math.MinInt64, -1, 0, math.MaxInt64} {
		mustClient(t, &Config{ServerName: "x", Session: s, TicketAge: age, EarlyData: true})
	}
	secret := fmt.Sprintf("%x", s.Secret)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if out := fmt.Sprintf(verb, s); strings.Contains(out, secret) || strings.Contains(out, fmt.Sprint(s.Secret)) {
			t.Errorf("%s prints the secret: %s", verb, out)
		}
	}
}

// The largest ticket still fits a hello, with every hybrid share beside it.
func TestLargestTicket(t *testing.T) {
	groups := []tls.CurveID{tls.X25519MLKEM768, tls.SecP384r1MLKEM1024, tls.X25519}
	mustClient(t, &Config{ServerName: "example.com", Groups: groups, KeyShares: groups, Session: testSession(tls.TLS_AES_256_GCM_SHA384, maxTicketLen)})
}

func TestCertificateCache(t *testing.T) {
	der := fullSession(t).PeerCertificates[0].Raw
	cache := new(CertificateCache)
	a, err := cache.parse(der)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := cache.parse(bytes.Clone(der))
	if a != b {
		t.Error("parsed twice")
	}
	if _, err := cache.parse([]byte("no certificate")); err == nil {
		t.Error("nonsense was parsed")
	}
	runtime.KeepAlive(a)
	a, b = nil, nil
	for range 100 { // cleanups run some time after a collection
		runtime.GC()
		if cache.load(der) == nil {
			return
		}
	}
	t.Error("the cache keeps certificates alive")
}

func FuzzParseSession(f *testing.F) {
	data, _ := fullSession(f).MarshalBinary()
	f.Add(data)
	data, _ = testSession(tls.TLS_AES_128_GCM_SHA256, 10).MarshalBinary()
	f.Add(data)
	for _, change := range []func(*Session){
		func(s *Session) { s.HasApplicationSettings = true },
		func(s *Session) {
			s.HasApplicationSettings, s.ApplicationSettings, s.RecordLimit = true, []byte("settings"), 600
		},
		func(s *Session) { s.CredentialExpiry = testTime },
	} {
		long := testSession(tls.TLS_AES_128_GCM_SHA256, 10)
		change(long)
		data, _ = long.MarshalBinary()
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ParseSession(data)
		if err != nil {
			return
		}
		again, err := s.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		second, err := ParseSession(again)
		if err != nil || !reflect.DeepEqual(s, second) {
			t.Fatalf("%v\n%+v\n%+v", err, s, second)
		}
	})
}
