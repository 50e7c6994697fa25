package tfohttp

import (
	"context"
	"net"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/tlstfo/tlstfo"
)

// Two requests meet at a connection that is being dialled. A GET that was first is early, and goes ahead of the POST that waits; a POST that was first
// makes the connection dial without early data, for the GET as well. On HTTP/2 both share the connection.
func TestOrder(t *testing.T) {
	for _, tt := range []struct {
		methods [2]string
		early   []string
	}{
		{[2]string{"GET", "POST"}, []string{"GET /first"}},
		{[2]string{"POST", "GET"}, nil},
	} {
		t.Run(strings.Join(tt.methods[:], " then "), func(t *testing.T) {
			p := newPeer(t, telling, protoHTTP2)
			dials, hold := make(chan struct{}, 9), make(chan struct{})
			tr := &Transport{Proxy: noProxy, Dialer: &tlstfo.Dialer{TLSConfig: p.config(), Sessions: tickets(t, p), NetDialer: &net.Dialer{
				ControlContext: func(context.Context, string, string, syscall.RawConn) error {
					dials <- struct{}{}
					<-hold
					return nil
				}}}}
			defer tr.CloseIdleConnections()
			n := len(p.accepted())
			var wg sync.WaitGroup
			request := func(method, path string) (asked chan struct{}) {
				asked = make(chan struct{})
				once := sync.OnceFunc(func() { close(asked) })
				trace := &httptrace.ClientTrace{GetConn: func(string) { once() }}
				wg.Go(func() {
					do(t, tr, newRequest(t, method, p.url+path, nil).WithContext(httptrace.WithClientTrace(t.Context(), trace)))
				})
				return asked
			}
			request(tt.methods[0], "/first")
			<-dials // its connection asks the kernel for a socket: nothing has left yet
			<-request(tt.methods[1], "/second")
			close(hold)
			wg.Wait()
			conns := p.since(t, n)
			if got := replay(t, conns); len(conns) != 1 || !slices.Equal(got, tt.early) {
				t.Errorf("early were %q over %d connections, want %q over one", got, len(conns), tt.early)
			}
		})
	}
}
