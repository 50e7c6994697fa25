package tfo

import "time"

// Info says what happened during a dial.
type Info struct {
	Attempts []*Attempt // in the order in which they began
	Won      *Attempt   // one of them, or nil if the dial failed

	// The rest is about the attempt that won.

	Way              Way    // WayFastOpen if its SYN asked for a cookie or carried one
	CookieAsked      bool   // the SYN asked for a cookie
	CookieSent       bool   // the SYN carried a cookie
	SynBytes         int    // bytes of the flight that the kernel took with the SYN; FreeBSD and Windows do not say whether it carried them
	SynAcked         bool   // the SYN-ACK acknowledged SYN data (the kernel does not say how much)
	SynRetransmitted bool   // the SYN was lost, or its answer; known for WayFastOpen only
	Why              Reason // why no data rode in the SYN, or why it was not acknowledged; ReasonNone if it was

	ConnectTime time.Duration // from the SYN to the SYN-ACK
	ResolveTime time.Duration // what the resolver took
}

func (i *Info) won(t *attempt) {
	i.Won = t.Attempt
	if t.syn.cookieAsked || t.taken > 0 {
		i.Way = WayFastOpen
	}
	i.CookieAsked = t.syn.cookieAsked
	i.CookieSent = t.syn.cookieSent
	i.SynBytes = t.taken
	i.SynAcked = t.syn.acked
	i.SynRetransmitted = t.syn.retransmitted
	i.Why = t.syn.why
	i.ConnectTime = t.elapsed
}

// Reason says why Fast Open did not carry data, or does not work. The list only grows.
type Reason uint8

const (
	ReasonNone             Reason = iota // it worked
	ReasonNothingToSend                  // there was no first data
	ReasonDisabled                       // the caller disabled it
	ReasonUnsupported                    // the system or this build has no Fast Open
	ReasonSwitchedOff                    // the system has it, but it is switched off (Linux: net.ipv4.tcp_fastopen)
	ReasonNoCookie                       // there was no cookie for this server yet
	ReasonPaused                         // the kernel paused it after connections that stalled
	ReasonNotAcked                       // the server did not take the data in the SYN
	ReasonSynRetransmitted               // the SYN was lost; a SYN without data got through
	ReasonPlainWay                       // a plain attempt won
	ReasonUnknown                        // the system does not say
	ReasonAvoided                        // the Memory says that it did harm there
	ReasonMultipath                      // an adopted listener uses Multipath TCP, which stalls with it
)

var reasons = [...]string{
	ReasonNone:             "none",
	ReasonNothingToSend:    "nothing to send",
	ReasonDisabled:         "disabled",
	ReasonUnsupported:      "unsupported",
	ReasonSwitchedOff:      "switched off",
	ReasonNoCookie:         "no cookie",
	ReasonPaused:           "paused by the kernel",
	ReasonNotAcked:         "not acked",
	ReasonSynRetransmitted: "syn retransmitted",
	ReasonPlainWay:         "plain attempt won",
	ReasonUnknown:          "unknown",
	ReasonAvoided:          "avoided",
	ReasonMultipath:        "multipath tcp",
}

func (r Reason) String() string {
	if int(r) < len(reasons) {
		return reasons[r]
	}
	return "reason?"
}
