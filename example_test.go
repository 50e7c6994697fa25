package tlstfo_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/tlstfo/tlstfo"
	"github.com/tlstfo/tlstfo/internal/testpeer"
)

// Dial is tls.Dial with the ClientHello in the SYN, where the path allows.
func ExampleDial() {
	addr, roots, stop := startServer()
	defer stop()

	conn, err := tlstfo.Dial("tcp", addr, &tls.Config{ServerName: "api.example", RootCAs: roots})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: api.example\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status, tls.VersionName(conn.ConnectionState().Version))
	// Output: 200 OK TLS 1.3
}

// An API client sends a request that may be replayed. On the first connection there is
// no ticket yet, and the request follows the handshake. On the second it is early.
func ExampleDialer_DialEarly() {
	addr, roots, stop := startServer()
	defer stop()

	ctx := context.Background()
	dialer := &tlstfo.Dialer{TLSConfig: &tls.Config{ServerName: "api.example", RootCAs: roots}}
	request := []byte("GET /price HTTP/1.1\r\nHost: api.example\r\n\r\n") // safe to process twice

	for range 2 {
		conn, err := dialer.DialEarly(ctx, "tcp", addr, request)
		if err != nil {
			log.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			log.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		early := conn.Info().Early
		fmt.Printf("%s; early data: accepted %v (%v)\n", body, early.Accepted, early.Reason)
		conn.Close()
		dialer.Flush(ctx) // wait for the server's tickets: the next dial is only microseconds away
	}
	// Output:
	// GET /price; early data: accepted false (no session)
	// GET /price came early; early data: accepted true (accepted)
}

// Hooks tell what a dial does: here, what becomes of its early data.
func ExampleTrace() {
	addr, roots, stop := startServer()
	defer stop()

	trace := &tlstfo.Trace{
		TicketTaken: func(e tlstfo.TraceTicket) { fmt.Println("a ticket for", e.ServerName) },
		EarlySent:   func(e tlstfo.TraceEarly) { fmt.Println(e.Bytes, "bytes early") },
		EarlyResult: func(e tlstfo.TraceEarly) { fmt.Println("early data:", e.Reason) },
		HandshakeDone: func(e tlstfo.TraceHandshake) {
			fmt.Println("handshake done, resumed:", e.Info.Resumed)
		},
	}
	ctx := tlstfo.WithTrace(context.Background(), trace)
	dialer := &tlstfo.Dialer{TLSConfig: &tls.Config{ServerName: "api.example", RootCAs: roots}}
	request := "GET /price HTTP/1.1\r\nHost: api.example\r\n\r\n"
	for range 2 {
		conn, err := dialer.DialEarly(ctx, "tcp", addr, []byte(request))
		if err != nil {
			log.Fatal(err)
		}
		if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
			log.Fatal(err)
		}
		conn.Close()
		dialer.Flush(ctx)
	}
	// Output:
	// handshake done, resumed: false
	// a ticket for api.example
	// 42 bytes early
	// early data: accepted
	// handshake done, resumed: true
}

// net/http brings its own pool and takes connections from DialDeferred. Its first write
// is the request, and ReplayableHTTP1 decides whether that may be early: a GET may, a POST never.
func ExampleDialer_DialDeferred() {
	addr, roots, stop := startServer()
	defer stop()

	dialer := &tlstfo.Dialer{
		TLSConfig: &tls.Config{ServerName: "api.example", RootCAs: roots},
		Early:     tlstfo.ReplayableHTTP1,
	}
	client := &http.Client{Transport: &http.Transport{
		DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return dialer.DialDeferred(ctx, network, addr)
		},
		DisableKeepAlives: true, // here, to have a new connection for every request
	}}

	for _, method := range []string{"GET", "GET", "POST"} {
		req, err := http.NewRequest(method, "https://"+addr+"/", nil)
		if err != nil {
			log.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			log.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Printf("%s\n", body)
		dialer.Flush(req.Context())
	}
	// Output:
	// GET /
	// GET / came early
	// POST /
}

// The connection to the server is there already: a tunnel through a proxy, a pipe, a Unix
// socket. The key says whose tickets fit.
func ExampleDialer_Client() {
	addr, roots, stop := startServer()
	defer stop()

	dialer := &tlstfo.Dialer{TLSConfig: &tls.Config{ServerName: "api.example", RootCAs: roots}}
	for range 2 {
		tunnel, err := net.Dial("tcp", addr)
		if err != nil {
			log.Fatal(err)
		}
		conn := dialer.Client(tunnel, "api.example:443 by tunnel")
		if err := conn.HandshakeContext(context.Background()); err != nil {
			log.Fatal(err)
		}
		fmt.Println("resumed:", conn.ConnectionState().DidResume)
		conn.Close()
		dialer.Flush(context.Background())
	}
	// Output:
	// resumed: false
	// resumed: true
}

// A program that runs once a minute keeps its tickets in a folder. Whoever can read
// that folder can impersonate the server to this program, so it must be private.
func ExampleOpenFileSessions() {
	addr, roots, stop := startServer()
	defer stop()
	home, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(home)

	program := func() {
		sessions, err := tlstfo.OpenFileSessions(filepath.Join(home, "sessions"), nil)
		if err != nil {
			log.Fatal(err)
		}
		defer sessions.Close()
		dialer := &tlstfo.Dialer{
			TLSConfig: &tls.Config{ServerName: "api.example", RootCAs: roots},
			Sessions:  sessions,
		}
		conn, err := dialer.DialContext(context.Background(), "tcp", addr)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("resumed:", conn.(*tlstfo.Conn).ConnectionState().DidResume)
		conn.Close()
		dialer.Flush(context.Background()) // a process that exits at once would miss the tickets
	}
	program()
	program()
	// Output:
	// resumed: false
	// resumed: true
}

// A classifier for another protocol: of what is written first, it returns how many bytes
// the server may process twice without harm. An INCR or an AUTH is no such thing.
func ExampleDialer_early() {
	early := func(first []byte) int {
		const ping = "PING\r\n"
		n := 0
		for strings.HasPrefix(string(first[n:]), ping) {
			n += len(ping)
		}
		return n
	}
	fmt.Println(early([]byte("PING\r\n")), early([]byte("PING\r\nINCR hits\r\n")), early([]byte("INCR hits\r\n")))

	_ = &tlstfo.Dialer{Early: early}
	// Output: 6 6 0
}

// startServer starts a TLS 1.3 server for api.example, on loopback, that accepts early data and answers HTTP
// requests with what it got and whether that came early.
func startServer() (addr string, roots *x509.CertPool, stop func()) {
	ca, err := testpeer.NewAuthority()
	if err != nil {
		log.Fatal(err)
	}
	cert, err := ca.Issue("api.example")
	if err != nil {
		log.Fatal(err)
	}
	server, err := testpeer.New(cert)
	if err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- server.Serve(l, answer, nil) }()
	return l.Addr().String(), ca.Pool(), func() { server.Close(); <-done }
}

func answer(conn *testpeer.ServerConn) {
	r := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		body := req.Method + " " + req.URL.Path
		if conn.Info().EarlyBytes > 0 {
			body += " came early"
		}
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
}
