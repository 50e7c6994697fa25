package tfohttp_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"

	"github.com/tlstfo/tlstfo"
	"github.com/tlstfo/tlstfo/handshake"
	"github.com/tlstfo/tlstfo/internal/testpeer"
	"github.com/tlstfo/tlstfo/tfohttp"
)

// One line, and every client of net/http that does not bring a transport of its own uses it.
func Example() {
	defer func(t http.RoundTripper) { http.DefaultTransport = t }(http.DefaultTransport)

	http.DefaultTransport = &tfohttp.Transport{}

	_, err := http.Get("https://localhost:1/")
	fmt.Println(strings.Contains(err.Error(), "refused"))
	// Output: true
}

// The server tells what was early: the second GET, and no POST.
func ExampleTransport() {
	addr, roots, stop := startServer()
	defer stop()

	transport := &tfohttp.Transport{Dialer: &tlstfo.Dialer{TLSConfig: &tls.Config{RootCAs: roots}}}
	client := &http.Client{Transport: transport}
	url := "https://" + addr + "/price"

	for _, method := range []string{"GET", "GET", "POST"} {
		req, err := http.NewRequest(method, url, nil)
		if err != nil {
			log.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			log.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Printf("%s %s\n", method, body)

		// So that the next request dials.
		client.CloseIdleConnections()
		transport.Flush(context.Background())
	}
	// Output:
	// GET after the handshake
	// GET early
	// POST after the handshake
}

// A query that is sent by POST changes nothing on this server: its author vouches for it.
func ExampleWithEarlyData() {
	addr, roots, stop := startServer()
	defer stop()

	transport := &tfohttp.Transport{Dialer: &tlstfo.Dialer{TLSConfig: &tls.Config{RootCAs: roots}}}
	client := &http.Client{Transport: transport}

	for range 2 {
		ctx := tfohttp.WithEarlyData(context.Background(), tfohttp.EarlyAllow)
		req, err := http.NewRequestWithContext(ctx, "POST", "https://"+addr+"/search", strings.NewReader("words"))
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
		client.CloseIdleConnections()
		transport.Flush(ctx)
	}
	// Output:
	// after the handshake
	// early
}

// startServer starts a server that takes early data and says how a request came.
func startServer() (addr string, roots *x509.CertPool, stop func()) {
	ca, err := testpeer.NewAuthority()
	if err != nil {
		log.Fatal(err)
	}
	cert, err := ca.Issue("127.0.0.1")
	if err != nil {
		log.Fatal(err)
	}
	server, err := testpeer.New(cert)
	if err != nil {
		log.Fatal(err)
	}
	server.Update(func(c *handshake.ServerConfig) { c.NextProtos = []string{"http/1.1"} })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go server.Serve(l, func(c *testpeer.ServerConn) {
		var head []byte
		for !bytes.Contains(head, []byte("\r\n\r\n")) {
			b := make([]byte, 1024)
			n, err := c.Read(b)
			if head = append(head, b[:n]...); err != nil {
				return
			}
		}
		word := "after the handshake"
		if c.EarlyBytes() > 0 {
			word = "early"
		}
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(word), word)
		io.Copy(io.Discard, c) // the client closes first
	}, nil)
	return l.Addr().String(), ca.Pool(), func() { server.Close() }
}
