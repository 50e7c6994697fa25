package tlstfo

import (
	"time"

	"github.com/tlstfo/tlstfo/tfo"
)

// ConnInfo says what happened on a connection, in numbers. It is filled as
// things happen and final once HandshakeDone is closed. An *Error has it too.
type ConnInfo struct {
	Resumed   bool   // a ticket was used, and the server resumed its session
	CryptoTLS string // why the connection runs in crypto/tls; "" if it runs in this package's engine
	Redials   int    // dials after the first
	Redial    string // why the last of them, or ""

	// Hedged says that a plain connection was opened beside one whose SYN carried
	// data and on which nothing followed the SYN-ACK. Redials counts it if it was
	// answered first.
	Hedged bool

	Early    EarlyInfo
	FastOpen tfo.Info // of the dial that the connection runs on; zero for Client

	HelloBytes int // the first ClientHello, with its record header
	Overflow   int // bytes of the first flight that did not fit a SYN that could have carried it

	RTT               time.Duration // from the SYN to the SYN-ACK; 0 for Client
	Tickets           int           // tickets received so far
	HelloRetryRequest bool          // the server asked for a second hello
	ClassicalOnly     bool          // the hello listed no post-quantum group, as the ticket's session is from one (see the package documentation)
}

// EarlyInfo says what became of early data.
type EarlyInfo struct {
	Offered  bool
	Accepted bool
	Bytes    int         // replayable bytes that were sent early
	Reason   EarlyReason // why it was accepted, or why it was not
	Resent   int         // bytes that went again under traffic keys, after a rejection
	Broken   int         // bytes that left early on a dial that broke before the server answered, and went again on this one
}

// broke notes the end of a connection on which the server may not have answered.
func (e *EarlyInfo) broke() {
	if e.Offered && e.Reason == EarlyNone {
		e.Reason = EarlyBroke
	}
}
