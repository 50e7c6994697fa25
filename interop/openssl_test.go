package interop

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

// sServer is an OpenSSL s_server in the lab. It prints what it receives, early data marked as such, and sends what it is given.
type sServer struct {
	t    *testing.T
	lab  *netlab.Lab
	cred *credentials
	*server
	input   io.WriteCloser
	printed string // by processes that were stopped
}

func startSServer(t *testing.T, lab *netlab.Lab, cred *credentials, ip string, args ...string) *sServer {
	t.Helper()
	need(t, "openssl")
	// It does not ask for Fast Open itself: 0x400 switches it on for all listeners.
	if err := lab.Server.Sysctl("net.ipv4.tcp_fastopen", fmt.Sprint(0x403)); err != nil {
		t.Fatal(err)
	}
	s := &sServer{t: t, lab: lab, cred: cred}
	s.start(ip, args...)
	return s
}

func (s *sServer) start(ip string, args ...string) {
	s.t.Helper()
	version := "-4"
	if strings.Contains(ip, ":") {
		version = "-6"
	}
	args = append([]string{"s_server", version, "-accept", port, "-cert", s.cred.cert, "-key", s.cred.key, "-early_data", "-alpn", "http/1.1"}, args...)
	in, out, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { out.Close() })
	s.input = out
	s.server = serve(s.t, s.lab, func(ctx context.Context) *exec.Cmd {
		cmd := s.lab.Server.Command(ctx, "openssl", args...)
		cmd.Stdin = in
		return cmd
	})
	in.Close()
}

func (s *sServer) restart(ip string, args ...string) {
	s.t.Helper()
	s.stop()
	s.input.Close()
	s.printed += s.output.String()
	s.start(ip, args...)
}

// get makes a request of the user and lets the server answer it, as soon as it has printed it.
func (s *sServer) get(u *user, way string) *exchange {
	s.t.Helper()
	path := u.next(way)
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		for range 1000 {
			if strings.Contains(s.output.String(), " "+path+" HTTP/1.1\r\nHost: "+serverName+"\r\n\r\n") {
				fmt.Fprintf(s.input, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	x := u.get(way)
	<-answered
	return x
}

// check stops the server and looks for every request in what it printed, once. (Early data is printed at once, what is said about it
// is buffered: their order means nothing.)
func (s *sServer) check(users ...*user) {
	s.t.Helper()
	s.stop()
	s.printed += s.output.String()
	verdicts := map[string]int{"Early data received:\n": 0, "Early data was rejected\n": 0, "No early data received\n": 0}
	sent := 0
	for _, u := range users {
		sent += len(u.sent)
		for _, a := range u.sent {
			if n := strings.Count(s.printed, a.order.request()); n != 1 {
				s.t.Errorf("%s was received %d times, want once", a.order.Path, n)
			}
			switch {
			case a.Early.Accepted:
				verdicts["Early data received:\n"]++
			case a.Early.Offered:
				verdicts["Early data was rejected\n"]++
			default:
				verdicts["No early data received\n"]++
			}
		}
	}
	for verdict, want := range verdicts {
		if n := strings.Count(s.printed, verdict); n != want {
			s.t.Errorf("s_server said %d times %q, want %d", n, verdict, want)
		}
	}
	if n := strings.Count(s.printed, "HTTP/1.1\r\n"); n != sent {
		s.t.Errorf("%d requests were received, %d were made", n, sent)
	}
	if s.t.Failed() {
		s.t.Logf("s_server printed:\n%s", s.printed)
	}
}

// TestSServer: s_server takes early data and then insists on the whole handshake before it says anything.
func TestSServer(t *testing.T) {
	versions(t, func(t *testing.T, lab *netlab.Lab, ip string) {
		s := startSServer(t, lab, newCredentials(t), ip)
		u := newUser(t, lab, ip, profile{CA: s.cred.ca})
		u.early = 2
		s.get(u, early).want(t, 3, false)
		for range 2 {
			s.get(u, early).wantEarly(t)
			s.get(u, dial).want(t, 2, true)
		}
		s.restart(ip)
		s.get(u, early).wantRejected(t, 2, false, "session not resumed")
		s.restart(ip, "-groups", "P-384")
		s.get(u, early).wantRejected(t, 3, false, "hello retry request")
		s.check(u)
	})
}

// TestSServerStateless: without protection against replays OpenSSL's tickets hold the whole session, with the client's certificate in it.
func TestSServerStateless(t *testing.T) {
	lab := startLab(t)
	ip := lab.Server.IPv4.String()
	cred := newCredentials(t)
	s := startSServer(t, lab, cred, ip, "-no_anti_replay", "-Verify", "1", "-CAfile", cred.ca, "-verify_return_error")

	small := newUser(t, lab, ip, profile{CA: cred.ca, Cert: cred.user, Key: cred.userKey})
	small.early = 2
	s.get(small, early).want(t, 3, false)
	s.get(small, early).wantEarly(t)

	big := newUser(t, lab, ip, profile{CA: cred.ca, Cert: cred.big, Key: cred.bigKey})
	s.get(big, early).want(t, 3, false)
	x := s.get(big, early)
	x.want(t, 3, true)
	if !x.Early.Accepted || x.Overflow == 0 {
		t.Errorf("early data %+v (%s), overflow %d; want it accepted although it did not fit", x.Early, x.EarlyReason, x.Overflow)
	}
	s.check(small, big)
}

// TestSServerTLS12: s_server without TLS 1.3.
func TestSServerTLS12(t *testing.T) {
	lab := startLab(t)
	ip := lab.Server.IPv4.String()
	s := startSServer(t, lab, newCredentials(t), ip, "-tls1_2")
	u := newUser(t, lab, ip, profile{CA: s.cred.ca})
	s.get(u, early).want(t, 6, false)
	s.get(u, early).want(t, 4, false)
	s.check(u)
}
