package main

import (
	"flag"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestUsage(t *testing.T) {
	const url = "https://server.test/"
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"nonsense"}, "nonsense"},
		{[]string{"get"}, "URL is missing"},
		{[]string{"get", url, "https://other.test/"}, "one URL"},
		{[]string{"get", "-nonsense", url}, "-nonsense"},
		{[]string{"get", "-n", "0", url}, "-n"},
		{[]string{"get", "-n", "x", url}, "-n"},
		{[]string{"get", "-early", "always", url}, "-early is auto or never"},
		{[]string{"get", "-tfo", "always", url}, "-tfo is auto or never"},
		{[]string{"get", "-http", "3", url}, "-http"},
		{[]string{"get", "-timeout", "-1s", url}, "-timeout"},
		{[]string{"get", "-wait", "5", url}, "-wait"},
		{[]string{"get", "-key", "x", url}, "-cert"},
		{[]string{"get", "-connect", "server.test", url}, "HOST:PORT"},
		{[]string{"get", "-H", "no colon", url}, "no colon"},
		{[]string{"get", "-H", "two words: x", url}, "two words"},
		{[]string{"get", "-H", "a: b\nc: d", url}, `a: b\nc: d`},
		{[]string{"get", "-H", "content-length: 5", url}, "Content-Length"},
		{[]string{"get", "-H", "Host:", url}, "host"},
		{[]string{"get", "-X", "TWO WORDS", url}, "TWO WORDS"},
		{[]string{"get", "-X", "CONNECT", url}, "CONNECT"},
		{[]string{"get", "http://server.test/"}, "use https://"},
		{[]string{"get", "server.test"}, "https://"},
		{[]string{"get", "ftp://server.test/"}, "https://"},
		{[]string{"get", "https:///x"}, "host"},
		{[]string{"get", "https://:443/"}, "host"},
		{[]string{"get", "https://sérver.test/"}, "xn--"},
	} {
		mustFail(t, exitUsage, []string{tt.want, "-h"}, tt.args...)
	}
	if r := runCommand(t); r.code != exitUsage || !strings.Contains(r.err, "usage: tlstfo") {
		t.Errorf("without arguments: %+v", r)
	}
	r := runCommand(t, "get", "https://user:secret@server.test:x/")
	if r.code != exitUsage || strings.Contains(r.err, "secret") {
		t.Errorf("a wrong URL with a password: %+v", r)
	}
}

func TestHelp(t *testing.T) {
	out := mustRun(t, "-h")
	for _, want := range []string{"  get ", "  probe ", "  demo ", "exit code"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q lacks %q", out, want)
		}
	}
	out = mustRun(t, "get", "-h")
	for _, name := range flagNames() {
		if !strings.Contains(out, "\n  -"+name+" ") {
			t.Errorf("the help lacks -%s", name)
		}
	}
}

func TestGetFailures(t *testing.T) {
	s := newServer(t, echo, nil)
	missing := filepath.Join(t.TempDir(), "missing")
	notPEM := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(notPEM, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, early := range []string{"auto", "never"} {
		for _, tt := range []struct {
			name string
			args []string
			want []string
		}{
			{"wrong name", s.args("https://other.test/"), []string{"x509", "other.test", testName}},
			{"wrong -servername", s.args("-servername", "other.test", "https://server.test/"), []string{"x509", "other.test"}},
			{"untrusted chain", []string{"get", "-connect", s.addr, "https://server.test/"}, []string{"x509", "unknown authority"}},
			{"refused port", []string{"get", "-connect", closedPort(t), "https://server.test/"}, []string{"refused"}},
			{"no such file of -cacert", s.args("-cacert", missing, "https://server.test/"), []string{missing}},
			{"no PEM in -cacert", s.args("-cacert", notPEM, "https://server.test/"), []string{notPEM, "no PEM certificate"}},
			{"no such file of -d", s.args("-d", "@"+missing, "https://server.test/"), []string{"request body", missing}},
			{"-sessions is a file", s.args("-sessions", notPEM, "https://server.test/"), []string{"sessions", notPEM}},
		} {
			t.Run(tt.name+", early "+early, func(t *testing.T) {
				mustFail(t, exitFailure, tt.want, append(tt.args, "-early", early)...)
			})
		}
	}
}

func TestGetSessionFolderOpenToOthers(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no modes on Windows")
	}
	s := newServer(t, echo, nil)
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	mustFail(t, exitFailure, []string{dir, "open to other users"}, s.args("-sessions", dir, "https://server.test/")...)
}

