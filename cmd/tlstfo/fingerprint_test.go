package main

import (
	"crypto/tls"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// -fingerprint sends the hello of a browser, whose groups and suites the server sees.
func TestGetFingerprint(t *testing.T) {
	hellos := make(chan *tls.ClientHelloInfo, 10)
	s := newServer(t, echo, func(_ *authority, s *httptest.Server) {
		s.TLS.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) { hellos <- h; return nil, nil }
	})
	for name, suites := range map[string]int{"chrome": 16, "firefox": 17, "safari": 21, "edge": 16, "ios": 27} {
		if got := mustRun(t, s.args("-fingerprint", name, "https://server.test/")...); !strings.HasPrefix(got, "GET / ") {
			t.Errorf("%s: %q", name, got)
		}
		h := <-hellos
		if name != "ios" && name != "safari" && slices.Contains(h.SupportedCurves, tls.X25519MLKEM768) != (name == "chrome") || h.ServerName != "server.test" {
			t.Errorf("%s: %+v", name, h)
		}
		if len(h.CipherSuites) != suites {
			t.Errorf("%s: %d suites, want %d", name, len(h.CipherSuites), suites)
		}
	}
	if r := runCommand(t, s.args("-fingerprint", "netscape", "https://server.test/")...); r.code != exitUsage || !strings.Contains(r.err, "chrome-120") {
		t.Errorf("code %d, %q", r.code, r.err)
	}
}

// A folder of sessions may serve several fingerprints: each resumes its own only, and a randomized one, which every run draws
// anew, those of its run.
func TestGetFingerprintSessions(t *testing.T) {
	s := newEarlyServer(t, nil)
	dir := filepath.Join(t.TempDir(), "sessions")
	for _, step := range []struct {
		fingerprint string
		resumed     bool
	}{{"firefox", false}, {"firefox", true}, {"chrome", false}, {"", false}, {"chrome", true}, {"", true}, {"randomized", false}, {"randomized", false}} {
		if r := s.get(t, dir, "-fingerprint", step.fingerprint); r.Resumed != step.resumed || r.Early.Accepted != step.resumed {
			t.Errorf("%q: resumed %v, early data %+v", step.fingerprint, r.Resumed, r.Early)
		}
	}
}
