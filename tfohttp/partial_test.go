//go:build unix

package tfohttp

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/tlstfo/tlstfo"
	"github.com/tlstfo/tlstfo/internal/testpeer"
)

// narrow gives a socket a small buffer.
func narrow(option int) func(string, string, syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, option, 4096) })
	}
}

// TestPostBreaks: a POST that a connection from the pool took in part is not sent again, as the server may have acted on it.
// It is one write, and both buffers are small: it is still under way when the server has read its beginning.
func TestPostBreaks(t *testing.T) {
	ca, err := testpeer.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue("localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	lc := net.ListenConfig{Control: narrow(syscall.SO_RCVBUF)}
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var posts atomic.Int32
	serve := func(raw net.Conn) {
		defer raw.Close()
		c := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{cert}})
		for r := bufio.NewReader(c); ; {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			if req.Method == http.MethodPost && posts.Add(1) == 1 {
				io.ReadFull(req.Body, make([]byte, 1000))
				raw.(*net.TCPConn).SetLinger(0) // a reset
				return
			}
			io.Copy(io.Discard, req.Body)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	}
	go func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			go serve(raw)
		}
	}()
	tr := newTransport(t, nil)
	tr.WriteBufferSize = 256 << 10
	tr.Dialer = &tlstfo.Dialer{TLSConfig: &tls.Config{RootCAs: ca.Pool()}, NetDialer: &net.Dialer{Control: narrow(syscall.SO_SNDBUF)}}
	url := "https://" + l.Addr().String()
	get(t, tr, url)
	resp, err := tr.RoundTrip(newRequest(t, http.MethodPost, url, bytes.NewReader(make([]byte, 60<<10))))
	if err == nil {
		resp.Body.Close()
	}
	if n := posts.Load(); n != 1 || err == nil {
		t.Errorf("the server got %d POSTs, want 1; %v", n, err)
	}
}
