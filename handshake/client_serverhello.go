package handshake

import (
	"bytes"
	"crypto/tls"
	"errors"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// serverHello handles ServerHello and HelloRetryRequest (sections 4.1.3 and
// 4.1.4).
func (c *Client) serverHello(msg []byte, body cryptobyte.String, now time.Time) Fault {
	h, fault := parseServerHello(body)
	if fault == 0 {
		fault = c.checkVersion(&h)
	}
	if fault != 0 {
		return fault
	}
	suite := suiteByID(h.suite)
	switch {
	case !bytes.Equal(h.sessionID, c.hello.sessionID):
		return FaultBadSessionIDEcho // section 4.1.3
	case h.compression != 0:
		return c.because(FaultDecode, errCompression) // section 4.1.3
	case h.isRetry() && c.retried:
		return FaultSecondHelloRetryRequest // section 4.1.4
	case suite == nil || !c.hello.offersSuite(h.suite):
		return FaultBadCipherSuite // section 4.1.3
	case c.retried && suite.id != c.suite.id:
		return FaultSuiteChangedAfterRetry // section 4.1.4
	}
	c.suite, c.info.suite = suite, suite.id
	c.startTranscript()
	if h.isRetry() {
		return c.helloRetryRequest(msg, &h, now)
	}
	c.transcript.Write(msg)
	return c.keyExchange(&h)
}

var errCompression = errors.New("tls: the server selected a compression method")

// checkVersion checks that the server speaks TLS 1.3 (sections 4.1.3 and
// 4.2.1).
func (c *Client) checkVersion(h *serverHello) Fault {
	data, ok := h.extension(extSupportedVersions)
	var version uint16
	switch {
	case !ok && c.retried:
		return FaultVersionChangedAfterRetry
	case !ok && isDowngrade(h.random):
		return FaultDowngrade
	case !ok:
		return FaultUnsupportedVersion
	case !data.ReadUint16(&version) || !data.Empty():
		return FaultDecode
	case version != versionTLS13 && c.retried:
		return FaultVersionChangedAfterRetry
	case version != versionTLS13:
		return FaultBadSelectedVersion
	case h.version != versionTLS12:
		return FaultBadVersion
	}
	return 0
}

// isDowngrade looks for the sentinel with which a TLS 1.3 server marks an
// answer in an older version (section 4.1.3).
func isDowngrade(random []byte) bool {
	tail := string(random[24:])
	return tail == "DOWNGRD\x00" || tail == "DOWNGRD\x01"
}

// startTranscript sees to it that the transcript has the hello, under the
// hash of the suite.
func (c *Client) startTranscript() {
	if c.transcript == nil || c.transcript.Size() != c.suite.hashLen {
		c.transcript = c.suite.hash()
		c.transcript.Write(c.hello.message)
	}
}

// keyExchange ends the plaintext part of the handshake.
func (c *Client) keyExchange(h *serverHello) Fault {
	var group uint16
	var share cryptobyte.String
	for _, e := range h.extensions {
		data := cryptobyte.String(e.data)
		switch {
		case e.typ == extSupportedVersions:
		case e.typ == extKeyShare && c.hello.offers(extKeyShare):
			if !data.ReadUint16(&group) || !data.ReadUint16LengthPrefixed(&share) || !data.Empty() {
				return FaultDecode
			}
		case e.typ == extPreSharedKey && c.offered:
			if fault := c.resume(data); fault != 0 {
				return fault
			}
		default:
			return FaultUnsolicitedExtension // section 4.2
		}
	}
	switch {
	case share == nil && c.info.resumed:
		return FaultPSKWithoutKeyShare // section 4.2.11: we offer no psk_ke
	case share == nil:
		return FaultMissingExtension // section 9.2
	}
	key := c.key(tls.CurveID(group))
	switch {
	case key == nil && c.retried:
		return FaultGroupChangedAfterRetry // section 4.2.8
	case key == nil:
		return FaultBadGroup // section 4.2.8
	case c.cfg.RequirePSK && !c.info.resumed:
		return FaultAbandoned
	}
	c.info.group = key.Group
	shared, fault := key.shared(share)
	if fault != 0 {
		return fault
	}
	if !c.info.resumed {
		c.early.clear()
		c.early = newEarlySecret(c.suite, nil)
	}
	c.handshake = c.early.handshake(shared)
	c.early, c.keys = nil, nil
	clear(shared)
	return c.handshakeKeys()
}

// key returns the private key behind our share for the group.
func (c *Client) key(group tls.CurveID) *ShareKey {
	for i := range c.keys {
		if c.keys[i].Group == group {
			return &c.keys[i]
		}
	}
	return nil
}

// resume takes up the session that the server selected (section 4.2.11).
func (c *Client) resume(selected cryptobyte.String) Fault {
	session := c.cfg.Session
	var index uint16
	switch {
	case !selected.ReadUint16(&index) || !selected.Empty():
		return FaultDecode
	case index != 0:
		return FaultBadPSKIndex // section 4.2.11: we offer one
	case suiteByID(session.CipherSuite).hashLen != c.suite.hashLen:
		return FaultPSKSuiteMismatch // section 4.2.11: the same hash
	}
	c.info.resumed = true
	c.info.peer, c.info.chains = session.PeerCertificates, session.VerifiedChains
	c.info.ocsp, c.info.scts = session.OCSPResponse, session.SignedCertificateTimestamps
	c.info.authenticatedAt, c.info.clientSum = session.AuthenticatedAt, session.ClientCertificate
	c.info.credentialExpiry = session.CredentialExpiry
	return 0
}

// handshakeKeys changes to the handshake keys. While the server has not said
// what becomes of early data, it is still what we send.
func (c *Client) handshakeKeys() Fault {
	sum := c.transcriptSum()
	c.clientHandshake = c.handshake.clientTraffic(sum)
	server := c.handshake.serverTraffic(sum)
	if fault := c.logSecret("CLIENT_HANDSHAKE_TRAFFIC_SECRET", c.clientHandshake); fault != 0 {
		return fault
	}
	if fault := c.logSecret("SERVER_HANDSHAKE_TRAFFIC_SECRET", server); fault != 0 {
		return fault
	}
	reader, err := newProtector(c.suite, server)
	if err != nil {
		return c.because(FaultInternal, err)
	}
	if fault := c.setReader(reader); fault != 0 {
		return fault
	}
	c.state = StateEncryptedExtensions
	if c.status == EarlyOffered {
		if c.info.resumed {
			return 0
		}
		c.rejectEarly(ReasonSessionNotResumed)
	}
	return c.writeHandshakeKey()
}

// writeHandshakeKey starts to send under the handshake key.
func (c *Client) writeHandshakeKey() Fault {
	writer, err := newProtector(c.suite, c.clientHandshake)
	if err != nil {
		return c.because(FaultInternal, err)
	}
	c.clientHandshake = nil
	c.setWriter(writer)
	return 0
}
