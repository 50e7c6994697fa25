package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"

	"github.com/tlstfo/tlstfo"
	"github.com/tlstfo/tlstfo/tfohttp"
)

// client makes requests, each over a connection of its own.
type client struct {
	transport *tfohttp.Transport
	early     bool   // what the Transport holds to be *replayable* may ride in early data
	addr      string // to dial
}

// newClient returns a client that speaks the protocols of -http.
func newClient(o *options, dialer *tlstfo.Dialer, req *request) *client {
	const maxHeader = 1 << 20 // interim responses included
	t := &tfohttp.Transport{
		Dialer: dialer, Proxy: noProxy, DisableCompression: true, MaxResponseHeaderBytes: maxHeader,
		TLSHandshakeTimeout: -1, // -timeout ends the requests, and nothing else does
	}
	if o.http != "auto" {
		t.Protocols = new(http.Protocols)
		t.Protocols.SetHTTP1(o.http == "1.1")
		t.Protocols.SetHTTP2(o.http == "2")
	}
	return &client{transport: t, early: o.early == "auto" && o.data == nil, addr: req.addr}
}

// fetch makes one request, and writes the response's body to body. A
// *replayable* request may be sent in early data, with client.early. It fills the
// report as far as it comes.
func (c *client) fetch(ctx context.Context, timeout time.Duration, req *request, body io.Writer, rep *report) error {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no whole response from %s within %v (see -timeout)", c.addr, timeout))
		defer cancel()
	}
	start := time.Now()
	w := new(watch)
	err := c.try(w.context(ctx), req, body, rep, w)
	w.report(rep, start)
	rep.MS.Total = milliseconds(time.Since(start))
	if ctx.Err() != nil { // what came meanwhile may be what the server had left to say to who hung up
		return context.Cause(ctx)
	}
	return err
}

// try makes the request. Whether it is *replayable* the transport knows, which
// sends it again, and not early, if the server answers 425 Too Early.
func (c *client) try(ctx context.Context, req *request, body io.Writer, rep *report, w *watch) error {
	mode := tfohttp.EarlyForbid
	if c.early {
		mode = tfohttp.EarlyDefault
	}
	r, err := req.fresh(tfohttp.WithEarlyData(ctx, mode))
	if err != nil {
		return err
	}
	defer c.transport.CloseIdleConnections() // the next request is to connect anew
	resp, err := c.transport.RoundTrip(r)
	if err != nil {
		return w.noResponse(err)
	}
	defer resp.Body.Close()
	rep.Status, rep.Proto = resp.StatusCode, resp.Proto
	hash := sha256.New()
	rep.BodyBytes, err = io.Copy(io.MultiWriter(body, hash), resp.Body)
	rep.BodySHA256 = fmt.Sprintf("%x", hash.Sum(nil))
	if err != nil {
		return fmt.Errorf("the body of the response from %s is not whole: %w", c.addr, err)
	}
	return nil
}

// watch notes what happens during a request.
type watch struct {
	mu    sync.Mutex
	conn  *tfohttp.Conn // the last one
	first time.Time     // when the first byte of the last response was here
}

// context has the hooks.
func (w *watch) context(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if conn, ok := info.Conn.(*tfohttp.Conn); ok {
				w.conn = conn
			}
		},
		GotFirstResponseByte: func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.first = time.Now()
		},
	})
}

// report fills in what the connection came to.
func (w *watch) report(rep *report, start time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn == nil || w.conn.TLS() == nil {
		return
	}
	rep.connection(w.conn.TLS())
	if !w.first.IsZero() {
		rep.MS.FirstByte = milliseconds(w.first.Sub(start) - w.conn.TLS().Info().FastOpen.ResolveTime)
	}
}

// noResponse says whose fault it is that there is no response.
func (w *watch) noResponse(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var dial *tlstfo.Error
	switch {
	case errors.As(err, &dial) || w.conn == nil:
		return err
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		return fmt.Errorf("%s closed the connection before it answered: %w", w.conn.RemoteAddr(), err)
	}
	return fmt.Errorf("no HTTP response from %s: %w", w.conn.RemoteAddr(), err)
}
