package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/tlstfo/tlstfo"
)

// client makes requests, each over a connection of its own.
type client struct {
	dialer *tlstfo.Dialer
	addr   string
	early  bool // requests are *replayable* and may ride in early data
}

// errTooEarly says that the server wants the request again, after a handshake,
// and does not keep this connection for it (RFC 8470, section 5.2).
var errTooEarly = errors.New("the server answered 425 Too Early")

// fetch makes one request, and writes the response's body to body. A
// *replayable* request (client.early) may be sent in early data. It fills the report as far as it comes.
func (c *client) fetch(ctx context.Context, timeout time.Duration, req *request, body io.Writer, rep *report) error {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no whole response from %s within %v (see -timeout)", c.addr, timeout))
		defer cancel()
	}
	start := time.Now()
	err := c.try(ctx, start, c.early, req, body, rep)
	if errors.Is(err, errTooEarly) {
		err = c.try(ctx, start, false, req, body, rep)
	}
	rep.MS.Total = milliseconds(time.Since(start))
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// try makes the request over a new connection; early says that it is
// *replayable* and may be sent in early data.
func (c *client) try(ctx context.Context, start time.Time, early bool, req *request, body io.Writer, rep *report) (err error) {
	conn, err := c.dial(ctx, early, req)
	if err != nil {
		return err
	}
	x := newExchange(ctx, conn, req)
	defer func() {
		rep.connection(conn)
		if !x.first.IsZero() {
			rep.MS.FirstByte = milliseconds(x.first.Sub(start) - conn.Info().FastOpen.ResolveTime)
		}
		x.close(err)
	}()
	if !early {
		x.send()
	}
	resp, err := x.receive()
	if err == nil && resp.StatusCode == http.StatusTooEarly && conn.Info().Early.Accepted {
		// The handshake is complete now, so that nothing is early any more.
		if !drain(resp) {
			return errTooEarly
		}
		x.first = time.Time{}
		x.send()
		resp, err = x.receive()
	}
	if err != nil {
		return err
	}
	rep.Status, rep.Proto = resp.StatusCode, resp.Proto
	hash := sha256.New()
	rep.BodyBytes, err = io.Copy(io.MultiWriter(body, hash), resp.Body)
	rep.BodySHA256 = fmt.Sprintf("%x", hash.Sum(nil))
	if err != nil {
		return fmt.Errorf("the body of the response from %s is not whole: %w", conn.RemoteAddr(), err)
	}
	return nil
}

// dial connects. An early request is *replayable*, and is handed over with the
// dial; no other one is ever sent before the handshake is complete.
func (c *client) dial(ctx context.Context, early bool, req *request) (*tlstfo.Conn, error) {
	if early {
		return c.dialer.DialEarly(ctx, "tcp", c.addr, req.bytes)
	}
	conn, err := c.dialer.DialContext(ctx, "tcp", c.addr)
	if err != nil {
		return nil, err
	}
	return conn.(*tlstfo.Conn), nil
}

// drain reads the rest of a response that nobody wants, and tells whether the
// connection can be used again.
func drain(resp *http.Response) bool {
	const most = 64 << 10
	n, err := io.CopyN(io.Discard, resp.Body, most)
	return n < most && err == io.EOF && !resp.Close
}

// exchange is an HTTP/1.1 exchange over one connection.
type exchange struct {
	ctx    context.Context
	conn   *tlstfo.Conn
	req    *request
	reader *bufio.Reader
	unbind func() bool
	wrote  chan error // the result of send; nil if nothing is being sent
	first  time.Time  // when the first byte of the response was here
	head   int        // how many bytes of the header are still accepted; negative for the body
}

// newExchange binds a connection to a context.
func newExchange(ctx context.Context, conn *tlstfo.Conn, req *request) *exchange {
	x := &exchange{ctx: ctx, conn: conn, req: req}
	x.reader = bufio.NewReader(x)
	x.unbind = context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	return x
}

// send sends the request, while receive waits for the response: a server may
// answer before it has read all.
func (x *exchange) send() {
	wrote := make(chan error, 1)
	x.wrote = wrote
	go func() {
		_, err := x.conn.Write(x.req.bytes)
		wrote <- err
	}()
}

// receive returns the response, which comes after any number of interim ones
// (RFC 9110, section 15.2).
func (x *exchange) receive() (*http.Response, error) {
	const maxHeader = 1 << 20 // all interim responses included
	x.head = maxHeader
	for {
		resp, err := http.ReadResponse(x.reader, &http.Request{Method: x.req.method})
		if err != nil {
			return nil, x.receiveError(err)
		}
		if resp.StatusCode/100 != 1 || resp.StatusCode == http.StatusSwitchingProtocols {
			x.head = -1
			return resp, nil
		}
	}
}

// receiveError says why there is no response: perhaps the request did not get
// through.
func (x *exchange) receiveError(err error) error {
	select {
	case werr := <-x.wrote:
		x.wrote <- werr // for close
		if werr != nil {
			return fmt.Errorf("cannot send the request to %s: %w", x.conn.RemoteAddr(), werr)
		}
	default:
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fmt.Errorf("%s closed the connection before it answered: %w", x.conn.RemoteAddr(), err)
	}
	return fmt.Errorf("no HTTP/1.1 response from %s: %w", x.conn.RemoteAddr(), err)
}

// Read reads from the connection, for reader.
func (x *exchange) Read(p []byte) (int, error) {
	if x.head == 0 {
		return 0, errors.New("the header of the response is longer than 1 MiB")
	}
	if x.head > 0 && len(p) > x.head {
		p = p[:x.head]
	}
	n, err := x.conn.Read(p)
	if n > 0 && x.first.IsZero() {
		x.first = time.Now()
	}
	if x.head > 0 {
		x.head -= n
	}
	return n, err
}

// close closes the connection: after a failure at once, else so that tickets
// that are under way still come.
func (x *exchange) close(err error) {
	x.unbind()
	if err != nil {
		x.conn.SetLinger(0)
	}
	x.conn.Close()
	if x.wrote != nil {
		<-x.wrote
	}
}
