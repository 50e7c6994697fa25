package tlstfo

import (
	"bytes"
	"time"

	"github.com/tlstfo/tlstfo/handshake"
)

// EarlyDataPolicy is asked before any early data leaves. It is a second lock
// behind the caller's own word (DialEarly, Dialer.Early) that the bytes are
// replayable: whatever it returns, nothing else becomes early. It is called
// once per attempt and may be called by several dials at once.
type EarlyDataPolicy func(EarlyDataOffer) bool

// EarlyDataOffer is what an EarlyDataPolicy decides on.
type EarlyDataOffer struct {
	Addr       string        // what the caller dialled
	ServerName string        // whom the session was authenticated as
	ALPN       string        // the protocol that the server chose with the ticket
	TicketAge  time.Duration // since the ticket was received
	Size       int           // how many replayable bytes want to be early
	Limit      uint32        // the ticket's max_early_data_size, in bytes (RFC 8446, section 4.6.1)
}

// EarlyReason says why early data was or was not accepted. The list is
// append-only.
type EarlyReason uint8

const (
	EarlyNone               EarlyReason = iota // the connection has not come to the point yet
	EarlyAccepted                              // the server accepted it
	EarlyNotAsked                              // the caller handed over no replayable bytes in time
	EarlyNoSession                             // no ticket was there
	EarlyUnsupportedSession                    // the ticket allows none
	EarlyPolicy                                // EarlyDataPolicy refused
	EarlyClock                                 // the ticket's age is in doubt: another boot, or the clock was set
	EarlyIdentity                              // the stored identity no longer verifies: the session was dropped
	EarlyPaused                                // the server broke on early data a short while ago
	EarlyOnceOnly                              // another attempt of the same dial may have sent it
	EarlyCryptoTLS                             // the connection runs in crypto/tls, which has none
	EarlyPeerDeclined                          // the server resumed the session and refused the early data
	EarlyNotResumed                            // the server did not resume the session
	EarlyHelloRetryRequest                     // the server asked for another hello (RFC 8446, section 4.1.4)
	EarlyBroke                                 // the connection broke before the server answered
	EarlySuiteOrder                            // the hello is not like the session's: the server may select another cipher suite
	EarlyOtherProtocol                         // the ticket is of a protocol that DialEarlyAs does not name: it went back
)

var earlyReasonNames = [...]string{"", "accepted", "not asked", "no session", "unsupported for session", "policy",
	"clock", "identity", "paused", "once only", "crypto/tls", "peer declined", "session not resumed",
	"hello retry request", "broke before the answer", "cipher suite order", "other protocol"}

// String returns the reason in a few words; "" for EarlyNone.
func (r EarlyReason) String() string {
	if int(r) < len(earlyReasonNames) {
		return earlyReasonNames[r]
	}
	return "unknown"
}

// MarshalText makes the reason readable in JSON.
func (r EarlyReason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// rejection maps what the engine saw to a reason.
func rejection(r handshake.EarlyReason) EarlyReason {
	switch r {
	case handshake.ReasonHelloRetryRequest:
		return EarlyHelloRetryRequest
	case handshake.ReasonSessionNotResumed:
		return EarlyNotResumed
	}
	return EarlyPeerDeclined
}

// notOffered maps why the engine offered none to a reason.
func notOffered(r handshake.EarlyReason) EarlyReason {
	if r == handshake.ReasonSuiteOrder {
		return EarlySuiteOrder
	}
	return EarlyUnsupportedSession
}

// ReplayableHTTP1 is a classifier for Dialer.Early: it calls HTTP/1.1 GET and
// HEAD requests without a body *replayable* (RFC 9110, section 9.2.1, calls
// them safe; RFC 8470 builds on it). It returns the length of first if that
// is one or more such requests, whole and nothing else, and 0 for everything
// else: a request that is cut short, or has a bare CR or LF or a zero byte; one
// with a Content-Length or Transfer-Encoding, whatever it says, or with a TE,
// Trailer, Upgrade, Expect or Proxy- field; any other method or version.
func ReplayableHTTP1(first []byte) int {
	for rest := first; ; {
		head, after, whole := bytes.Cut(rest, []byte("\r\n\r\n"))
		if !whole || !replayableHead(head) {
			return 0
		}
		if rest = after; len(rest) == 0 {
			return len(first)
		}
	}
}

// replayableHead looks at one request up to its empty line.
func replayableHead(head []byte) bool {
	line, fields, _ := bytes.Cut(head, []byte("\r\n"))
	if !bytes.HasPrefix(line, []byte("GET ")) && !bytes.HasPrefix(line, []byte("HEAD ")) ||
		!bytes.HasSuffix(line, []byte(" HTTP/1.1")) || bytes.Count(line, []byte(" ")) != 2 {
		return false
	}
	if bytes.ContainsAny(bytes.ReplaceAll(head, []byte("\r\n"), nil), "\r\n\x00") {
		return false // a bare CR or LF: two parsers may see two different requests
	}
	for field := range bytes.SplitSeq(fields, []byte("\r\n")) {
		name, _, ok := bytes.Cut(field, []byte(":"))
		if len(field) == 0 {
			continue
		}
		if !ok || len(name) == 0 || bytes.ContainsAny(name, " \t") {
			return false
		}
		switch string(bytes.ToLower(name)) {
		case "content-length", "transfer-encoding", "upgrade", "expect", "te", "trailer":
			return false
		}
		if bytes.HasPrefix(bytes.ToLower(name), []byte("proxy-")) {
			return false
		}
	}
	return true
}
