package handshake

import "crypto/tls"

// ConnectionState returns what crypto/tls would, as far as the handshake has
// come. Its ExportKeyingMaterial method only returns an error: use the
// Client's.
func (c *Client) ConnectionState() tls.ConnectionState {
	s := idleState()
	if c.suite == nil {
		return s
	}
	s.Version = versionTLS13
	s.HandshakeComplete = c.info.complete
	s.DidResume = c.info.resumed
	s.CipherSuite = c.info.suite
	s.CurveID = c.info.group
	s.NegotiatedProtocol = c.info.alpn
	s.ServerName = sniName(c.cfg.ServerName)
	s.PeerCertificates = c.info.peer
	s.VerifiedChains = c.info.chains
	s.OCSPResponse = c.info.ocsp
	s.SignedCertificateTimestamps = c.info.scts
	s.HelloRetryRequest = c.retried
	return s
}

// PredictedState returns what ConnectionState will say if the server resumes
// Config.Session and takes the early data, with HandshakeComplete false. It
// is the zero state without a session.
func (c *Client) PredictedState() tls.ConnectionState {
	s := idleState()
	session := c.cfg.Session
	if session == nil {
		return s
	}
	s.Version = versionTLS13
	s.DidResume = true
	s.CipherSuite = session.CipherSuite
	s.NegotiatedProtocol = session.ALPN
	s.ServerName = sniName(c.cfg.ServerName)
	s.PeerCertificates = session.PeerCertificates
	s.VerifiedChains = session.VerifiedChains
	s.OCSPResponse = session.OCSPResponse
	s.SignedCertificateTimestamps = session.SignedCertificateTimestamps
	return s
}

// idleState is a state whose ExportKeyingMaterial returns an error. That of a
// state not made by crypto/tls would panic, and only a connection that allows
// renegotiation is refused whatever GODEBUG says.
func idleState() tls.ConnectionState { return idle }

// idle is never changed.
var idle = func() tls.ConnectionState {
	s := tls.Client(nil, &tls.Config{Renegotiation: tls.RenegotiateFreelyAsClient}).ConnectionState()
	s.TLSUnique = nil // TLS 1.3 has none (RFC 8446, section C.5)
	return s
}()

// ExportKeyingMaterial exports length bytes (RFC 8446, section 7.5). A nil
// context is the same as an empty one. It is an error before the handshake is
// complete.
func (c *Client) ExportKeyingMaterial(label string, context []byte, length int) ([]byte, error) {
	return c.Exporter().ExportKeyingMaterial(label, context, length)
}

// EarlyData tells what became of early data so far.
func (c *Client) EarlyData() EarlyStatus { return c.status }

// EarlyReason tells why.
func (c *Client) EarlyReason() EarlyReason { return c.reason }

// HelloLen returns the length of the first ClientHello, its record header
// included.
func (c *Client) HelloLen() int { return c.helloLen }

// Group returns the group of the key exchange; zero: none yet.
func (c *Client) Group() tls.CurveID { return c.info.group }

// Retried tells whether the server asked for a second hello.
func (c *Client) Retried() bool { return c.retried }

// PeerSignatureAlgorithm returns the algorithm of the server's
// CertificateVerify; zero: none yet, or the session was resumed.
func (c *Client) PeerSignatureAlgorithm() tls.SignatureScheme { return c.info.algorithm }

// ClientChainSum returns the ChainSum of the client certificate that the
// connection, or the session that it resumes, was authenticated with; nil: none.
func (c *Client) ClientChainSum() []byte { return c.info.clientSum }

// State returns what the client waits for.
func (c *Client) State() State { return c.state }
