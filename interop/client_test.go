package interop

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/tlstfo/tlstfo"
)

// The ways in which a client makes a request.
const (
	dial     = "DialContext"
	early    = "DialEarly"
	deferred = "DialDeferred"
	netHTTP  = "net/http"
)

// A profile is how a client process is configured.
type profile struct {
	CA         string
	Cert, Key  string        // a client certificate, or ""
	Groups     []tls.CurveID // CurvePreferences
	ServerName string        // "" is serverName
	NoFastOpen bool
	NoEarly    bool // an EarlyDataPolicy that refuses
	NoTickets  bool
	Hosts      []string // what every name resolves to

	Fingerprint string // a key of fingerprints, or "": the compact hello
	Seed        byte   // of "randomized"; 0: one is drawn
}

// patience is how long a client waits for anything: so long that a network which loses a tenth of all packets cannot try it.
const patience = 30 * time.Second

// An order is a request that a client process is to make, on a connection of its own.
type order struct {
	Way          string
	Addr         string
	Method, Path string
	Body         string
	Raw          bool // the server speaks no HTTP: hand over the request and complete the handshake, no more
}

// request is what goes over the wire. There is no "Connection: close": the server is to stay for the client's Finished.
func (o order) request() string {
	s := o.Method + " " + o.Path + " HTTP/1.1\r\nHost: " + serverName + "\r\n"
	if o.Body != "" {
		s += fmt.Sprintf("Content-Length: %d\r\n", len(o.Body))
	}
	return s + "\r\n" + o.Body
}

// An answer is what became of it.
type answer struct {
	order     order
	size      int           // bytes of the request, 0: not known
	firstByte time.Duration // by the client's clock, 0: not measured

	Err    string // "" if there was an answer
	Status int
	Body   string

	Early                      earlyInfo
	Resumed, HelloRetryRequest bool
	Version, Group             uint16
	HelloBytes, Overflow       int
	SynBytes                   int
	CookieSent, SynAcked       bool
	Redials                    int
	Hedged                     bool
	Redial, CryptoTLS          string
	Tickets                    int
	ClassicalOnly              bool
	EarlyReason, FastReason    string
}

type earlyInfo struct {
	Offered, Accepted bool
	Bytes, Resent     int
}

// clientMain makes requests, one per line of its standard input, with one Dialer, so that what it learns from one serves the next.
func clientMain(args []string) error {
	var p profile
	if err := json.Unmarshal([]byte(args[0]), &p); err != nil {
		return err
	}
	config, err := p.config()
	if err != nil {
		return err
	}
	c := client{
		dialer: &tlstfo.Dialer{TLSConfig: config, NoFastOpen: p.NoFastOpen, Early: tlstfo.ReplayableHTTP1, Timeout: patience},
		std:    config.Clone(),
	}
	c.dialer.Hello = p.hello()
	if p.Hosts != nil {
		c.resolver = hosts(p.Hosts...)
		c.dialer.NetDialer = &net.Dialer{Resolver: c.resolver}
	}
	c.std.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	if p.NoEarly {
		c.dialer.EarlyData = func(tlstfo.EarlyDataOffer) bool { return false }
	}
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var o order
		if err := in.Decode(&o); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		a := &answer{}
		if err := c.do(o, a); err != nil {
			a.Err = err.Error()
		}
		if err := out.Encode(a); err != nil {
			return err
		}
	}
}

func (p profile) config() (*tls.Config, error) {
	config := &tls.Config{ServerName: cmp.Or(p.ServerName, serverName), RootCAs: x509.NewCertPool(), NextProtos: []string{"http/1.1"}, CurvePreferences: p.Groups, SessionTicketsDisabled: p.NoTickets}
	pem, err := os.ReadFile(p.CA)
	if err != nil {
		return nil, err
	}
	config.RootCAs.AppendCertsFromPEM(pem)
	if p.Cert != "" {
		cert, err := tls.LoadX509KeyPair(p.Cert, p.Key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{cert}
	}
	return config, nil
}

type client struct {
	dialer   *tlstfo.Dialer
	std      *tls.Config   // net/http's
	resolver *net.Resolver // nil: the system's
}

// do makes one request. In the way "DialEarly" it is replayable: the tests use it for GET only.
func (c *client) do(o order, a *answer) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if o.Way == netHTTP {
		return c.doStd(ctx, o, a)
	}
	conn, err := c.open(ctx, o)
	if err != nil {
		return err
	}
	conn.SetDeadline(time.Now().Add(patience))
	var err1, err2 error
	if o.Raw {
		err1 = conn.HandshakeContext(ctx)
	} else {
		err1 = readAnswer(conn, o, a)
		err2 = conn.HandshakeContext(ctx) // the response may be here first
	}
	fill(a, conn)
	err3 := conn.Close()
	return errors.Join(err1, err2, err3, c.dialer.Flush(ctx))
}

// open dials and hands over the request.
func (c *client) open(ctx context.Context, o order) (conn *tlstfo.Conn, err error) {
	switch o.Way {
	case early:
		return c.dialer.DialEarly(ctx, "tcp", o.Addr, []byte(o.request()))
	case deferred:
		conn, err = c.dialer.DialDeferred(ctx, "tcp", o.Addr)
	default:
		var nc net.Conn
		if nc, err = c.dialer.DialContext(ctx, "tcp", o.Addr); err == nil {
			conn = nc.(*tlstfo.Conn)
		}
	}
	if err == nil {
		_, err = io.WriteString(conn, o.request())
	}
	return conn, err
}

func readAnswer(conn io.Reader, o order, a *answer) error {
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: o.Method})
	if err != nil {
		return err
	}
	return fillResponse(a, resp)
}

func fillResponse(a *answer, resp *http.Response) error {
	body, err := io.ReadAll(resp.Body)
	a.Status, a.Body = resp.StatusCode, string(body)
	return errors.Join(err, resp.Body.Close())
}

func fill(a *answer, conn *tlstfo.Conn) {
	info, state := conn.Info(), conn.ConnectionState()
	a.Early = earlyInfo{info.Early.Offered, info.Early.Accepted, info.Early.Bytes, info.Early.Resent}
	a.EarlyReason, a.FastReason = info.Early.Reason.String(), info.FastOpen.Why.String()
	a.Resumed, a.HelloRetryRequest, a.ClassicalOnly = info.Resumed, info.HelloRetryRequest, info.ClassicalOnly
	a.Version, a.Group = state.Version, uint16(state.CurveID)
	a.HelloBytes, a.Overflow, a.SynBytes = info.HelloBytes, info.Overflow, info.FastOpen.SynBytes
	a.CookieSent, a.SynAcked = info.FastOpen.CookieSent, info.FastOpen.SynAcked
	a.Hedged, a.Redials, a.Redial, a.CryptoTLS, a.Tickets = info.Hedged, info.Redials, info.Redial, info.CryptoTLS, info.Tickets
}

// doStd makes the request with net/http and crypto/tls.
func (c *client) doStd(ctx context.Context, o order, a *answer) error {
	dialer := &net.Dialer{Resolver: c.resolver}
	transport := &http.Transport{TLSClientConfig: c.std, DialContext: dialer.DialContext, TLSHandshakeTimeout: patience}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, o.Method, "https://"+o.Addr+o.Path, strings.NewReader(o.Body))
	if err != nil {
		return err
	}
	req.Host = serverName
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	a.Resumed, a.Version, a.Group = resp.TLS.DidResume, resp.TLS.Version, uint16(resp.TLS.CurveID)
	return fillResponse(a, resp)
}
