package handshake

import (
	"errors"
	"slices"
)

// firstHello queues the ClientHello, with the session and early data where
// they can be offered.
func (c *Client) firstHello() error {
	session := c.cfg.Session
	// Section 4.2.9: no pre_shared_key without psk_key_exchange_modes.
	c.offered = session != nil && c.hello.offersSuite(session.CipherSuite) && c.hello.offersPSKMode(pskModeDHE)
	if c.cfg.RequirePSK && !c.offered {
		return errors.New("tls: RequirePSK, but the hello cannot offer the session")
	}
	edit := helloEdit{earlyData: c.offerEarlyData()}
	if c.offered {
		edit.session, edit.age = session, c.cfg.TicketAge
	}
	if err := c.editHello(edit); err != nil {
		return err
	}
	if c.offered {
		suite := suiteByID(session.CipherSuite)
		c.early = newEarlySecret(suite, session.Secret)
		c.transcript = suite.hash()
		setBinder(c.hello.message, c.early, c.transcript)
	}
	// Section 5.1: the first hello is the one record that says TLS 1.0.
	c.out = appendPlaintext(c.out, recordHandshake, 0x0301, c.hello.message)
	c.helloLen = len(c.out)
	if c.status == EarlyOffered {
		// RFC 8449, section 4: until the server says otherwise.
		c.sendLimit = session.RecordLimit
		secret := c.early.clientTraffic(c.transcriptSum())
		if fault := c.logSecret("CLIENT_EARLY_TRAFFIC_SECRET", secret); fault != 0 {
			return c.cause
		}
		p, err := newProtector(c.early.suite, secret)
		if err != nil {
			return err
		}
		c.setWriter(p)
	}
	return nil
}

// editHello applies an edit to the hello, if it changes anything.
func (c *Client) editHello(edit helloEdit) error {
	edit.padding = c.built.Padding
	if edit.empty() && !c.base.offers(extEarlyData) && !c.base.offers(extPreSharedKey) && !c.base.offers(extCookie) {
		return nil
	}
	message, err := edit.apply(&c.base)
	if err != nil {
		return errors.New("tls: the ClientHello is too large: " + err.Error())
	}
	c.hello, _ = viewHello(message)
	return nil
}

// offerEarlyData decides on early data (section 4.2.10).
func (c *Client) offerEarlyData() bool {
	session := c.cfg.Session
	switch {
	case !c.cfg.EarlyData:
		c.reason = ReasonDisabled
	case session == nil:
		c.reason = ReasonNoSession
	case !c.offered || session.MaxEarlyData == 0:
		c.reason = ReasonUnsupportedForSession
	case session.ALPN != "" && !c.hello.offersALPN([]byte(session.ALPN)):
		c.reason = ReasonALPNMismatch
	case !c.keepsSettings(session):
		c.reason = ReasonALPSMismatch
	case !c.hello.keepsSuite(session):
		c.reason = ReasonSuiteOrder
	default:
		c.status, c.earlyLeft = EarlyOffered, session.MaxEarlyData
		return true
	}
	return false
}

// keepsSuite tells whether a server that selects suites as it did before comes to the session's suite. Under another order it may
// come to another suite with the same hash, and some servers then still accept the early data, and act on it, though that is
// forbidden (section 4.2.10): OpenSSL 3.0 and GnuTLS 3.7.
func (v *helloView) keepsSuite(s *Session) bool {
	if s.SuiteOrder == v.suiteOrder() {
		return true
	}
	hashLen := suiteByID(s.CipherSuite).hashLen
	for list, id := v.suites, uint16(0); list.ReadUint16(&id); {
		if other := suiteByID(id); other != nil && other.hashLen == hashLen && other.id != s.CipherSuite {
			return false
		}
	}
	return true // with another hash the session is not resumed at all
}

// suiteOrder says which suites of this package are listed, and in which order, two bits each.
func (v *helloView) suiteOrder() (order uint8) {
	for list, id := v.suites, uint16(0); list.ReadUint16(&id); {
		if i := slices.IndexFunc(suites[:], func(s suite) bool { return s.id == id }); i >= 0 {
			order = order<<2 | uint8(i+1)
		}
	}
	return order
}

// ErrNoEarlyData is returned by WriteEarly where early data was not offered,
// was rejected, or has ended.
var ErrNoEarlyData = errors.New("tls: early data cannot be sent now")

// WriteEarly seals p as early data, which is replayable: whoever saw the bytes
// can send them to the server again. It takes as much as the ticket's
// max_early_data_size still allows, so n may be less than len(p) without an
// error. It works until the server's Finished was read, whatever the server
// says meanwhile, unless it says no, or the key is used up by very many small
// writes.
func (c *Client) WriteEarly(p []byte) (n int, err error) {
	switch {
	case c.err != nil:
		return 0, c.err
	case !c.earlyOpen():
		return 0, ErrNoEarlyData
	}
	// Section 4.2.10: only the plaintext counts.
	if n = len(p); uint64(n) > uint64(c.earlyLeft) {
		n = int(c.earlyLeft)
	}
	if n > 0 {
		c.sendCCS()
		c.send(recordApplication, p[:n])
		c.earlyLeft -= uint32(n)
	}
	return n, nil
}

// earlyOpen tells whether early data can be sent now. The early key cannot be
// updated, so it ends where that would be due (section 5.5).
func (c *Client) earlyOpen() bool {
	return c.err == nil && c.state != StateConnected && (c.status == EarlyOffered || c.status == EarlyAccepted) && !c.writer.exhausted()
}

// rejectEarly says that the server does not take the early data.
func (c *Client) rejectEarly(reason EarlyReason) {
	c.status, c.reason = EarlyRejected, reason
	c.event = Event{Kind: EventEarlyRejected, Reason: reason}
}

// sendCCS queues the change_cipher_spec of compatibility mode, once
// (section D.4): before the second hello, or the first protected record. It is
// never the last thing in the output, so that it costs no packet.
func (c *Client) sendCCS() {
	if !c.sentCCS && len(c.hello.sessionID) > 0 {
		c.out = appendPlaintext(c.out, recordCCS, versionTLS12, []byte{1})
	}
	c.sentCCS = true
}

// fail is link's, with the change_cipher_spec before a protected alert.
func (c *Client) fail(f Fault, cause error, info string) error {
	if c.err == nil && c.writer != nil {
		c.sendCCS()
	}
	return c.link.fail(f, cause, info)
}
