package tfohttp

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/internal/testpeer"
)

// Why a request failed on one connection is no reason to start it over once it was sent on another: the server may have processed it.
func TestSentElsewhere(t *testing.T) {
	p := newPeer(t, telling, protoHTTP1)
	tr := p.warm(t)
	req := newRequest(t, "POST", p.url, nil)
	c, _ := tr.newCall(req, false, newBody(req))
	wrong := tr.newConn(c, p.addr, protoHTTP2, tr.direct)
	c.gotConn(httptrace.GotConnInfo{Conn: wrong})
	if again, _ := c.again(nil, io.ErrUnexpectedEOF); !again {
		t.Fatal("the protocol is not wrong")
	}
	right := tr.newConn(c, p.addr, protoHTTP1, tr.direct)
	c.gotConn(httptrace.GotConnInfo{Conn: right})
	defer right.Close()
	if right.ready.Load() == nil {
		t.Fatal(right.failure())
	}
	if again, _ := c.again(nil, io.ErrUnexpectedEOF); again {
		t.Error("a POST that was sent is started over")
	}
}

// A request that may have been early on one connection is not early again, whatever is wrong with the next.
func TestEarlyOnce(t *testing.T) {
	p := newPeer(t, telling, protoHTTP1)
	tr := p.warm(t)
	req := newRequest(t, "GET", p.url, nil)
	c, _ := tr.newCall(req, true, newBody(req))
	for i, proto := range []string{protoHTTP1, protoHTTP2} {
		x := tr.newConn(c, p.addr, proto, tr.direct)
		c.gotConn(httptrace.GotConnInfo{Conn: x})
		if first := i == 0; first != (x.phase == gathering) {
			t.Errorf("%s: phase %v", proto, x.phase)
		}
		defer x.Close()
	}
	if again, noEarly := c.again(nil, io.ErrUnexpectedEOF); !again || !noEarly {
		t.Errorf("again %v, not early %v", again, noEarly)
	}
}

// The one whose dial is to find out the protocol gives up, and net/http ends its dial. Whoever waits for that dials on its own.
func TestFinderGivesUp(t *testing.T) {
	p := newPeer(t, telling, protoHTTP2)
	tr := p.client(t)
	accepted, hold := make(chan struct{}, 2), make(chan struct{})
	p.atAccept(func(n int) {
		accepted <- struct{}{}
		if n == 0 {
			<-hold
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	var finder, waiter sync.WaitGroup
	finder.Go(func() {
		if _, err := tr.RoundTrip(newRequest(t, "GET", p.url, nil).WithContext(ctx)); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	<-accepted
	waits := make(chan struct{})
	waiter.Go(func() {
		trace := &httptrace.ClientTrace{GetConn: func(string) { close(waits) }}
		resp, err := tr.RoundTrip(newRequest(t, "POST", p.url, nil).WithContext(httptrace.WithClientTrace(t.Context(), trace)))
		if err != nil {
			t.Error(err)
			return
		}
		resp.Body.Close()
	})
	<-waits
	time.Sleep(10 * time.Millisecond) // if it waits later it dials at once: that is right too
	cancel()
	finder.Wait()
	tr.CloseIdleConnections() // ends the dials of those who gave up
	time.Sleep(10 * time.Millisecond)
	close(hold)
	waiter.Wait()
}

// net/http's reason to close a connection that is being set up is the one that the caller gets.
func TestResponseHeaderTimeoutOfEarlyRequest(t *testing.T) {
	p := newPeer(t, telling, protoHTTP1)
	for range 10 {
		p.Set(testpeer.Knobs{})
		tr := p.client(t)
		tr.ResponseHeaderTimeout = 20 * time.Millisecond
		tr.Dialer.Sessions = tickets(t, p)
		p.Set(testpeer.Knobs{Silent: true})
		_, err := tr.RoundTrip(newRequest(t, "GET", p.url, nil))
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Fatal(err)
		}
	}
}

// Request.Cancel ends the wait at the gate, as the context does.
func TestRequestCancel(t *testing.T) {
	versions(t, func(t *testing.T, proto string) {
		p := newPeer(t, telling, proto)
		tr := p.warm(t)
		tr.TLSHandshakeTimeout = -1
		p.Set(testpeer.Knobs{Silent: true})
		cancel := make(chan struct{})
		ended := sync.OnceFunc(func() { close(cancel) })
		p.atAccept(func(int) { ended() })
		req := newRequest(t, "POST", p.url, strings.NewReader("body"))
		//lint:ignore SA1019 deprecated for users, and still obeyed
		req.Cancel = cancel
		done := make(chan error, 1)
		go func() {
			_, err := tr.RoundTrip(req)
			done <- err
		}()
		select {
		case err := <-done:
			if err == nil {
				t.Error("answered")
			}
		case <-time.After(30 * time.Second):
			t.Error("the request goes on")
		}
	})
}
