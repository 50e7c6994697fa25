package tfogrpc

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"

	"github.com/tlstfo/tlstfo/handshake"
)

// handshakeError is an error of ClientHandshake. Most often it wraps a *tlstfo.Error.
type handshakeError struct{ err error }

func (e *handshakeError) Error() string { return e.err.Error() }
func (e *handshakeError) Unwrap() error { return e.err }

// Temporary tells grpc-go whether another attempt may end otherwise, with nothing changed at either end. It matters with
// grpc.FailOnNonTempDialError alone: without that there is always another attempt.
func (e *handshakeError) Temporary() bool {
	var local *handshake.LocalError
	var remote *handshake.RemoteError
	var certificate *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var dial *net.OpError
	switch {
	case errors.Is(e.err, errNoH2), errors.As(e.err, &certificate), errors.As(e.err, &unknown),
		errors.As(e.err, &local), errors.As(e.err, &remote):
		return false
	case errors.As(e.err, &dial):
		return dial.Temporary() // as where grpc-go dials itself
	}
	return true
}
