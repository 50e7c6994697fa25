package examples

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"sync"

	"github.com/tlstfo/tlstfo"
	"github.com/tlstfo/tlstfo/internal/testpeer"
)

// server is a TLS 1.3 server for service.example, on loopback, that accepts early data and notes which commands came in it.
type server struct {
	addr  string
	roots *tls.Config // what a client needs to trust it
	peer  *testpeer.Server
	done  chan error

	mu   sync.Mutex
	log  []string
	ends map[*testpeer.ServerConn]int64 // where on a connection the last command ended
	hits int                            // of redisServer's
}

// serve starts a server that runs handle for each connection.
func serve(handle func(*server, *testpeer.ServerConn)) *server {
	ca, err := testpeer.NewAuthority()
	if err != nil {
		log.Fatal(err)
	}
	cert, err := ca.Issue("service.example")
	if err != nil {
		log.Fatal(err)
	}
	s := &server{done: make(chan error, 1), ends: make(map[*testpeer.ServerConn]int64)}
	if s.peer, err = testpeer.New(cert); err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	s.addr = l.Addr().String()
	s.roots = &tls.Config{ServerName: "service.example", RootCAs: ca.Pool()}
	go func() { s.done <- s.peer.Serve(l, func(c *testpeer.ServerConn) { handle(s, c) }, nil) }()
	return s
}

func (s *server) stop() { s.peer.Close(); <-s.done }

// note writes down a command, which goes from the end of the one before to an offset on the connection, and whether it was early data: whether any
// of it was among the first bytes of the connection that came so.
func (s *server) note(conn *testpeer.ServerConn, command string, end int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch start, early := s.ends[conn], int64(conn.EarlyBytes()); {
	case end <= early:
		command += " (early)"
	case start < early:
		command += " (partly early)"
	}
	s.ends[conn] = end
	s.log = append(s.log, command)
}

// noted returns what was noted since it was last called.
func (s *server) noted() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	log := s.log
	s.log = nil
	return log
}

// counter counts what is read through it.
type counter struct {
	io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

// deferred is the function that dials for a client which takes one. Without dialer.Early it sends nothing early but the ClientHello.
func deferred(dialer *tlstfo.Dialer) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		return dialer.DialDeferred(ctx, network, addr)
	}
}

// once is an http.Client that makes a connection for every request.
func once(dialer *tlstfo.Dialer) *http.Client {
	return &http.Client{Transport: &http.Transport{DialTLSContext: deferred(dialer), DisableKeepAlives: true}}
}
