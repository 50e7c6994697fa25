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
	"time"

	"github.com/tlstfo/tlstfo"
	"github.com/tlstfo/tlstfo/internal/testpeer"
	"github.com/tlstfo/tlstfo/tfo"
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
	return &demoServer{server, listener, cert.Certificate[0]}, nil
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
// connection: with net/http, or over tlstfo.
type demoClient struct {
	addr   string
	std    *tls.Config // for net/http; nil: over tlstfo
	dialer *tlstfo.Dialer
	keys   bytes.Buffer // the key log of this request
}

// demoClientOptions go to the client's process.
type demoClientOptions struct {
	Addr       string
	Cert       []byte
	NetHTTP    bool
	NoFastOpen bool
	Timeout    time.Duration
}

func newDemoClient(o demoClientOptions) (*demoClient, error) {
	cert, err := x509.ParseCertificate(o.Cert)
	if err != nil {
		return nil, err
	}
	c := &demoClient{addr: o.Addr}
	config := &tls.Config{ServerName: demoName, RootCAs: x509.NewCertPool(), NextProtos: []string{"http/1.1"}, KeyLogWriter: &c.keys}
	config.RootCAs.AddCert(cert)
	if o.NetHTTP {
		config.ClientSessionCache = tls.NewLRUClientSessionCache(0)
		c.std = config
	} else {
		c.dialer = &tlstfo.Dialer{TLSConfig: config, NoFastOpen: o.NoFastOpen, Timeout: o.Timeout}
	}
	return c, nil
}

// ask makes the request, which is *replayable*, and returns the key log of its
// connections.
func (c *demoClient) ask(ctx context.Context) (keyLog []byte, err error) {
	c.keys.Reset()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+demoName+"/", nil)
	if err != nil {
		return nil, err
	}
	if c.std != nil {
		err = c.askStd(req)
	} else {
		err = c.askEarly(req)
	}
	return bytes.Clone(c.keys.Bytes()), err
}

// askStd is net/http as everybody uses it.
func (c *demoClient) askStd(req *http.Request) error {
	transport := &http.Transport{
		TLSClientConfig: c.std,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, c.addr)
		},
	}
	defer transport.CloseIdleConnections() // the next one is to connect anew
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	return readDemo(resp)
}

// askEarly hands the request, a GET, over with the dial: it is *replayable*.
func (c *demoClient) askEarly(req *http.Request) error {
	var wire bytes.Buffer
	if err := req.Write(&wire); err != nil {
		return err
	}
	conn, err := c.dialer.DialEarly(req.Context(), "tcp", c.addr, wire.Bytes())
	if err != nil {
		return err
	}
	stop := context.AfterFunc(req.Context(), func() { conn.SetDeadline(time.Unix(1, 0)) })
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err == nil {
		err = readDemo(resp)
	}
	stop()
	if err != nil {
		conn.SetLinger(0)
	}
	conn.Close()
	c.dialer.Flush(req.Context()) // the tickets are for the next one
	return err
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
