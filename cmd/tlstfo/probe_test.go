package main

import (
	"crypto/tls"
	"encoding/json"
	"flag"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/tlstfo/tlstfo/internal/testpeer"
)

// probeOf runs a probe, and returns its findings and what it says.
func probeOf(t *testing.T, args ...string) (f findings, words string) {
	t.Helper()
	args = append([]string{"probe"}, args...)
	dec := json.NewDecoder(strings.NewReader(mustRun(t, append(args, "-json")...)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		t.Fatal(err)
	}
	return f, mustRun(t, args...)
}

// wantWords checks a report in words.
func wantWords(t *testing.T, words string, want ...string) {
	t.Helper()
	flat := strings.Join(strings.Fields(words), " ")
	for _, w := range want {
		if !strings.Contains(flat, w) {
			t.Errorf("the report lacks %q:\n%s", w, words)
		}
	}
}

// withoutFastOpen is what a probe can say where nobody gives a cookie, as on
// loopback here: all else is as it would be.
func withoutFastOpen(t *testing.T, f findings) {
	t.Helper()
	if f.TFO.Cookie != cookieNone && f.TFO.Cookie != isUnknown || f.TFO.SynData == synAccepted || f.TFO.SynBytes != 0 {
		t.Errorf("TCP Fast Open: %+v", f.TFO)
	}
}

func TestProbeEarly(t *testing.T) {
	s := newEarlyServer(t, nil)
	f, words := probeOf(t, "-cacert", s.file, "-connect", s.addr, "server.test")
	withoutFastOpen(t, f)
	if f.Server != "server.test:443" || f.Address != s.addr || f.RTT <= 0 {
		t.Errorf("%+v", f)
	}
	if want := (foundTLS{Version: "TLS 1.3", CipherSuite: f.TLS.CipherSuite, Group: "X25519MLKEM768", GroupAgain: f.TLS.GroupAgain, Engine: engineOwn}); f.TLS != want {
		t.Errorf("%+v, want %+v", f.TLS, want)
	}
	if f.Tickets.Count < 1 || f.Tickets.Lifetime < 60 || f.Tickets.EarlyLimit != 16<<10 || !f.Tickets.Resumed {
		t.Errorf("%+v", f.Tickets)
	}
	if !f.Early.Offered || !f.Early.Accepted || f.Early.Bytes == 0 || f.HTTP != (foundHTTP{Status: 200}) {
		t.Errorf("%+v, %+v", f.Early, f.HTTP)
	}
	if f.RoundTrips != (fourInts{3, 3, 3, 2}) || f.FirstByte.TlstfoAgain <= 0 || f.FirstByte.NetHTTPFirst <= 0 {
		t.Errorf("%+v, %+v", f.RoundTrips, f.FirstByte)
	}
	if len(f.Obstacles) != 1 {
		t.Errorf("%q", f.Obstacles)
	}
	wantWords(t, words, "TLS 1.3", "of at most 16384", "valid for 7 days", "accepted on return", "no: the early request was answered", "net/http 3 (", "What stands in the way")
	// Each probe: three requests after the handshake and one in early data, all harmless.
	early := 0
	for i, r := range s.take() {
		if r.method != http.MethodHead {
			t.Errorf("a %s request", r.method)
		}
		if r.any {
			early++
			if i%4 != 3 {
				t.Errorf("request %d was early", i)
			}
		}
	}
	if early != 2 {
		t.Errorf("%d early requests in two probes", early)
	}
}

func TestProbeTooEarly(t *testing.T) {
	s := newEarlyServer(t, func(_ *http.Request, r seen) string {
		if r.any {
			return "HTTP/1.1 425 Too Early\r\nContent-Length: 0\r\n\r\n"
		}
		return "HTTP/1.1 204 No Content\r\n\r\n"
	})
	f, words := probeOf(t, "-cacert", s.file, "-connect", s.addr, "server.test")
	if !f.Early.Accepted || !f.HTTP.TooEarly || f.HTTP.Status != 425 || f.RoundTrips.TlstfoAgain != 3 {
		t.Errorf("%+v", f)
	}
	wantWords(t, words, "yes: the early request was answered 425", "425 Too Early: they cost one more round trip")
}

func TestProbeRefusals(t *testing.T) {
	for _, test := range []struct {
		name              string
		knobs             testpeer.Knobs
		accepted, resumed bool
		trips             fourInts
		want              string
	}{
		{"early data refused", testpeer.Knobs{RefuseEarlyData: true}, false, true, fourInts{3, 3, 3, 3}, "Early data was not accepted"},
		{"nothing resumed", testpeer.Knobs{RefusePSK: true}, false, false, fourInts{3, 3, 3, 3}, "Early data was not accepted"},
		{"second hello", testpeer.Knobs{ForceRetry: true}, true, true, fourInts{4, 4, 4, 2}, "after a second hello"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newEarlyServer(t, nil)
			s.Set(test.knobs)
			f, words := probeOf(t, "-cacert", s.file, "-connect", s.addr, "server.test")
			if f.Early.Accepted != test.accepted || f.Tickets.Resumed != test.resumed || f.RoundTrips != test.trips {
				t.Errorf("%+v", f)
			}
			wantWords(t, words, test.want)
		})
	}
}

func TestProbeStandardServer(t *testing.T) {
	s := newServer(t, echo, nil)
	f, words := probeOf(t, "-cacert", s.file, "-connect", s.addr, "server.test:8443")
	withoutFastOpen(t, f)
	if f.Server != "server.test:8443" || f.TLS.Version != "TLS 1.3" || f.TLS.ALPN != "http/1.1" || f.TLS.Engine != engineOwn {
		t.Errorf("%+v", f)
	}
	if f.Tickets.Count < 1 || f.Tickets.EarlyLimit != 0 || !f.Tickets.Resumed || f.Early.Offered || f.RoundTrips != (fourInts{3, 3, 3, 3}) {
		t.Errorf("%+v", f)
	}
	wantWords(t, words, "The server's tickets allow no early data", "not known: no request was early")
}

