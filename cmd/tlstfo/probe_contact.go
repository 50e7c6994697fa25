package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"time"

	"github.com/tlstfo/tlstfo"
	"github.com/tlstfo/tlstfo/tfo"
)

// contact is a connection over tlstfo, and what became of its request.
type contact struct {
	info      tlstfo.ConnInfo
	state     tls.ConnectionState
	cookie    tfo.CookieState // of the first SYN
	tickets   []*tlstfo.Session
	status    int
	tooEarly  bool          // 425 to a request that went early
	problem   error         // why there is no response
	firstByte time.Duration // from the SYN on; 0 if there was no response
}

// contact connects. The request is *replayable*, and is handed over with the
// dial if early says so.
func (p *prober) contact(ctx context.Context, addr string, early bool) (c contact, err error) {
	speaksHTTP := p.std[0].problem == nil
	seen := make(chan tfo.CookieState, 1)
	dialCtx := tfo.WithTrace(ctx, &tfo.Trace{SynSent: func(s tfo.SynSent) {
		select {
		case seen <- s.Cookie:
		default: // another one was first
		}
	}})
	start := time.Now()
	conn, err := p.dial(dialCtx, addr, early && speaksHTTP)
	if err != nil {
		return c, err
	}
	select {
	case c.cookie = <-seen:
	default:
	}
	x := newExchange(ctx, conn, p.req)
	defer func() {
		x.close(err)
		p.dialer.Flush(ctx) // tickets come after the handshake
	}()
	if !speaksHTTP {
		// It says who it is and gives its tickets all the same.
		err = conn.HandshakeContext(ctx)
		c.info, c.state = conn.Info(), conn.ConnectionState()
		return c, err
	}
	if !early {
		x.send()
	}
	resp, problem := x.receive()
	if problem == nil {
		c.firstByte = x.first.Sub(start)
		c.status = resp.StatusCode
	}
	if err = conn.HandshakeContext(ctx); err != nil {
		return c, err
	}
	c.info, c.state, c.problem = conn.Info(), conn.ConnectionState(), problem
	c.tooEarly = c.status == http.StatusTooEarly && c.info.Early.Accepted
	return c, nil
}

// dial connects. An early request is *replayable*, and is handed over with the
// dial; no other one is ever sent before the handshake is complete.
func (p *prober) dial(ctx context.Context, addr string, early bool) (*tlstfo.Conn, error) {
	if early {
		return p.dialer.DialEarly(ctx, "tcp", addr, p.req.bytes)
	}
	conn, err := p.dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return conn.(*tlstfo.Conn), nil
}

// ticketCounter is a tlstfo.SessionCache that can show its tickets.
type ticketCounter struct {
	mu   sync.Mutex
	held map[string][]*tlstfo.Session
}

func (t *ticketCounter) Put(key string, s *tlstfo.Session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held == nil {
		t.held = make(map[string][]*tlstfo.Session)
	}
	t.held[key] = append(t.held[key], s)
}

func (t *ticketCounter) Take(key string) *tlstfo.Session {
	t.mu.Lock()
	defer t.mu.Unlock()
	held := t.held[key]
	if len(held) == 0 {
		return nil
	}
	last := held[len(held)-1]
	t.held[key] = held[:len(held)-1]
	return last
}

func (t *ticketCounter) all() (all []*tlstfo.Session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, held := range t.held {
		all = append(all, held...)
	}
	return all
}

// stdContact is a connection of net/http.
type stdContact struct {
	remote    string
	state     tls.ConnectionState
	firstByte time.Duration // from the SYN on; 0 if there was no response
	problem   error         // why there is no response, over a connection that was made
}

// stdClient makes requests with net/http, each over a new connection.
type stdClient struct{ config *tls.Config }

func newStdClient(config *tls.Config) *stdClient {
	config = config.Clone()
	config.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	return &stdClient{config}
}

func (s *stdClient) contact(ctx context.Context, addr string, r *request) (stdContact, error) {
	w := new(stdWatch)
	transport := &http.Transport{TLSClientConfig: s.config, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			w.note(func() { w.remote = conn.RemoteAddr().String() })
		}
		return conn, err
	}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, w.trace()), r.method, "https://"+addr+"/", nil)
	if err != nil {
		return stdContact{}, err
	}
	req.Host = r.hostField
	req.Header.Set("User-Agent", userAgent)
	resp, err := transport.RoundTrip(req)
	w.mu.Lock()
	defer w.mu.Unlock()
	c := stdContact{remote: w.remote, state: w.state}
	switch {
	case err == nil:
		resp.Body.Close()
		c.firstByte = w.first.Sub(w.connect)
	case w.shaken && ctx.Err() == nil:
		c.problem = err
	case w.remote == "":
		return c, plainDialError(err)
	default:
		return c, fmt.Errorf("no TLS connection to %s: %w", w.remote, err)
	}
	return c, nil
}

// stdWatch notes what happens during a request, in whichever goroutine.
type stdWatch struct {
	mu             sync.Mutex
	remote         string
	connect, first time.Time
	state          tls.ConnectionState
	shaken         bool
}

func (w *stdWatch) note(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *stdWatch) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		ConnectStart: func(string, string) {
			w.note(func() {
				if w.connect.IsZero() {
					w.connect = time.Now()
				}
			})
		},
		GotFirstResponseByte: func() { w.note(func() { w.first = time.Now() }) },
		TLSHandshakeDone: func(state tls.ConnectionState, err error) {
			w.note(func() { w.state, w.shaken = state, err == nil })
		},
	}
}

// plainDialError is without what net/http puts around it.
func plainDialError(err error) error {
	if e := (*url.Error)(nil); errors.As(err, &e) {
		err = e.Err
	}
	return fmt.Errorf("no connection: %w", err)
}
