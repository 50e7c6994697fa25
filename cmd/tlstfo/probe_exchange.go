package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/tlstfo/tlstfo"
)

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