func TestProbeNoTickets(t *testing.T) {
	s := newServer(t, echo, func(_ *authority, s *httptest.Server) { s.TLS.SessionTicketsDisabled = true })
	f, words := probeOf(t, "-cacert", s.file, "-connect", s.addr, "server.test")
	if f.Tickets != (foundTickets{}) {
		t.Errorf("%+v", f.Tickets)
	}
	wantWords(t, words, "The server gave no ticket", "tickets none")
}

func TestProbeTLS12(t *testing.T) {
	s := newServer(t, echo, func(_ *authority, s *httptest.Server) { s.TLS.MaxVersion = tls.VersionTLS12 })
	f, words := probeOf(t, "-cacert", s.file, "-connect", s.addr, "server.test")
	if f.TLS.Version != "TLS 1.2" || f.TLS.Engine != engineStd || f.Tickets.Count != ticketsHidden || f.RoundTrips.NetHTTPFirst != 4 || f.RoundTrips.TlstfoAgain != 3 {
		t.Errorf("%+v", f)
	}
	wantWords(t, words, "The server speaks TLS 1.2: early data needs TLS 1.3", "not known: crypto/tls does not show them")
}

// A server that speaks TLS and no HTTP is told from one that speaks neither.
func TestProbeNoHTTP(t *testing.T) {
	a := newAuthority(t)
	server, err := testpeer.New(a.issue(t))
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(ln, func(conn *testpeer.ServerConn) {
		io.WriteString(conn, "220 hello\r\n")
		io.Copy(io.Discard, conn)
	}, nil)
	t.Cleanup(func() { server.Close() })
	f, words := probeOf(t, "-cacert", a.file, "-connect", ln.Addr().String(), "server.test")
	if f.HTTP.Problem == "" || f.HTTP.Status != 0 || f.Early.Offered || f.RoundTrips != (fourInts{}) || f.TLS.Version != "TLS 1.3" || f.Tickets.Count < 1 || !f.Tickets.Resumed {
		t.Errorf("%+v", f)
	}
	wantWords(t, words, "no HTTP/1.1 response", "was not tried")
}

func TestProbeFailures(t *testing.T) {
	s := newServer(t, echo, nil)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	garbage := answering(t, "SSH-2.0-nothing\r\n")
	silent := answering(t, "")
	for _, test := range []struct {
		name string
		args []string
		want []string
	}{
		{"closed port", []string{"-connect", closed.Addr().String()}, []string{"no connection", "refused"}},
		{"no TLS", []string{"-connect", garbage}, []string{garbage, "TLS"}},
		{"no answer", []string{"-connect", silent, "-timeout", "300ms"}, []string{"300ms"}},
		{"not trusted", []string{"-connect", s.addr}, []string{s.addr, "certificate"}},
		{"another name", []string{"-connect", s.addr, "-cacert", s.file, "-servername", "other.test"}, []string{"other.test"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := append([]string{"probe", "server.test"}, test.args...)
			mustFail(t, exitFailure, test.want, args...)
			r := runCommand(t, append(args, "-json")...)
			var f findings
			if err := json.Unmarshal([]byte(r.out), &f); err != nil || r.code != exitFailure || f.Error == "" || f.Obstacles == nil {
				t.Errorf("%v: %+v", err, r)
			}
		})
	}
}

// answering is the address of a server that says something to everybody.
func answering(t *testing.T, what string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, what)
			go func() {
				defer conn.Close()
				io.Copy(io.Discard, conn)
			}()
		}
	}()
	return ln.Addr().String()
}

func TestProbeUsage(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"", "host is missing"}, {"a b", "one host"}, {"https://a/", "no URL"}, {"-timeout -1s a", "-timeout"}, {"-connect a b", "HOST:PORT"},
		{"a:b:c", "HOST:PORT"}, {":443", "host is missing"}, {"-nonsense a", "-nonsense"},
	} {
		mustFail(t, exitUsage, []string{test.want, "tlstfo probe -h"}, append([]string{"probe"}, strings.Fields(test.args)...)...)
	}
	for _, test := range []struct{ arg, server, host string }{
		{"a", "a:443", "a"}, {"a:1", "a:1", "a"}, {"::1", "[::1]:443", "::1"}, {"[::1]:2", "[::1]:2", "::1"}, {"[::1]", "[::1]:443", "::1"},
	} {
		var o probeOptions
		if err := o.parse([]string{test.arg}); err != nil || o.server != test.server || o.host != test.host {
			t.Errorf("%s: %q, %q, %v", test.arg, o.server, o.host, err)
		}
	}
	out := mustRun(t, "probe", "-h")
	new(probeOptions).flags().VisitAll(func(f *flag.Flag) {
		if !strings.Contains(out, "\n  -"+f.Name+" ") && !strings.Contains(out, "\n  -"+f.Name+"\n") {
			t.Errorf("the help lacks -%s", f.Name)
		}
	})
	members(t, out, reflect.TypeFor[findings]())
}

// members checks that a help text names all members of a JSON object.
func members(t *testing.T, help string, object reflect.Type) {
	t.Helper()
	for i := range object.NumField() {
		name := object.Field(i).Tag.Get("json")
		if !strings.Contains(help, name) {
			t.Errorf("the help lacks the member %s", name)
		}
		if object.Field(i).Type.Kind() == reflect.Struct {
			members(t, help, object.Field(i).Type)
		}
	}
}
