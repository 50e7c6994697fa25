package tlstfo

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/tlstfo/tlstfo/handshake"
)

// The conditions that callers act on. Test for them with errors.Is.
var (
	// ErrEarlyDataRejected says that the server refused the early data and
	// that sending it again on this connection was not allowed: by
	// Dialer.FailOnReject, or because what the connection now is differs from
	// what the early data was meant for (another protocol, another identity).
	// Nothing of it was processed under this connection's traffic keys. The
	// request may be made anew.
	ErrEarlyDataRejected = errors.New("the server rejected the early data")

	// ErrEarlyDataAccepted says that the connection broke after the server had
	// accepted the early data: it may have acted on it. Only a replayable
	// request may be made anew.
	ErrEarlyDataAccepted = errors.New("the connection broke after the server had accepted the early data")

	// ErrEarlyDataUncertain says that early data left this machine, that the
	// connection broke before the server answered, and that dialling again was
	// not allowed or did not help. The server may have acted on it.
	ErrEarlyDataUncertain = errors.New("the connection broke after early data was sent and before the server answered")

	// ErrNotTLS13 says that the peer does not speak TLS 1.3 and that the
	// connection could not be dialled anew through crypto/tls: MinVersion
	// forbids older versions, or the net.Conn came from the caller.
	ErrNotTLS13 = errors.New("the server does not speak TLS 1.3")

	// ErrTimeout is the cause of a dial that Dialer.Timeout ended. It is
	// os.ErrDeadlineExceeded too, and its Timeout method returns true.
	ErrTimeout error = timeoutError{}
)

// Error is what a dial, and every later call on the Conn, returns when no
// connection could be set up. It wraps the cause: handshake.LocalError,
// handshake.RemoteError, net.OpError, a context's error, or one of the
// conditions of this package.
type Error struct {
	Op   string // "dial", "handshake"
	Addr string // what the caller dialled
	Err  error
	Info ConnInfo // of the last dial, as far as it came
}

// Error names what failed, to whom and why.
func (e *Error) Error() string { return fmt.Sprintf("tlstfo: %s %s: %v", e.Op, e.Addr, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Timeout makes Error a net.Error.
func (e *Error) Timeout() bool {
	var t interface{ Timeout() bool }
	return errors.Is(e.Err, os.ErrDeadlineExceeded) || errors.As(e.Err, &t) && t.Timeout()
}

// Temporary makes Error a net.Error. It is always false: what is worth another
// attempt has had it.
func (e *Error) Temporary() bool { return false }

var _ net.Error = (*Error)(nil)

type timeoutError struct{}

func (timeoutError) Error() string {
	return "no connection within the time allowed (raise Dialer.Timeout)"
}
func (timeoutError) Timeout() bool        { return true }
func (timeoutError) Is(target error) bool { return target == os.ErrDeadlineExceeded }

// isOlder tells whether err is the plain word of a server without TLS 1.3: a
// ServerHello of an older version, or the alert for that.
func isOlder(err error) bool {
	return errors.Is(err, handshake.FaultUnsupportedVersion) || errors.Is(err, handshake.FaultBadVersion) ||
		errors.Is(err, handshake.FaultDowngrade) || plaintextAlert(err) == handshake.AlertProtocolVersion
}

// looksOlder tells whether err is what a server without TLS 1.3 may answer to
// a hello that it cannot use. Whoever is on the path can forge it, so it only
// ever leads to a handshake through crypto/tls, which offers TLS 1.3 again and
// checks for a downgrade.
func looksOlder(err error) bool {
	alert := plaintextAlert(err)
	return isOlder(err) || alert == handshake.AlertHandshakeFailure || alert == handshake.AlertInsufficientSecurity ||
		errors.Is(err, handshake.FaultBadAlert) // a warning, of which older versions have more: most often about the name
}

// plaintextAlert is the fatal alert that came without protection; 0 if none did.
func plaintextAlert(err error) handshake.Alert {
	var remote *handshake.RemoteError
	if errors.As(err, &remote) && !remote.Authenticated {
		return remote.Alert
	}
	return 0
}
