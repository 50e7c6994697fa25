package tfohttp

import (
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
)

// A slowBody says when it is read, and then gives nothing until it is let.
type slowBody struct {
	io.Reader
	read func()
	let  chan struct{}
}

func (s slowBody) Read(p []byte) (int, error) {
	s.read()
	<-s.let
	return s.Reader.Read(p)
}

func (slowBody) Close() error { return nil }

// A request that may be early, and whose body takes its time, holds up none that shares its HTTP/2 connection. It goes then after the handshake.
func TestSlowBodyOfEarlyRequest(t *testing.T) {
	p := newPeer(t, telling, protoHTTP2)
	tr := p.warm(t)
	reading, let := make(chan struct{}), make(chan struct{})
	read, letIt := sync.OnceFunc(func() { close(reading) }), sync.OnceFunc(func() { close(let) })
	defer letIt()
	slow := newRequest(t, "POST", p.url+"/slow", nil).WithContext(WithEarlyData(t.Context(), EarlyAllow))
	slow.GetBody = func() (io.ReadCloser, error) { return slowBody{strings.NewReader("body"), read, let}, nil }
	slow.Body, _ = slow.GetBody()
	slow.ContentLength = 4
	n := len(p.accepted())
	var wg sync.WaitGroup
	wg.Go(func() {
		resp, err := tr.RoundTrip(slow)
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		if body, err := io.ReadAll(resp.Body); string(body) != "HTTP/2.0 POST /slowbody" || err != nil {
			t.Errorf("%q, %v", body, err)
		}
	})
	<-reading
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, method := range []string{"GET", "POST"} {
		if _, body := do(t, tr, newRequest(t, method, p.url+"/quick", nil).WithContext(ctx)); body != "HTTP/2.0 "+method+" /quick" {
			t.Errorf("%q", body)
		}
	}
	letIt()
	wg.Wait()
	conns := p.since(t, n)
	if early := conns[0].early(); len(conns) != 1 || len(early) > 0 {
		t.Errorf("%d connections, %q early", len(conns), early)
	}
}
