package main

import (
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/internal/testpeer"
)

// From the second request on each has a ticket, over several runs, and rides in
// early data as a whole.
func TestGetEarly(t *testing.T) {
	s := newEarlyServer(t, nil)
	dir := filepath.Join(t.TempDir(), "sessions")
	for run := range 2 {
		for _, r := range lines(t, mustRun(t, s.args(dir, "-json", "-n", "4")...)) {
			warm := run > 0 || r.N > 1
			wire := len("GET / HTTP/1.1\r\nHost: server.test\r\nUser-Agent: " + userAgent + "\r\n\r\n")
			want := earlyReport{Reason: "not asked"}
			if warm {
				want = earlyReport{Offered: true, Accepted: true, Bytes: wire, Reason: "accepted"}
			}
			if r.Early != want || r.Resumed != warm || r.Status != 200 || r.BodyBytes != 2 {
				t.Errorf("run %d: %+v", run, r)
			}
		}
		for i, r := range s.take() {
			if warm := run > 0 || i > 0; r.early != warm || r.any != warm {
				t.Errorf("run %d, request %d at the server: %+v", run, i+1, r)
			}
		}
	}
	for _, method := range []string{"HEAD", "OPTIONS", "TRACE"} {
		if r := s.get(t, dir, "-X", method); !r.Early.Accepted {
			t.Errorf("%s: %+v", method, r)
		}
		if got := s.take(); len(got) != 1 || !got[0].early || got[0].method != method {
			t.Errorf("%s at the server: %+v", method, got)
		}
	}
}

// RFC 8470, section 2.1; RFC 9110, section 9.2.1: only safe requests are ever
// early. There is a ticket each time, so that it is not for the lack of one.
func TestGetNeverEarly(t *testing.T) {
	s := newEarlyServer(t, nil)
	dir := s.warm(t)
	for _, args := range [][]string{
		{"-X", "POST"},
		{"-d", "x=y"},
		{"-X", "PUT", "-d", "x=y"},
		{"-X", "PATCH", "-d", "x=y"},
		{"-X", "DELETE"},
		{"-X", "GET", "-d", "x=y"},
		{"-X", "GET", "-d", ""},
		{"-X", "HEAD", "-d", "x=y"},
		{"-X", "get"},
		{"-X", "PURGE"},
		{"-H", "Expect: 100-continue"},
		{"-H", "Upgrade: x", "-H", "Connection: Upgrade"},
		{"-early", "never"},
	} {
		r := s.get(t, dir, args...)
		upgrade := slices.Contains(args, "Upgrade: x") // a ticket from a connection that may be HTTP/2 is not for it
		if !r.Resumed && !upgrade || r.Early != (earlyReport{Reason: "not asked"}) {
			t.Errorf("%q: %+v", args, r)
		}
		if got := s.take(); len(got) != 1 || got[0].any {
			t.Errorf("%q at the server: %+v", args, got)
		}
		if again := s.get(t, dir); !again.Early.Accepted {
			t.Errorf("a GET after %q: %+v", args, again)
		}
		s.take()
	}
}

// What the server refuses early goes again after the handshake, once.
func TestGetEarlyRejected(t *testing.T) {
	s := newEarlyServer(t, nil)
	for _, tt := range []struct {
		name   string
		knobs  testpeer.Knobs
		reason string
	}{
		{"early data refused", testpeer.Knobs{RefuseEarlyData: true}, "peer declined"},
		{"hello retry request", testpeer.Knobs{ForceRetry: true}, "hello retry request"},
	} {
		dir := s.warm(t)
		s.Set(tt.knobs)
		if r := s.get(t, dir); !r.Early.Offered || r.Early.Accepted || r.Early.Reason != tt.reason || r.Status != 200 {
			t.Errorf("%s: %+v", tt.name, r)
		}
		if got := s.take(); len(got) != 1 || got[0].any {
			t.Errorf("%s, at the server: %+v", tt.name, got)
		}
		s.Set(testpeer.Knobs{})
	}

	dir := s.warm(t)
	if err := s.RotateTicketKeys(0); err != nil {
		t.Fatal(err)
	}
	if r := s.get(t, dir); r.Resumed || r.Early.Accepted || r.Status != 200 {
		t.Errorf("new ticket keys: %+v", r)
	}
	if got := s.take(); len(got) != 1 || got[0].any {
		t.Errorf("new ticket keys, at the server: %+v", got)
	}
}

// RFC 8470, section 5.2: 425 asks for the request again, not early. Only the
// second response is shown.
func TestGetTooEarly(t *testing.T) {
	const tooEarly = "HTTP/1.1 425 Too Early\r\nContent-Length: 9\r\n"
	for _, tt := range []struct {
		name, response string
		conns          []int // of the requests that the server sees
	}{
		{"connection kept", tooEarly + "\r\ntoo early", []int{2, 2}},
		{"connection closed", tooEarly + "Connection: close\r\n\r\ntoo early", []int{2, 3}},
	} {
		s := newEarlyServer(t, func(_ *http.Request, r seen) string {
			if r.any {
				return tt.response
			}
			return okResponse
		})
		dir := s.warm(t)
		if got := mustRun(t, s.args(dir)...); got != "ok" {
			t.Errorf("%s: body %q", tt.name, got)
		}
		var conns []int
		for i, r := range s.take() {
			conns = append(conns, r.conn)
			if early := i == 0; r.early != early || r.any != early {
				t.Errorf("%s, request %d at the server: %+v", tt.name, i+1, r)
			}
		}
		if !slices.Equal(conns, tt.conns) {
			t.Errorf("%s: requests on connections %v, want %v", tt.name, conns, tt.conns)
		}
	}
}

// A 425 to what was not early is a response like any other, and so is a second
// one.
func TestGetTooEarlyAlways(t *testing.T) {
	s := newEarlyServer(t, func(*http.Request, seen) string {
		return "HTTP/1.1 425 Too Early\r\nContent-Length: 9\r\n\r\ntoo early"
	})
	dir := filepath.Join(t.TempDir(), "sessions")
	for run, requests := range []int{1, 2} {
		if r := s.get(t, dir); r.Status != http.StatusTooEarly || r.BodyBytes != 9 {
			t.Errorf("run %d: %+v", run, r)
		}
		if got := s.take(); len(got) != requests {
			t.Errorf("run %d: the server saw %+v, want %d requests", run, got, requests)
		}
	}
}

// A server that took the early data and then broke off may have acted on it:
// the command does not ask again.
func TestGetEarlyBroken(t *testing.T) {
	s := newEarlyServer(t, func(req *http.Request, r seen) string {
		if r.any {
			return ""
		}
		return okResponse
	})
	dir := s.warm(t)
	mustFail(t, exitFailure, []string{s.addr}, s.args(dir)...)
	if got := s.take(); len(got) != 1 || !got[0].early {
		t.Errorf("the server saw %+v", got)
	}
}

// Early data that a server never answers ends with the time that was given.
func TestGetEarlyTimeout(t *testing.T) {
	stop := make(chan struct{})
	s := newEarlyServer(t, func(_ *http.Request, r seen) string {
		if r.any {
			<-stop
		}
		return okResponse
	})
	t.Cleanup(func() { close(stop) })
	var got []seen
	for limit := 300 * time.Millisecond; len(got) == 0 && limit < 30*time.Second; limit *= 3 { // a busy machine takes longer to get there
		mustFail(t, exitFailure, []string{"within " + limit.String()}, s.args(s.warm(t), "-timeout", limit.String())...)
		got = s.take()
	}
	if len(got) != 1 || !got[0].early {
		t.Errorf("the server saw %+v", got)
	}
}
