package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"

	"github.com/tlstfo/tlstfo/internal/testpeer"
)

// earlyServer accepts early data, and notes which requests came in it.
type earlyServer struct {
	*authority
	*testpeer.Server
	addr string

	mu     sync.Mutex
	seen   []seen
	conns  int
	answer func(*http.Request, seen) string // the whole response; "" closes the connection
}

// seen is a request at the server.
type seen struct {
	method string
	body   string
	early  bool // all of it was early data
	any    bool // some of it was
	conn   int  // on which connection it came
}

const okResponse = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func newEarlyServer(t *testing.T, answer func(*http.Request, seen) string) *earlyServer {
	t.Helper()
	a := newAuthority(t)
	server, err := testpeer.New(a.issue(t))
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if answer == nil {
		answer = func(*http.Request, seen) string { return okResponse }
	}
	s := &earlyServer{authority: a, Server: server, addr: ln.Addr().String(), answer: answer}
	go server.Serve(ln, s.serve, nil)
	t.Cleanup(func() { server.Close() })
	return s
}

// counter counts what a reader gave.
type counter struct {
	r io.Reader
	n int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

func (s *earlyServer) serve(conn *testpeer.ServerConn) {
	s.mu.Lock()
	s.conns++
	number := s.conns
	s.mu.Unlock()
	from := &counter{r: conn}
	reader := bufio.NewReader(from)
	for end := 0; ; {
		req, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		body, _ := io.ReadAll(req.Body)
		start := end
		end = from.n - reader.Buffered()
		early := conn.EarlyBytes()
		r := seen{method: req.Method, body: string(body), early: end <= early, any: start < early, conn: number}
		s.mu.Lock()
		s.seen = append(s.seen, r)
		s.mu.Unlock()
		response := s.answer(req, r)
		if response == "" {
			return
		}
		if _, err := io.WriteString(conn, response); err != nil {
			return
		}
	}
}

// take returns the requests since the last take.
func (s *earlyServer) take() []seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.seen
	s.seen = nil
	return taken
}

// get runs the command with a folder of sessions, and returns its report of
// one request.
func (s *earlyServer) get(t *testing.T, dir string, more ...string) report {
	t.Helper()
	return lines(t, mustRun(t, s.args(dir, append(more, "-json")...)...))[0]
}

func (s *earlyServer) args(dir string, more ...string) []string {
	return append([]string{"get", "-cacert", s.file, "-connect", s.addr, "-sessions", dir, "https://server.test/"}, more...)
}

// warm returns a folder with a ticket in it.
func (s *earlyServer) warm(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "sessions")
	s.get(t, dir)
	s.take()
	return dir
}
