package main

import (
	"crypto/tls"

	"github.com/tlstfo/tlstfo/handshake"
)

// hookError is what a hook of the engine fails with, or the shim itself where
// a test expects that.
type hookError struct {
	token string
	text  string
	alert handshake.Alert
}

func (e *hookError) Error() string { return e.text }

// Unwrap gives the alert to the engine.
func (e *hookError) Unwrap() error { return tls.AlertError(e.alert) }

// verify is the engine's VerifyConnection: it plays the hooks of BoringSSL that
// verify a certificate and an OCSP response. The engine has verified the chain.
func (c *connection) verify(state tls.ConnectionState) error {
	o := c.options()
	if c.verified++; c.verified > 1 {
		return wrong("the peer was verified twice")
	}
	if len(state.PeerCertificates) == 0 {
		return nil // a client that was not asked for one, or has none
	}
	if len(o.ExpectOCSPResponse) > 0 && len(state.OCSPResponse) == 0 {
		return wrong("no OCSP response when the peer is verified")
	}
	if err := c.judge(state.DidResume); err != nil {
		return err
	}
	if o.UseOCSPCallback && o.FailOCSPCallback && !state.DidResume {
		return &hookError{"OCSP_CB_ERROR", "the OCSP hook says no", handshake.AlertBadCertificateStatusResponse}
	}
	return nil
}

// judge says what -verify-fail says, where certificates are looked at.
func (c *connection) judge(resumed bool) error {
	o := c.options()
	if resumed && !o.ReverifyOnResume {
		return nil
	}
	c.failed = o.VerifyFail
	if !o.VerifyFail || !o.VerifyPeer {
		return nil
	}
	alert := handshake.AlertHandshakeFailure
	if o.UseCustomVerifyCallback {
		alert = handshake.AlertCertificateUnknown
	}
	return &hookError{"CERTIFICATE_VERIFY_FAILED", "the verification hook says no", alert}
}
