package handshake

import "strconv"

// Event is what Next of an engine has to say.
type Event struct {
	Kind    EventKind
	Data    []byte      // EventData, EventEarlyData: valid until the next Buffer or Feed
	Session *Session    // EventTicket
	Reason  EarlyReason // EventEarlyAccepted, EventEarlyRejected
}

// EventKind says what happened.
type EventKind uint8

// The kinds of events.
const (
	EventNone              EventKind = iota // nothing: more bytes are needed
	EventEarlyAccepted                      // the server took the early data
	EventEarlyRejected                      // the server dropped, or will drop, the early data
	EventHandshakeComplete                  // time to call Split
	EventTicket                             // Opener of a client: a session to resume
	EventData                               // Opener: application data
	EventCloseNotify                        // Opener: the peer will send no more
	EventEarlyData                          // server: early data, before EventHandshakeComplete; replayable
)

// EarlyStatus is what became of early data.
type EarlyStatus uint8

// The statuses of early data.
const (
	EarlyNotOffered EarlyStatus = iota
	EarlyOffered                // and the server did not answer yet
	EarlyAccepted
	EarlyRejected
)

// String returns "not offered", "offered", "accepted" or "rejected".
func (s EarlyStatus) String() string {
	return name("early status ", int(s), "not offered", "offered", "accepted", "rejected")
}

// EarlyReason says why early data was accepted, rejected or not offered. The
// list is append-only.
type EarlyReason uint8

// The reasons.
const (
	ReasonNone                  EarlyReason = iota // not known yet
	ReasonAccepted                                 // the server took it
	ReasonDisabled                                 // this side did not ask for it
	ReasonNoSession                                // there was no session to offer
	ReasonUnsupportedForSession                    // the ticket, or this hello, does not allow it
	ReasonPeerDeclined                             // the server resumed the session without it
	ReasonSessionNotResumed                        // the server did not resume the session
	ReasonHelloRetryRequest                        // the server asked for another hello
	ReasonALPNMismatch                             // the session's protocol is not offered any more
	ReasonTicketAgeSkew                            // server: the hello is not fresh (RFC 8446, section 8.3)
	ReasonReplayed                                 // server: the ticket may have been used for early data before
	ReasonALPSMismatch                             // the hello has other application settings than the session
	ReasonSuiteOrder                               // the server may select another cipher suite under this hello than with the session
)

// String returns the reason in words.
func (r EarlyReason) String() string {
	return name("early reason ", int(r), "none", "accepted", "disabled", "no session", "unsupported for session",
		"peer declined", "session not resumed", "hello retry request", "alpn mismatch", "ticket age skew", "replayed",
		"alps mismatch", "cipher suite order")
}

func name(prefix string, i int, names ...string) string {
	if i < len(names) {
		return names[i]
	}
	return prefix + strconv.Itoa(i)
}