// closedPort is an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// peer accepts TCP connections and hands them to handle.
func peer(t *testing.T, handle func(net.Conn)) string {
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
			go func() {
				defer conn.Close()
				handle(conn)
			}()
		}
	}()
	return ln.Addr().String()
}

func silent(conn net.Conn) { io.Copy(io.Discard, conn) }

func TestGetTimeout(t *testing.T) {
	addr := peer(t, silent)
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			io.WriteString(w, "some")
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
	}, nil)
	for _, early := range []string{"auto", "never"} {
		mustFail(t, exitFailure, []string{"within 200ms"}, "get", "-timeout", "200ms", "-early", early, "-connect", addr, "https://server.test/")
		mustFail(t, exitFailure, []string{"within 300ms"}, s.args("-timeout", "300ms", "-early", early, "https://server.test/")...)
		var r result
		for limit := 300 * time.Millisecond; r.out == "" && limit < 30*time.Second; limit *= 3 { // a busy machine takes longer for the first of it
			r = runCommand(t, s.args("-timeout", limit.String(), "-early", early, "https://server.test/body")...)
			if r.code != exitFailure || !strings.Contains(r.err, "within "+limit.String()) {
				t.Errorf("a body that stops: %+v", r)
			}
		}
		if r.out != "some" {
			t.Errorf("a body that stops: %+v", r)
		}
	}
}

// What no HTTP server over TLS would say.
func TestGetGarbage(t *testing.T) {
	addr := peer(t, func(conn net.Conn) {
		io.WriteString(conn, "SSH-2.0-OpenSSH_9.6\r\n")
		silent(conn)
	})
	mustFail(t, exitFailure, []string{addr}, "get", "-connect", addr, "https://server.test/")

	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		switch r.URL.Path {
		case "/head":
			io.WriteString(conn, "HTTP/1.1 200 OK\r\n"+strings.Repeat("X: "+strings.Repeat("x", 1000)+"\r\n", 2000))
		case "/garbage":
			io.WriteString(conn, "220 mail.test ESMTP\r\n")
		case "/cut":
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort")
		}
	}, nil)
	mustFail(t, exitFailure, []string{"headers exceeded 1048576 bytes"}, s.args("https://server.test/head")...)
	mustFail(t, exitFailure, []string{"no HTTP response", s.addr, "malformed"}, s.args("https://server.test/garbage")...)
	if r := runCommand(t, s.args("https://server.test/cut")...); r.code != exitFailure || r.out != "short" || !strings.Contains(r.err, "not whole") {
		t.Errorf("a body that is cut short: %+v", r)
	}
}

func TestGetInterrupt(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("os.Process.Signal cannot interrupt on Windows")
	}
	reached := make(chan struct{}, 4)
	addr := peer(t, func(conn net.Conn) {
		reached <- struct{}{}
		silent(conn)
	})
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		reached <- struct{}{}
		if r.URL.Path != "/pause" {
			<-r.Context().Done()
		}
	}, nil)
	for _, args := range [][]string{
		{"get", "-connect", addr, "https://server.test/"},
		{"get", "-connect", addr, "-early", "never", "https://server.test/"},
		s.args("https://server.test/"),
		s.args("-n", "2", "-wait", "1h", "https://server.test/pause"),
	} {
		cmd := tlstfoCommand(t, args...)
		var errOut strings.Builder
		cmd.Stderr = &errOut
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-reached
		start := time.Now()
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != exitFailure || errOut.String() != "tlstfo: interrupt signal received\n" {
			t.Errorf("tlstfo %q: exit code %d, stderr %q after %v", args, code, errOut.String(), time.Since(start))
		}
	}
}

func flagNames() []string {
	var names []string
	new(options).flags().VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
	return names
}
