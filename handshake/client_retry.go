package handshake

import (
	"crypto/tls"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// helloRetryRequest answers with the second hello (section 4.1.4). Early data
// is rejected by it (section 4.2.10).
func (c *Client) helloRetryRequest(msg []byte, h *serverHello, now time.Time) Fault {
	var edit helloEdit
	for _, e := range h.extensions {
		data := cryptobyte.String(e.data)
		switch e.typ {
		case extSupportedVersions:
		case extCookie:
			if !readBytes16(&data, &edit.cookie) || edit.cookie == nil || !data.Empty() {
				return FaultDecode // section 4.2.2
			}
		case extKeyShare:
			var group uint16
			if !data.ReadUint16(&group) || !data.Empty() {
				return FaultDecode
			}
			share, fault := c.newShare(tls.CurveID(group))
			if fault != 0 {
				return fault
			}
			edit.share = &share
		case extECH:
			// RFC 9849, section 6.1.4: it would confirm what only GREASE asked for.
			if !c.hello.offers(extECH) {
				return FaultUnsolicitedExtension
			}
			if len(data) != 8 {
				return FaultDecode
			}
		default:
			return FaultUnsolicitedExtension // section 4.2
		}
	}
	switch {
	case edit.cookie == nil && edit.share == nil:
		return FaultUselessHelloRetryRequest // section 4.1.4
	case c.partial():
		return FaultPartialMessage // section 5.1: what follows is for the second hello
	}
	if c.status == EarlyOffered {
		c.setWriter(nil) // the second hello is plaintext
		c.rejectEarly(ReasonHelloRetryRequest)
	}
	if c.offered && suiteByID(c.cfg.Session.CipherSuite).hashLen != c.suite.hashLen {
		// Section 4.1.4: no PSK that the suite cannot take.
		c.early.clear()
		c.offered, c.early = false, nil
		if c.cfg.RequirePSK {
			return FaultAbandoned
		}
	}
	if c.offered {
		// Section 4.1.2: the age of the ticket is computed anew. What passed since
		// the first hello is known from the first Next on.
		edit.session, edit.age = c.cfg.Session, c.cfg.TicketAge+max(now.Sub(c.began), 0)
	}
	// Section 4.4.1: a hash stands for the first hello.
	first := messageHash(c.transcriptSum())
	c.transcript.Reset()
	c.transcript.Write(first)
	c.transcript.Write(msg)
	if err := c.editHello(edit); err != nil {
		return c.because(FaultInternal, err)
	}
	if c.offered {
		setBinder(c.hello.message, c.early, c.transcript)
	} else {
		c.transcript.Write(c.hello.message)
	}
	c.sendCCS()
	c.send(recordHandshake, c.hello.message)
	c.retried, c.state = true, StateServerHelloRetried
	return 0
}

// newShare makes the share that HelloRetryRequest asks for (section 4.2.8).
func (c *Client) newShare(group tls.CurveID) (keyShare, Fault) {
	if !c.hello.offersGroup(group) {
		return keyShare{}, FaultBadGroup
	}
	if c.hello.sharesGroup(group) {
		return keyShare{}, FaultUselessHelloRetryRequest
	}
	if isFiniteField(uint16(group)) {
		return keyShare{}, FaultGroupForShow
	}
	if _, ok := groupByID(group); !ok {
		return keyShare{}, FaultBadGroup // section 4.2.8: GREASE, for one
	}
	keys, shares, err := generateKeyShares([]tls.CurveID{group}, c.cfg.random())
	if err != nil {
		return keyShare{}, c.because(FaultInternal, err)
	}
	c.keys = keys
	return shares[0], 0
}
