package handshake

import (
	"bytes"
	"crypto/tls"
	"testing"
)

// The tickets of a resumed handshake know the client's certificate too, so that
// a server that demands one can resume as often as tickets live.
func TestServerClientCertificateLineage(t *testing.T) {
	ca := newAuthority(t)
	cfg, client, _ := serverSetup(t)
	cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, ca.pool
	client.Certificates = []tls.Certificate{ca.issue(t, newKey(t, "ECDSA"), nil)}
	session := firstSession(t, cfg, client)
	for i := range 3 {
		p := connectPair(t, cfg, resume(client, session, 0, false), "")
		state := p.s.ConnectionState()
		if !state.DidResume || len(state.VerifiedChains) != 1 || len(state.PeerCertificates) != 1 ||
			!bytes.Equal(state.PeerCertificates[0].Raw, client.Certificates[0].Certificate[0]) {
			t.Fatalf("resumption %d: resumed %v, %d certificates, %d chains", i, state.DidResume, len(state.PeerCertificates), len(state.VerifiedChains))
		}
		sessions := p.sessions(t)
		if len(sessions) == 0 {
			t.Fatal("no ticket")
		}
		session = sessions[0]
	}
}
