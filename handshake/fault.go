package handshake

import (
	"crypto/tls"
	"errors"
	"fmt"
)

// Alert is a TLS alert description (RFC 8446, section 6). Its String is the
// one of crypto/tls.
type Alert uint8

// String returns the text that crypto/tls prints for the alert.
func (a Alert) String() string { return tls.AlertError(a).Error() }

// The alerts that this package sends, and others that a peer or a callback has a
// use for (RFC 8446, section 6, and RFC 7301, section 3.2, for the last).
const (
	AlertCloseNotify                  Alert = 0
	AlertUnexpectedMessage            Alert = 10
	AlertBadRecordMAC                 Alert = 20
	AlertRecordOverflow               Alert = 22
	AlertHandshakeFailure             Alert = 40
	AlertBadCertificate               Alert = 42
	AlertUnsupportedCertificate       Alert = 43
	AlertCertificateUnknown           Alert = 46
	AlertIllegalParameter             Alert = 47
	AlertUnknownCA                    Alert = 48
	AlertAccessDenied                 Alert = 49
	AlertDecodeError                  Alert = 50
	AlertDecryptError                 Alert = 51
	AlertProtocolVersion              Alert = 70
	AlertInsufficientSecurity         Alert = 71
	AlertInternalError                Alert = 80
	AlertUserCanceled                 Alert = 90
	AlertMissingExtension             Alert = 109
	AlertUnsupportedExtension         Alert = 110
	AlertUnrecognizedName             Alert = 112
	AlertBadCertificateStatusResponse Alert = 113
	AlertCertificateRequired          Alert = 116
	AlertNoApplicationProtocol        Alert = 120
)

// The levels of alerts (RFC 8446, section 6).
const (
	alertWarning = 1
	alertFatal   = 2
)

// level is what an alert is sent with (RFC 8446, section 6): closures are
// warnings, errors are fatal.
func (a Alert) level() byte {
	if a == AlertCloseNotify || a == AlertUserCanceled {
		return alertWarning
	}
	return alertFatal
}

// LocalError is a fault that this side found. After it the connection is
// dead: the alert that Alert names was queued for the peer, and every later
// call returns the same error.
type LocalError struct {
	Fault Fault  // what went wrong
	State State  // the state in which it was found
	Err   error  // the cause, or nil
	Info  string // detail for people, or ""
}

// Error names the fault, the state and the cause.
func (e *LocalError) Error() string {
	s := "tls: " + e.Fault.String()
	if e.Info != "" {
		s += " (" + e.Info + ")"
	}
	s += " while " + e.State.String()
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *LocalError) Unwrap() error { return e.Err }

// Is makes errors.Is(err, handshake.FaultX) work.
func (e *LocalError) Is(target error) bool { f, ok := target.(Fault); return ok && f == e.Fault }

// Alert is the alert that the peer was sent: the one that Fault.Alert names,
// unless a callback of the application returned an error that has another, as a
// tls.AlertError.
func (e *LocalError) Alert() Alert {
	var chosen tls.AlertError
	if e.Fault.ofCallback() && errors.As(e.Err, &chosen) {
		if a := Alert(chosen); a != AlertCloseNotify && a != AlertUserCanceled {
			return a
		}
	}
	return e.Fault.Alert()
}

// RemoteError is an alert of the peer that ended the connection: a fatal one, or
// close_notify in the midst of the handshake. Unless Authenticated is
// true it came in plaintext and anybody on the path may have made it. Where it is
// true the alert is from whoever did the key exchange; before a server's
// certificate was verified that may be anybody on the path as well.
type RemoteError struct {
	Alert         Alert
	State         State // the state in which it arrived
	Authenticated bool  // it was protected by handshake or traffic keys
}

// Error names the alert.
func (e *RemoteError) Error() string {
	if e.Alert == AlertCloseNotify {
		return "tls: the peer sent close_notify while " + e.State.String()
	}
	return fmt.Sprintf("tls: the peer sent a fatal alert while %s: %s", e.State, e.Alert)
}

// Unwrap returns the alert as a tls.AlertError, for errors.As.
func (e *RemoteError) Unwrap() error { return tls.AlertError(e.Alert) }
