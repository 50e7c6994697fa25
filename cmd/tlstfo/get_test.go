package main

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
)

func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }

// echo answers with what it got.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s %s host=%s sni=%s body=%s\n", r.Method, r.RequestURI, r.Host, r.TLS.ServerName, body)
}

func TestGetBody(t *testing.T) {
	s := newServer(t, echo, nil)
	for _, tt := range []struct {
		args []string
		want string
	}{
		{s.args("https://server.test/a?b=c#d"), "GET /a?b=c host=server.test sni=server.test body=\n"},
		{s.args("https://server.test/", "-early", "never", "-tfo", "never"), "GET / host=server.test sni=server.test body=\n"},
		{s.args("-n", "3", "https://server.test/"), strings.Repeat("GET / host=server.test sni=server.test body=\n", 3)},
		{s.args("-X", "DELETE", "https://server.test/x"), "DELETE /x host=server.test sni=server.test body=\n"},
		{s.args("-d", "a=1", "-d", "b=2", "https://server.test"), "POST / host=server.test sni=server.test body=a=1&b=2\n"},
		{s.args("-X", "GET", "-d", "a=1", "https://server.test"), "GET / host=server.test sni=server.test body=a=1\n"},
		{s.args("-H", "host: other.test", "https://server.test"), "GET / host=other.test sni=server.test body=\n"},
		{s.args("-servername", "server.test", "https://other.test"), "GET / host=other.test sni=server.test body=\n"},
		{s.args("-X", "HEAD", "https://server.test/x"), ""},
		{[]string{"get", "-cacert", s.file, s.URL}, "GET / host=" + s.addr + " sni= body=\n"},
	} {
		if got := mustRun(t, tt.args...); got != tt.want {
			t.Errorf("tlstfo %q: %q, want %q", tt.args, got, tt.want)
		}
	}
}

// The response counts, whatever its status; interim ones do not.
func TestGetStatus(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusProcessing)
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, "nothing here")
	}, nil)
	if got := mustRun(t, s.args("https://server.test/")...); got != "nothing here" {
		t.Errorf("body %q", got)
	}
	if r := lines(t, mustRun(t, s.args("-json", "https://server.test/")...))[0]; r.Status != 404 {
		t.Errorf("status %d", r.Status)
	}
}

// lines parses what -json printed.
func lines(t *testing.T, out string) []report {
	t.Helper()
	var reports []report
	for line := range strings.Lines(out) {
		var r report
		dec := json.NewDecoder(strings.NewReader(line))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&r); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		reports = append(reports, r)
	}
	return reports
}

// The object is for programs: its members and their order stay.
func TestGetJSON(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") }, nil)
	got := mustRun(t, s.args("-json", "-tfo", "never", "-n", "2", "https://server.test/")...)
	got = strings.ReplaceAll(got, s.addr, "ADDR")
	got = regexp.MustCompile(`("(?:dns|connect|first_byte|total)"):[0-9.]+`).ReplaceAllString(got, "$1:MS")
	first := `{"n":1,"status":200,"proto":"HTTP/1.1","body_bytes":5,"body_sha256":"` + fmt.Sprintf("%x", sha256.Sum256([]byte("hello"))) +
		`","tls":"TLS 1.3","alpn":"http/1.1","resumed":false,"early":{"offered":false,"accepted":false,"bytes":0,"reason":"not asked"},` +
		`"tfo":{"way":"plain","cookie":"none","syn_bytes":0,"syn_acked":false,"why":"disabled"},` +
		`"ms":{"dns":MS,"connect":MS,"first_byte":MS,"total":MS},"remote":"ADDR","error":""}` + "\n"
	second := strings.NewReplacer(`"n":1`, `"n":2`, `"resumed":false`, `"resumed":true`, "not asked", "unsupported for session").Replace(first)
	if got != first+second {
		t.Errorf("got\n%swant\n%s", got, first+second)
	}
}

// A failed request has its object, too, and does not stop the others.
func TestGetJSONError(t *testing.T) {
	var count atomic.Int32
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if count.Add(1) == 2 {
			panic(http.ErrAbortHandler)
		}
	}, nil)
	r := runCommand(t, s.args("-json", "-n", "3", "-early", "never", "https://server.test/")...)
	if r.code != exitFailure || !strings.Contains(r.err, "closed the connection before it answered") {
		t.Errorf("exit code %d, stderr %q", r.code, r.err)
	}
	for i, rep := range lines(t, r.out) {
		if failed := rep.Error != ""; failed != (i == 1) || (rep.Status == 200) == failed || rep.N != i+1 || rep.TLS != "TLS 1.3" {
			t.Errorf("object %d: %+v", i+1, rep)
		}
	}
}

