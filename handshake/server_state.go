package handshake

import (
	"bytes"
	"crypto/tls"
	"time"
)

// ConnectionState returns what is known of the connection. Its
// ExportKeyingMaterial method always fails: call the Server's.
func (s *Server) ConnectionState() tls.ConnectionState {
	state := idleState()
	if s.suite == nil {
		return state // no ClientHello yet
	}
	state.Version = tls.VersionTLS13
	state.HandshakeComplete = s.state == StateConnected
	state.DidResume = s.session != nil
	state.CipherSuite = s.suite.id
	state.CurveID = s.group
	state.NegotiatedProtocol = s.proto
	state.ServerName = s.hello.serverName
	state.PeerCertificates = s.peer
	state.VerifiedChains = s.chains
	state.HelloRetryRequest = s.retryGroup != 0
	return state
}

// EarlyData tells what became of the client's early data.
func (s *Server) EarlyData() EarlyStatus { return s.status }

// EarlyReason tells why early data was accepted or refused, or would have been.
func (s *Server) EarlyReason() EarlyReason { return s.reason }

// TicketAgeSkew is how much older the resumed ticket is by the client's clock
// than by ours.
func (s *Server) TicketAgeSkew() time.Duration { return s.skew }

// PeerSignatureAlgorithm is what the client signed the handshake with, or 0.
func (s *Server) PeerSignatureAlgorithm() tls.SignatureScheme { return s.peerSignedBy }

// Retried tells whether a HelloRetryRequest was sent.
func (s *Server) Retried() bool { return s.retryGroup != 0 }

// State is what the server waits for.
func (s *Server) State() State { return s.state }

// Exporter derives keying material (RFC 8446, section 7.5). It is nil until the
// server's Finished is queued; from then on, and before the client's has come, it works as
// the early answer does: see Write.
func (s *Server) Exporter() *Exporter {
	if s.exporter == nil {
		return nil
	}
	// A copy: if the handshake fails the secret is cleared here, and nobody may
	// export from what is left of it.
	return &Exporter{s.suite, bytes.Clone(s.exporter)}
}

// ExportKeyingMaterial exports length bytes, as soon as there is an Exporter.
func (s *Server) ExportKeyingMaterial(label string, context []byte, length int) ([]byte, error) {
	return s.Exporter().ExportKeyingMaterial(label, context, length)
}
