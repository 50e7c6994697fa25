package handshake

import (
	"crypto/tls"
	"io"
	"testing"
	"time"
)

// BenchmarkHandshake runs handshakes with a server of crypto/tls: by our
// client, and by that of crypto/tls. The server's part is the same in both.
func BenchmarkHandshake(b *testing.B) {
	ca := newAuthority(b)
	groups := []tls.CurveID{tls.X25519}
	now := func() time.Time { return testTime }
	server := &tls.Config{Certificates: []tls.Certificate{ca.issue(b, newKey(b, "ECDSA"), nil)}, Time: now, CurvePreferences: groups}
	cfg := &Config{ServerName: "example.com", RootCAs: ca.pool, CertificateCache: new(CertificateCache), Groups: groups}
	resumed := *cfg
	resumed.Session = resumable(b, cfg, server)
	std := &tls.Config{ServerName: "example.com", RootCAs: ca.pool, CurvePreferences: groups, MinVersion: tls.VersionTLS13, Time: now,
		ClientSessionCache: onlyPut{}}
	stdResumed := std.Clone()
	stdResumed.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	stdHandshake(b, stdResumed, server)

	for name, cfg := range map[string]*Config{"full": cfg, "resumed": &resumed} {
		b.Run(name+"/ours", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p := newStdPeer(b, server)
				if _, _, err := connect(mustClient(b, cfg), p); err != nil {
					b.Fatal(err)
				}
				p.toServer.Close()
			}
		})
	}
	for name, cfg := range map[string]*tls.Config{"full": std, "resumed": stdResumed} {
		b.Run(name+"/crypto-tls", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				stdHandshake(b, cfg, server)
			}
		})
	}
}

// onlyPut is a cache that asks for tickets and never gives one.
type onlyPut struct{}

func (onlyPut) Get(string) (*tls.ClientSessionState, bool) { return nil, false }
func (onlyPut) Put(string, *tls.ClientSessionState)        {}

func stdHandshake(b *testing.B, cfg, server *tls.Config) {
	p := newStdPeer(b, server)
	c := tls.Client(memConn{in: p.toClient, out: p.toServer}, cfg)
	if err := c.Handshake(); err != nil {
		b.Fatal(err)
	}
	if resumed := c.ConnectionState().DidResume; !resumed && cfg.ClientSessionCache != (onlyPut{}) {
		c.Write([]byte("x"))
		io.ReadFull(c, make([]byte, 1)) // takes the ticket
	}
	<-p.err
	p.toServer.Close()
}