// Times add up: DNS, connect and the first byte come one after the other.
func TestGetTimes(t *testing.T) {
	s := newServer(t, echo, nil)
	for _, r := range lines(t, mustRun(t, s.args("-json", "-n", "2", "https://server.test/")...)) {
		ms := r.MS
		if ms.DNS < 0 || ms.Connect <= 0 || ms.FirstByte < ms.Connect || ms.Total < ms.DNS+ms.FirstByte-0.002 {
			t.Errorf("request %d: %+v", r.N, ms)
		}
	}
}

// -http says which protocols are spoken.
func TestGetHTTP(t *testing.T) {
	h2 := newServer(t, echo, func(_ *authority, s *httptest.Server) { s.EnableHTTP2 = true })
	h1 := newServer(t, echo, nil)
	for _, tt := range []struct {
		server            *server
		http, proto, alpn string
	}{
		{h2, "auto", "HTTP/2.0", "h2"}, {h2, "1.1", "HTTP/1.1", ""}, {h2, "2", "HTTP/2.0", "h2"},
		{h1, "auto", "HTTP/1.1", "http/1.1"}, {h1, "1.1", "HTTP/1.1", "http/1.1"},
	} {
		for _, r := range lines(t, mustRun(t, tt.server.args("-json", "-n", "2", "-http", tt.http, "https://server.test/")...)) {
			if r.Proto != tt.proto || r.ALPN != tt.alpn || r.Status != 200 || r.Resumed != (r.N > 1) || r.MS.FirstByte <= 0 {
				t.Errorf("-http %s: %+v", tt.http, r)
			}
		}
	}
	want := "POST /a host=server.test sni=server.test body=x=y\n"
	if got := mustRun(t, h2.args("-d", "x=y", "https://server.test/a")...); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	mustFail(t, exitFailure, []string{"no application protocol"}, h1.args("-http", "2", "https://server.test/")...)
}

// The tickets of one run are there for the next.
func TestGetSessions(t *testing.T) {
	s := newServer(t, echo, nil)
	dir := filepath.Join(t.TempDir(), "sessions")
	for run := range 3 {
		for _, r := range lines(t, mustRun(t, s.args("-sessions", dir, "-json", "-n", "2", "https://server.test/")...)) {
			if want := run > 0 || r.N > 1; r.Resumed != want {
				t.Errorf("run %d, request %d: resumed %v, want %v", run, r.N, r.Resumed, want)
			}
		}
	}
}

func TestGetClientCertificate(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.TLS.PeerCertificates[0].Subject.CommonName)
	}, func(a *authority, s *httptest.Server) {
		s.TLS.ClientAuth = tls.RequireAndVerifyClientCert
		s.TLS.ClientCAs = x509.NewCertPool()
		s.TLS.ClientCAs.AddCert(a.certificate)
	})
	client := s.issue(t)
	key, err := x509.MarshalPKCS8PrivateKey(client.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile, bothFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "both.pem")
	writePEM(t, certFile, "CERTIFICATE", client.Certificate[0])
	writePEM(t, keyFile, "PRIVATE KEY", key)
	writePEM(t, bothFile, "CERTIFICATE", client.Certificate[0])
	writePEM(t, bothFile, "PRIVATE KEY", key)

	for _, args := range [][]string{{"-cert", certFile, "-key", keyFile}, {"-cert", bothFile}} {
		if got := mustRun(t, append(s.args("https://server.test/"), args...)...); got != testName {
			t.Errorf("%q: the server saw %q", args, got)
		}
	}
	mustFail(t, exitFailure, []string{"certificate required"}, s.args("https://server.test/")...)
	mustFail(t, exitFailure, []string{"client certificate", keyFile}, s.args("-cert", keyFile, "https://server.test/")...)
}

// A server without TLS 1.3 is served all the same.
func TestGetTLS12(t *testing.T) {
	s := newServer(t, echo, func(_ *authority, s *httptest.Server) { s.TLS.MaxVersion = tls.VersionTLS12 })
	r := lines(t, mustRun(t, s.args("-json", "https://server.test/")...))[0]
	if r.TLS != "TLS 1.2" || r.Status != 200 || r.Early.Offered {
		t.Errorf("%+v", r)
	}
}

// A server may answer before it has read all of the request, and never read the rest.
func TestGetAnswerBeforeBody(t *testing.T) {
	a := newAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{a.issue(t)}}
	addr := peer(t, func(conn net.Conn) {
		tlsConn := tls.Server(conn, config)
		tlsConn.Read(make([]byte, 1)) // an answer before the first byte is none to net/http
		io.WriteString(tlsConn, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 7\r\n\r\ntoo big")
		<-t.Context().Done()
	})
	file := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(file, make([]byte, 16<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	got := mustRun(t, "get", "-cacert", a.file, "-connect", addr, "-d", "@"+file, "https://server.test/")
	if got != "too big" {
		t.Errorf("body %q", got)
	}
}
