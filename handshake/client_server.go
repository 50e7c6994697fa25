package handshake

import (
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// encryptedExtensions handles EncryptedExtensions (section 4.3.1), which
// decides on early data.
func (c *Client) encryptedExtensions(msg []byte, body cryptobyte.String) Fault {
	exts, fault := parseEncryptedExtensions(body)
	if fault != 0 {
		return fault
	}
	accepted, limited := false, false
	for _, e := range exts {
		if !c.hello.offers(e.typ) {
			return FaultUnsolicitedExtension // section 4.2
		}
		data := cryptobyte.String(e.data)
		switch e.typ {
		case extServerName:
			if !data.Empty() {
				return c.because(FaultDecode, ExtensionError(e.typ)) // RFC 6066, section 3
			}
		case extALPN:
			if fault := c.selectALPN(data); fault != 0 {
				return c.because(fault, ExtensionError(e.typ))
			}
		case extEarlyData:
			if !data.Empty() {
				return c.because(FaultDecode, ExtensionError(e.typ))
			}
			accepted = true
		case extSupportedGroups: // section 4.2.7: a hint for later connections
		case extRecordSizeLimit:
			if fault := c.readRecordLimit(data); fault != 0 {
				return c.because(fault, ExtensionError(e.typ))
			}
			limited = true
		case extALPS, extALPSOld:
			if fault := c.readALPS(e.typ, e.data); fault != 0 {
				return c.because(fault, ExtensionError(e.typ))
			}
		case extECH:
			if !isECHConfigList(data) {
				return c.because(FaultDecode, ExtensionError(e.typ)) // RFC 9849, section 6.2.1: else ignored
			}
		default:
			// Section 4.3.1: not in this message. Its alert would be
			// illegal_parameter; BoringSSL, and its tests, do not tell an extension
			// of another message from one that nobody asked for, and the connection
			// ends in either case. GREASE is never answered (RFC 8701, section 4).
			return FaultUnsolicitedExtension
		}
	}
	if !limited {
		c.sendLimit = 0 // section 4 of RFC 8449: that of the session does not hold any more
	}
	if fault := c.checkALPS(); fault != 0 {
		return fault
	}
	if fault := c.decideEarlyData(accepted); fault != 0 {
		return fault
	}
	c.transcript.Write(msg)
	c.state = StateCertificateOrRequest
	if c.info.resumed {
		c.state = StateFinished
	}
	return 0
}

// selectALPN takes the server's protocol (RFC 7301, section 3.1).
func (c *Client) selectALPN(data cryptobyte.String) Fault {
	var list, proto cryptobyte.String
	switch {
	case !data.ReadUint16LengthPrefixed(&list) || !data.Empty() || !list.ReadUint8LengthPrefixed(&proto) || proto.Empty():
		return FaultDecode
	case !list.Empty() || !c.hello.offersALPN(proto):
		return FaultBadALPN
	case len(proto) == 2 && IsGREASE(uint16(proto[0])<<8|uint16(proto[1])):
		return FaultBadALPN // RFC 8701, section 3.1: never negotiated, though offered
	}
	c.info.alpn = string(proto)
	return 0
}

// decideEarlyData acts on the server's answer to early data (section 4.2.10).
func (c *Client) decideEarlyData(accepted bool) Fault {
	switch {
	case !accepted && c.status == EarlyOffered:
		c.rejectEarly(ReasonPeerDeclined)
		return c.writeHandshakeKey()
	case !accepted:
		return 0
	case c.status != EarlyOffered:
		return FaultUnexpectedEarlyData
	case c.suite.id != c.cfg.Session.CipherSuite:
		return FaultEarlyDataSuiteMismatch
	case c.info.alpn != c.cfg.Session.ALPN:
		return FaultEarlyDataALPNMismatch
	case c.settings != nil:
		return FaultALPSWithEarlyData // draft-vvv-tls-alps, section 4.3: those of the session are carried on
	}
	if s := c.cfg.Session; s.HasApplicationSettings {
		c.settings = &applicationSettings{ours: s.ApplicationSettings, theirs: s.PeerApplicationSettings}
	}
	c.status, c.reason = EarlyAccepted, ReasonAccepted
	c.event = Event{Kind: EventEarlyAccepted, Reason: ReasonAccepted}
	return 0
}

// certificateRequest handles CertificateRequest (section 4.3.2).
func (c *Client) certificateRequest(msg []byte, body cryptobyte.String) Fault {
	request, fault := parseCertificateRequest(body)
	if fault != 0 {
		return fault
	}
	c.request, c.state = request, StateCertificate
	c.transcript.Write(msg)
	return 0
}

// certificate handles the server's Certificate (section 4.4.2).
func (c *Client) certificate(msg []byte, body cryptobyte.String, now time.Time) Fault {
	m, fault := parseCertificate(body, c.hello.offers)
	if fault != 0 {
		return fault
	}
	if len(m.chain) == 0 {
		return FaultNoCertificate // section 4.4.2.4
	}
	c.info.ocsp, c.info.scts = m.ocsp, m.scts
	if fault := c.verifyServer(m, now); fault != 0 {
		return fault
	}
	c.transcript.Write(msg)
	c.state = StateCertificateVerify
	return 0
}

// certificateVerify handles the server's CertificateVerify (section 4.4.3).
func (c *Client) certificateVerify(msg []byte, body cryptobyte.String, now time.Time) Fault {
	scheme, signature, fault := parseCertificateVerify(body)
	if fault != 0 {
		return fault
	}
	key := c.info.peer[0].PublicKey
	switch {
	case c.delegated != nil:
		if scheme != c.delegatedScheme {
			return FaultBadSignatureAlgorithm // RFC 9345, section 4.1.3, check 3
		}
		key = c.delegated
	case !c.hello.lists(extSignatureAlgorithms, uint16(scheme)):
		return FaultBadSignatureAlgorithm // section 4.4.3: one that was offered
	}
	fault = verifyTranscript(key, scheme, serverSignatureContext, c.transcriptSum(), signature)
	if fault != 0 {
		return fault
	}
	c.info.algorithm, c.info.authenticatedAt = scheme, now
	c.transcript.Write(msg)
	c.state = StateFinished
	return 0
}
