package main

import (
	"bytes"
	"crypto/tls"

	"golang.org/x/sys/cpu"

	"github.com/tlstfo/tlstfo/handshake"
)

// checkPredicted checks what is known while early data is sent, before the
// server said anything: all of it comes from the session.
func (c *connection) checkPredicted() error {
	o := c.options()
	if o.ExpectNoOfferEarlyData {
		return wrong("early data was offered")
	}
	state := c.client.PredictedState()
	if state.HandshakeComplete || !state.DidResume {
		return wrong("predicted: complete %v, resumed %v", state.HandshakeComplete, state.DidResume)
	}
	if err := o.checkState(&state); err != nil {
		return err
	}
	return c.judge(true) // no byte for a server that would not be accepted
}

// checkHandshake checks a complete handshake.
func (c *connection) checkHandshake() error {
	o := c.options()
	state := c.engine.ConnectionState()
	if !state.HandshakeComplete {
		return wrong("the handshake is not complete")
	}
	if resumed := c.resuming && !o.ExpectSessionMiss; state.DidResume != resumed {
		return wrong("resumed %v, expected %v", state.DidResume, resumed)
	}
	algorithm := tls.SignatureScheme(o.ExpectPeerSignatureAlgorithm)
	if state.DidResume {
		algorithm = 0 // nothing was signed; BoringSSL has the session's here
	}
	if got := c.engine.PeerSignatureAlgorithm(); o.ExpectPeerSignatureAlgorithm != 0 && got != algorithm {
		return wrong("peer's signature algorithm %v, expected %v", got, algorithm)
	}
	if o.ExpectCurveID != 0 && state.CurveID != tls.CurveID(o.ExpectCurveID) {
		return wrong("group %v, expected %v", state.CurveID, tls.CurveID(o.ExpectCurveID))
	}
	if o.ExpectHRR && !state.HelloRetryRequest || o.ExpectNoHRR && state.HelloRetryRequest {
		return wrong("HelloRetryRequest: %v", state.HelloRetryRequest)
	}
	if o.ExpectVerifyResult && !state.DidResume && c.failed != o.VerifyFail {
		return wrong("verification failed: %v", c.failed)
	}
	if want := o.ExpectSelectedCredential; len(want) > 0 && c.selected != want[len(want)-1] {
		return wrong("credential %d was used, expected %d", c.selected, want[len(want)-1])
	}
	if err := c.checkEarlyData(); err != nil {
		return err
	}
	if c.client != nil {
		if err := c.checkSettings(); err != nil {
			return err
		}
	}
	if c.server != nil {
		if err := c.checkServer(&state); err != nil {
			return err
		}
	}
	return o.checkState(&state)
}

// checkSettings checks the application settings of the server.
func (c *connection) checkSettings() error {
	want := c.options().ExpectPeerApplicationSettings
	settings, ok := c.client.PeerApplicationSettings()
	if ok != (len(want) > 0) || ok && string(settings) != want[len(want)-1] {
		return wrong("application settings %v %q, expected %q", ok, settings, want)
	}
	return nil
}

// checkEarlyData makes the shim the judge of early data: the runner does not
// look whether a client offers any.
func (c *connection) checkEarlyData() error {
	o := c.options()
	if c.resuming {
		status := c.engine.EarlyData()
		if r := &c.sets.resume; r.ExpectAcceptEarlyData != (status == handshake.EarlyAccepted) ||
			r.ExpectRejectEarlyData != (status == handshake.EarlyRejected) {
			return wrong("early data was %v (%v)", status, c.engine.EarlyReason())
		}
	}
	if got := reasonName(c.engine.EarlyReason()); o.ExpectEarlyDataReason != "" && got != o.ExpectEarlyDataReason {
		return wrong("early data reason %q, expected %q", got, o.ExpectEarlyDataReason)
	}
	return nil
}

// reasonName is BoringSSL's name for a reason.
func reasonName(r handshake.EarlyReason) string {
	switch r {
	case handshake.ReasonAccepted:
		return "accept"
	case handshake.ReasonDisabled:
		return "disabled"
	case handshake.ReasonNoSession:
		return "no_session_offered"
	case handshake.ReasonUnsupportedForSession:
		return "unsupported_for_session"
	case handshake.ReasonPeerDeclined:
		return "peer_declined"
	case handshake.ReasonSessionNotResumed:
		return "session_not_resumed"
	case handshake.ReasonHelloRetryRequest:
		return "hello_retry_request"
	case handshake.ReasonALPNMismatch:
		return "alpn_mismatch"
	case handshake.ReasonTicketAgeSkew:
		return "ticket_age_skew"
	case handshake.ReasonALPSMismatch:
		return "alps_mismatch"
	}
	return "unknown"
}

// checkState checks what a real and a predicted state have in common.
func (o *options) checkState(state *tls.ConnectionState) error {
	if o.ExpectVersion != 0 && state.Version != o.ExpectVersion {
		return wrong("version %#04x, expected %#04x", state.Version, o.ExpectVersion)
	}
	aes := cpu.X86.HasAES || cpu.ARM64.HasAES
	for _, want := range []uint16{o.ExpectCipher, choose(aes, o.ExpectCipherAES, o.ExpectCipherNoAES)} {
		if want != 0 && state.CipherSuite != want {
			return wrong("cipher suite %#04x, expected %#04x", state.CipherSuite, want)
		}
	}
	if proto := choose(o.Server, o.SelectALPN, o.ExpectALPN); state.NegotiatedProtocol != proto {
		return wrong("application protocol %q, expected %q", state.NegotiatedProtocol, proto)
	}
	if len(o.ExpectOCSPResponse) > 0 && !bytes.Equal(state.OCSPResponse, o.ExpectOCSPResponse) {
		return wrong("OCSP response %x", state.OCSPResponse)
	}
	if scts := joinSCTs(state.SignedCertificateTimestamps); len(o.ExpectSCTs) > 0 && !bytes.Equal(scts, o.ExpectSCTs) {
		return wrong("signed certificate timestamps %x", scts)
	}
	if !o.Server && len(state.PeerCertificates) == 0 {
		return wrong("no certificate of the peer")
	}
	return o.checkPeer(state)
}

func choose[T any](first bool, a, b T) T {
	if first {
		return a
	}
	return b
}

// checkPeer compares the peer's chain with -expect-peer-cert-file.
func (o *options) checkPeer(state *tls.ConnectionState) error {
	if o.ExpectPeerCertFile == "" {
		return nil
	}
	chain, err := readCertificates(o.ExpectPeerCertFile)
	if err != nil {
		return err
	}
	if len(chain) != len(state.PeerCertificates) {
		return wrong("chain of %d, expected %d", len(state.PeerCertificates), len(chain))
	}
	for i, cert := range state.PeerCertificates {
		if !bytes.Equal(cert.Raw, chain[i]) {
			return wrong("certificate %d of the peer differs", i)
		}
	}
	return nil
}

// checkTickets checks that a ticket came, and what it allows.
func (c *connection) checkTickets() error {
	o := c.options()
	if o.Server {
		return nil
	}
	if got := c.newest != nil; got == o.ExpectNoSession {
		return wrong("a ticket came: %v", got)
	}
	if c.newest == nil {
		return nil
	}
	if got := c.newest.MaxEarlyData > 0; got != o.ExpectTicketSupportsEarlyData {
		return wrong("the ticket allows early data: %v", got)
	}
	return nil
}
