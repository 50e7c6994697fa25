package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/tlstfo/tlstfo"
	"github.com/tlstfo/tlstfo/handshake"
	"github.com/tlstfo/tlstfo/internal/testpeer"
	"github.com/tlstfo/tlstfo/tfo"
	"github.com/tlstfo/tlstfo/tfohttp"
)

// demoName is whom the demonstration's certificate is for.
const demoName = "server.test"

// demoBody is what its server answers.
var demoBody = strings.Repeat("One round trip is the least there can be. ", 12)

// demoServer is a web server with TCP Fast Open and early data.
type demoServer struct {
	*testpeer.Server
	listener net.Listener
	cert     []byte // what clients are to trust, DER
	keys     *keyLog
}

// keyLog gathers key logs. Connections write to it at once.
type keyLog struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (k *keyLog) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.buf.Write(p)
}

// take returns what was written since the last take.
func (k *keyLog) take() []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	defer k.buf.Reset()
	return bytes.Clone(k.buf.Bytes())
}

func newDemoServer(ctx context.Context, addr string) (*demoServer, error) {
	authority, err := testpeer.NewAuthority()
	if err != nil {
		return nil, err
	}
	cert, err := authority.Issue(demoName)
	if err != nil {
		return nil, err
	}
	server, err := testpeer.New(cert)
	if err != nil {
		return nil, err
	}
	listener, err := new(tfo.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &demoServer{server, listener, cert.Certificate[0], new(keyLog)}
	server.Update(func(c *handshake.ServerConfig) { c.KeyLogWriter = s.keys })
	return s, nil
}

// serve serves until the server is closed.
func (s *demoServer) serve() error {
	err := s.Serve(s.listener, answerDemo, nil)
	if errors.Is(err, testpeer.ErrServerClosed) {
		return nil
	}
	return err
}

// answerDemo answers GET requests, early ones too: they change nothing.
func answerDemo(conn *testpeer.ServerConn) {
	for reader := bufio.NewReader(conn); ; {
		req, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		io.Copy(io.Discard, req.Body)
		if _, err := fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", len(demoBody), demoBody); err != nil {
			return
		}
	}
}

// demoClient makes the same request again and again, each time over a new
// connection: with net/http's own transport, or with tlstfo's in its place.
type demoClient struct {
	addr      string
	transport http.RoundTripper
	closeIdle func(context.Context)
	keys      keyLog // of this request
}

// demoClientOptions go to the client's process.
type demoClientOptions struct {
	Addr    string
	Cert    []byte
	NetHTTP bool
	Timeout time.Duration
}

func newDemoClient(o demoClientOptions) (*demoClient, error) {
	cert, err := x509.ParseCertificate(o.Cert)
	if err != nil {
		return nil, err
	}
	c := &demoClient{addr: o.Addr}
	config := &tls.Config{ServerName: demoName, RootCAs: x509.NewCertPool(), KeyLogWriter: &c.keys}
	config.RootCAs.AddCert(cert)
	if o.NetHTTP {
		config.ClientSessionCache = tls.NewLRUClientSessionCache(0)
		t := &http.Transport{TLSClientConfig: config}
		c.transport, c.closeIdle = t, func(context.Context) { t.CloseIdleConnections() }
		return c, nil
	}
	t := &tfohttp.Transport{Dialer: &tlstfo.Dialer{TLSConfig: config, Timeout: o.Timeout}, Proxy: noProxy, Protocols: new(http.Protocols)}
	t.Protocols.SetHTTP1(true)
	c.transport, c.closeIdle = t, func(ctx context.Context) {
		t.CloseIdleConnections()
		t.Flush(ctx) // the tickets are for the next one
	}
	return c, nil
}

// ask makes the request, a GET, which is *replayable*, and returns the key log
// of its connections.
func (c *demoClient) ask(ctx context.Context) (keyLog []byte, err error) {
	c.keys.take()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+c.addr+"/", nil)
	if err != nil {
		return nil, err
	}
	req.Host = demoName
	resp, err := c.transport.RoundTrip(req)
	if err == nil {
		err = readDemo(resp)
	}
	c.closeIdle(ctx) // the next one is to connect anew
	return c.keys.take(), err
}

func readDemo(resp *http.Response) error {
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode != http.StatusOK || string(body) != demoBody:
		return fmt.Errorf("status %d and %d bytes, want 200 and %d", resp.StatusCode, len(body), len(demoBody))
	}
	return nil
}
