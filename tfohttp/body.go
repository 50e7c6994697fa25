package tfohttp

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// body is the body of a request that may have to be started over. One that cannot be had again by GetBody is kept open, as long as
// nothing of it was read: net/http closes it when it has no connection for it.
type body struct {
	io.ReadCloser // the caller's; nil if the request has none
	req           *http.Request
	next          io.ReadCloser // for the next try

	mu     sync.Mutex
	gone   bool  // something was read: it cannot go again
	held   bool  // Close is to wait
	closed bool  // it was called
	barred error // why this try must not read
}

// newBody returns the body of req.
func newBody(req *http.Request) *body {
	if !hasBody(req) {
		return &body{req: req, next: req.Body}
	}
	b := &body{ReadCloser: req.Body, req: req, next: req.Body}
	if req.GetBody == nil {
		b.held, b.next = true, b
	}
	return b
}

// rewind makes the body ready for another try. It returns false if that cannot be.
func (b *body) rewind() bool {
	if b.ReadCloser == nil {
		return true
	}
	if b.req.GetBody != nil {
		fresh, err := b.req.GetBody()
		b.next = fresh
		return err == nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.gone
}

// reopen makes a body of which nothing was read ready for another connection. net/http looks for one on its own where HTTP/2 has not begun
// with a request, and has closed the body then.
func (b *body) reopen() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held && !b.gone {
		b.closed, b.barred = false, nil
	}
}

// bar keeps the body from a try whose connection failed: net/http would read it to find that out.
func (b *body) bar(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.barred = err
}

// letGo ends the holding: the request is through, and net/http closes the body when it needs it no more.
func (b *body) letGo() {
	b.mu.Lock()
	owed := b.held && b.closed
	b.held = false
	b.mu.Unlock()
	if owed {
		b.ReadCloser.Close()
	}
}

// Read reads from the caller's body.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	barred := b.barred
	if b.held && b.closed {
		barred = http.ErrBodyReadAfterClose
	}
	b.gone = b.gone || barred == nil
	b.mu.Unlock()
	if barred != nil {
		return 0, barred
	}
	return b.ReadCloser.Read(p)
}

// Close closes the caller's body, or keeps in mind that it is to be closed.
func (b *body) Close() error {
	b.mu.Lock()
	b.closed = true
	held := b.held
	b.mu.Unlock()
	if held {
		return nil
	}
	return b.ReadCloser.Close()
}

// closeBody closes the body of a request that goes nowhere, as an http.RoundTripper must.
func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

const (
	drainMost = 64 << 10
	drainFor  = 100 * time.Millisecond // a short answer comes in one piece with its header, or soon after
)

// drain ends a response that nobody gets. If its end is near, its connection can be used again.
func drain(resp *http.Response) {
	if resp == nil {
		return
	}
	late := time.AfterFunc(drainFor, func() { resp.Body.Close() })
	defer late.Stop()
	io.CopyN(io.Discard, resp.Body, drainMost)
	resp.Body.Close()
}
