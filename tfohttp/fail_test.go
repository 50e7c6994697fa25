package tfohttp

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo"
	"github.com/tlstfo/tlstfo/handshake"
	"github.com/tlstfo/tlstfo/internal/testpeer"
)

// What left early is not sent again where the Dialer forbids it, though it is a GET: the caller gets the error that says why, and the server sees
// no second request.
func TestNotAgain(t *testing.T) {
	failOnReject := func(d *tlstfo.Dialer) { d.FailOnReject = true }
	other := map[string]string{protoHTTP1: protoHTTP2, protoHTTP2: protoHTTP1}
	for _, tt := range []struct {
		name   string
		dialer func(*tlstfo.Dialer)
		change func(t *testing.T, p *peer, proto string) // to the server
		want   error
	}{
		{"refused", failOnReject, func(_ *testing.T, p *peer, _ string) { p.Set(testpeer.Knobs{RefuseEarlyData: true}) }, tlstfo.ErrEarlyDataRejected},
		{"session refused", failOnReject, func(_ *testing.T, p *peer, _ string) { p.Set(testpeer.Knobs{RefusePSK: true}) }, tlstfo.ErrEarlyDataRejected},
		{"other protocol", failOnReject, func(_ *testing.T, p *peer, proto string) { p.speak(other[proto]) }, tlstfo.ErrEarlyDataRejected},
		{"broken", failOnReject, func(_ *testing.T, p *peer, _ string) { p.Set(testpeer.Knobs{CloseAfterRead: 1, Reset: true}) }, tlstfo.ErrEarlyDataUncertain},
		{"broken after acceptance", failOnReject, nil, tlstfo.ErrEarlyDataAccepted},
		{"another certificate", func(d *tlstfo.Dialer) { d.StrictIdentity = true }, func(t *testing.T, p *peer, _ string) {
			cert, err := p.ca.Issue("127.0.0.1", "second.example")
			if err != nil {
				t.Fatal(err)
			}
			p.Set(testpeer.Knobs{RefusePSK: true})
			p.Update(func(c *handshake.ServerConfig) { c.Certificates[0] = cert })
		}, tlstfo.ErrEarlyDataRejected},
	} {
		t.Run(tt.name, func(t *testing.T) {
			versions(t, func(t *testing.T, proto string) {
				var asked atomic.Int32
				p := newPeer(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/x" {
						asked.Add(1)
					}
				}), proto)
				tr := p.client(t)
				get(t, tr, p.url+"/warm")
				cold(t, tr)
				tr = &Transport{Dialer: tr.Dialer.WithTLSConfig(p.config()), Proxy: noProxy} // with its tickets
				defer tr.CloseIdleConnections()
				tt.dialer(tr.Dialer)
				if tt.change != nil {
					tt.change(t, p, proto)
				} else {
					refuseAfterAcceptance(tr.Dialer.TLSConfig)
				}
				var conns atomic.Int32
				p.atAccept(func(int) { conns.Add(1) })
				resp, err := tr.RoundTrip(newRequest(t, "GET", p.url+"/x", nil))
				if !errors.Is(err, tt.want) {
					t.Errorf("%v, %v; want %v", resp, err, tt.want)
				}
				if asked.Load() > 1 || conns.Load() != 1 {
					t.Errorf("the server was asked %d times over %d connections", asked.Load(), conns.Load())
				}
				p.Set(testpeer.Knobs{})
				do(t, tr, newRequest(t, "POST", p.url+"/y", nil)) // what was not early is made as ever
			})
		})
	}
}

// refuseAfterAcceptance makes the client refuse the next connection when the server has taken its early data: when it is asked again, with what the
// server is, and no more with what it should be.
func refuseAfterAcceptance(config *tls.Config) {
	var asked atomic.Int32
	config.VerifyConnection = func(tls.ConnectionState) error {
		if asked.Add(1) == 2 {
			return errors.New("no")
		}
		return nil
	}
}

// A request that waits at the gate is none of the early data's business: whatever became of that, it did not leave, and is made on another
// connection, once.
func TestHeldAtGate(t *testing.T) {
	for _, fail := range []bool{false, true} {
		var log journal
		p := newPeer(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { log.note(r) }), protoHTTP2)
		tr := p.warm(t)
		config := p.config()
		accepted, waits := make(chan struct{}), make(chan struct{}, 30)
		refuseAfterAcceptance(config)
		verify := config.VerifyConnection
		config.VerifyConnection = func(state tls.ConnectionState) error {
			err := verify(state)
			if err != nil {
				close(accepted)
				for range 3 {
					<-waits
				}
				time.Sleep(20 * time.Millisecond) // it is at the gate, as a rule; if not, it has nothing to wait for
			}
			return err
		}
		tr = &Transport{Dialer: tr.Dialer.WithTLSConfig(config), Proxy: noProxy}
		tr.Dialer.FailOnReject = fail
		var wg sync.WaitGroup
		wg.Go(func() {
			resp, err := tr.RoundTrip(newRequest(t, "GET", p.url+"/carrier", nil))
			if refused := errors.Is(err, tlstfo.ErrEarlyDataAccepted); refused != fail {
				t.Errorf("FailOnReject %v: %v, %v", fail, resp, err)
			}
			if err == nil {
				resp.Body.Close()
			}
		})
		<-accepted
		for _, body := range []io.Reader{strings.NewReader("body"), io.NopCloser(strings.NewReader("body")), nil} { // with GetBody, without, and no body
			wg.Go(func() {
				trace := &httptrace.ClientTrace{GetConn: func(string) { waits <- struct{}{} }}
				req := newRequest(t, "POST", p.url+"/held", body).WithContext(httptrace.WithClientTrace(t.Context(), trace))
				resp, err := tr.RoundTrip(req)
				if err != nil {
					t.Errorf("FailOnReject %v: %v", fail, err)
					return
				}
				resp.Body.Close()
			})
		}
		wg.Wait()
		tr.CloseIdleConnections()
		posts := 0
		for _, entry := range log.read() {
			if strings.HasPrefix(entry, "POST /held") {
				posts++
			}
		}
		if posts != 3 {
			t.Errorf("FailOnReject %v: the server was asked %q", fail, log.read())
		}
	}
}

// No response is handed out before the server's Finished was verified: not one that follows right behind it, where a byte of the record that has it was
// changed on the way.
func TestNoResponseBeforeFinished(t *testing.T) {
	versions(t, func(t *testing.T, proto string) {
		answered := make(chan struct{}, 9)
		p := newPeer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			telling(w, r)
			answered <- struct{}{}
		}), proto)
		var spoil atomic.Bool
		url := spoiler(t, p.addr, &spoil)
		tr := p.client(t)
		tr.Dialer.FailOnReject = true // else it is made once more, and answered
		get(t, tr, url)
		<-answered
		cold(t, tr)
		spoil.Store(true)
		resp, err := tr.RoundTrip(newRequest(t, "GET", url, nil))
		if !errors.As(err, new(*tlstfo.Error)) {
			t.Errorf("%v, %v; want an error of the handshake", resp, err)
		}
		<-answered // the response was there: the server had taken the early request
	})
}

// spoiler is a relay to a server, which changes the last byte of the first encrypted record that comes from there, while it is to. It holds that
// record back until the next one is there too.
func spoiler(t *testing.T, server string, spoil *atomic.Bool) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			here, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer here.Close()
				there, err := net.Dial("tcp", server)
				if err != nil {
					return
				}
				defer there.Close()
				go func() {
					io.Copy(there, here)
					there.(*net.TCPConn).CloseWrite()
				}()
				var held []byte
				for first := spoil.Load(); ; {
					record := make([]byte, 5)
					if _, err := io.ReadFull(there, record); err != nil {
						return
					}
					record = append(record, make([]byte, binary.BigEndian.Uint16(record[3:]))...)
					if _, err := io.ReadFull(there, record[5:]); err != nil {
						return
					}
					const applicationData = 23
					if first && record[0] == applicationData {
						first, held = false, record
						held[len(held)-1] ^= 1
						continue
					}
					here.Write(append(held, record...))
					held = nil
				}
			}()
		}
	}()
	return "https://" + l.Addr().String()
}
