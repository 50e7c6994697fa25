package main

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"slices"
	"time"

	"github.com/tlstfo/tlstfo/tfo"
)

// findings is what a probe found, as -json prints it.
type findings struct {
	Server     string        `json:"server"`
	Address    string        `json:"address"`
	RTT        float64       `json:"rtt_ms"`
	TFO        foundTFO      `json:"tfo"`
	TLS        foundTLS      `json:"tls"`
	Tickets    foundTickets  `json:"tickets"`
	Early      earlyReport   `json:"early"`
	HTTP       foundHTTP     `json:"http"`
	RoundTrips fourInts      `json:"round_trips"`
	FirstByte  fourDurations `json:"first_byte_ms"`
	Obstacles  []string      `json:"obstacles"`
	Error      string        `json:"error"`
}

type foundTFO struct {
	Cookie   string `json:"cookie"`
	SynData  string `json:"syn_data"`
	SynBytes int    `json:"syn_bytes"`
	Why      string `json:"why"`
}

type foundTLS struct {
	Version     string `json:"version"`
	CipherSuite string `json:"cipher_suite"`
	ALPN        string `json:"alpn"`
	Group       string `json:"group"`
	GroupAgain  string `json:"group_again"`
	SecondHello bool   `json:"second_hello"`
	Engine      string `json:"engine"`
	WhyEngine   string `json:"why_engine"`
}

type foundTickets struct {
	Count      int    `json:"count"`
	Lifetime   int    `json:"lifetime_s"`
	EarlyLimit uint32 `json:"early_limit"`
	Resumed    bool   `json:"resumed"`
}

type foundHTTP struct {
	Status   int    `json:"status"`
	TooEarly bool   `json:"too_early"`
	Problem  string `json:"problem"`
}

type fourInts struct {
	NetHTTPFirst int `json:"net_http_first"`
	NetHTTPAgain int `json:"net_http_again"`
	TlstfoFirst  int `json:"tlstfo_first"`
	TlstfoAgain  int `json:"tlstfo_again"`
}

type fourDurations struct {
	NetHTTPFirst float64 `json:"net_http_first"`
	NetHTTPAgain float64 `json:"net_http_again"`
	TlstfoFirst  float64 `json:"tlstfo_first"`
	TlstfoAgain  float64 `json:"tlstfo_again"`
}

// What a probe says of TCP Fast Open.
const (
	cookieHad     = "had"
	cookieGiven   = "given"
	cookieNone    = "none"
	synAccepted   = "accepted"
	synRefused    = "refused"
	synLost       = "lost"
	synNotTried   = "not tried"
	isUnknown     = "unknown"
	engineOwn     = "tlstfo"
	engineStd     = "crypto/tls"
	ticketsHidden = -1 // crypto/tls does not show them
)

// findings draws the conclusions from the connections, as far as there are any.
func (p *prober) findings() *findings {
	first, again := p.own[0], p.own[1]
	f := &findings{Server: p.options.server, Address: p.std[0].remote, Obstacles: []string{}}
	f.FirstByte = fourDurations{milliseconds(p.std[0].firstByte), milliseconds(p.std[1].firstByte), milliseconds(first.firstByte), milliseconds(again.firstByte)}
	f.RoundTrips = fourInts{p.std[0].roundTrips(), p.std[1].roundTrips(), first.roundTrips(), again.roundTrips()}
	if p.std[0].problem != nil {
		f.HTTP.Problem = message(p.std[0].problem)
	}
	state := p.std[0].state
	f.TLS.Version, f.TLS.CipherSuite = tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite)
	if first.state.Version == 0 || again.state.Version == 0 {
		f.TLS.Version, f.TLS.CipherSuite = "", ""
		return f // the probe failed before
	}
	f.RTT = milliseconds(least(first.info.RTT, again.info.RTT))
	f.TFO = fastOpen(first, again.info.FastOpen)
	f.TLS = foundTLS{
		Version: tls.VersionName(first.state.Version), CipherSuite: tls.CipherSuiteName(first.state.CipherSuite),
		ALPN: first.state.NegotiatedProtocol, Group: groupName(first.state), GroupAgain: groupName(again.state),
		SecondHello: first.info.HelloRetryRequest || first.state.HelloRetryRequest, Engine: engineOwn, WhyEngine: first.info.CryptoTLS,
	}
	f.Tickets = foundTickets{Count: len(first.tickets), Resumed: again.info.Resumed || again.state.DidResume}
	if first.info.CryptoTLS != "" {
		f.TLS.Engine, f.Tickets.Count = engineStd, ticketsHidden
	}
	for _, ticket := range first.tickets {
		f.Tickets.Lifetime = max(f.Tickets.Lifetime, int(ticket.Lifetime()/time.Second))
		f.Tickets.EarlyLimit = max(f.Tickets.EarlyLimit, ticket.MaxEarlyData())
	}
	early := again.info.Early
	f.Early = earlyReport{early.Offered, early.Accepted, early.Bytes, early.Reason.String()}
	f.HTTP.Status, f.HTTP.TooEarly = cmp.Or(again.status, first.status), again.tooEarly
	if problem := cmp.Or(again.problem, first.problem); problem != nil && f.HTTP.Problem == "" {
		f.HTTP.Problem = message(problem)
	}
	f.Obstacles = append(f.Obstacles, f.obstacles(again)...)
	return f
}

// least is the smaller one, but for zero, which is unknown.
func least(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

func groupName(state tls.ConnectionState) string {
	if state.CurveID == 0 {
		return ""
	}
	return state.CurveID.String()
}

// fastOpen concludes from two connections what the path and the server do.
func fastOpen(first contact, again tfo.Info) foundTFO {
	f := foundTFO{Cookie: isUnknown, SynData: isUnknown, SynBytes: again.SynBytes, Why: again.Why.String()}
	switch {
	case first.cookie == tfo.CookiePresent:
		f.Cookie = cookieHad
	case first.cookie == tfo.CookieAbsent && (again.CookieSent || lost(again, tfo.CookiePresent)):
		f.Cookie = cookieGiven
	case first.info.FastOpen.CookieAsked && again.CookieAsked:
		f.Cookie = cookieNone
	}
	switch {
	case again.SynAcked:
		f.SynData = synAccepted
	case again.CookieSent && again.SynBytes > 0 && again.Why == tfo.ReasonNotAcked:
		f.SynData = synRefused
	case lost(again, tfo.CookiePresent):
		f.SynData = synLost
	case !again.CookieSent:
		f.SynData = synNotTried
	}
	return f
}

// lost says that an attempt with Fast Open, of this cookie state, had no answer
// in time, and a plain SYN had one.
func lost(dial tfo.Info, cookie tfo.CookieState) bool {
	return (dial.Why == tfo.ReasonPlainWay || dial.Why == tfo.ReasonSynRetransmitted) &&
		slices.ContainsFunc(dial.Attempts, func(a *tfo.Attempt) bool { return a.Way == tfo.WayFastOpen && a.Cookie == cookie })
}

// roundTrips counts up to the first byte of a response: TCP's handshake, TLS's
// (crypto/tls has no early data and no False Start), and the request.
func (c stdContact) roundTrips() int {
	if c.problem != nil || c.firstByte == 0 {
		return 0
	}
	return 2 + handshakeTrips(c.state, c.state.HelloRetryRequest)
}

func handshakeTrips(state tls.ConnectionState, retried bool) int {
	switch {
	case state.Version < tls.VersionTLS13 && !state.DidResume:
		return 2
	case retried:
		return 2
	}
	return 1
}

// roundTrips is less what rode in the SYN, and what was early. It is of the
// connection that the response came on, and 0 if there was none or if others
// were tried before it, which took their own time.
func (c contact) roundTrips() int {
	if c.problem != nil || c.firstByte == 0 || c.info.Redials > 0 {
		return 0
	}
	saved := 0
	if c.info.FastOpen.SynAcked && c.overflow() == 0 {
		saved++
	}
	if c.info.Early.Accepted && !c.tooEarly {
		saved++
	}
	return 2 + handshakeTrips(c.state, c.info.HelloRetryRequest) - saved
}

// overflow is how much of the first flight did not fit the SYN that had the
// rest. What of it is the hello or early data makes no difference: it came a
// round trip later, as without Fast Open.
func (c contact) overflow() int {
	if c.info.FastOpen.SynBytes == 0 {
		return 0
	}
	return max(c.info.Overflow, c.info.HelloBytes-c.info.FastOpen.SynBytes)
}

// obstacles says what stands in the way of one round trip, and what to do.
func (f *findings) obstacles(again contact) (all []string) {
	say := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	info := again.info
	switch why := info.FastOpen.Why; {
	case f.TFO.SynData == synAccepted:
	case why == tfo.ReasonSwitchedOff || why == tfo.ReasonUnsupported:
		say("This system has no TCP Fast Open, or has it switched off (Linux: net.ipv4.tcp_fastopen): what the server does cannot be known from here.")
	case f.TFO.Cookie == cookieNone:
		say("No TCP Fast Open cookie came, though two SYNs asked for one: the server does not have it switched on (Linux: bit 2 of net.ipv4.tcp_fastopen, and in nginx \"listen ... fastopen=256\"), or something on the path takes the option away.")
	case f.TFO.SynData == synRefused:
		say("The SYN carried the cookie and %d bytes, and the SYN-ACK did not acknowledge them: the server did not take the cookie, is short of room for such connections, or something on the path took the data away.", info.FastOpen.SynBytes)
	case f.TFO.SynData == synLost:
		say("A SYN with data had no answer in time, and a plain one had: something on the path drops such SYNs, or it was chance.")
	case lost(info.FastOpen, tfo.CookieAbsent):
		say("A SYN that asked for a TCP Fast Open cookie had no answer in time, and a plain one had: something on the path drops such SYNs, or it was chance.")
	default:
		say("No data rode in the SYN (%v): whether the server would take it is not known.", cmp.Or(why.String(), "no reason given"))
	}
	if n := again.overflow(); n > 0 {
		say("The first flight was %d bytes too long for the SYN.", n)
	}
	if again.state.Version < tls.VersionTLS13 {
		say("The server speaks %s: early data needs TLS 1.3.", tls.VersionName(again.state.Version))
		return all
	}
	switch {
	case info.CryptoTLS != "":
		say("The connection ran in crypto/tls, which has no early data: %s.", info.CryptoTLS)
	case f.HTTP.Problem != "" && again.status == 0:
		say("There was no response to an HTTP/1.1 request: what the server does with early data was not tried.")
	case f.Tickets.Count == 0:
		say("The server gave no ticket: without one there is neither resumption nor early data.")
	case f.Tickets.EarlyLimit == 0:
		say("The server's tickets allow no early data (nginx: \"ssl_early_data on\").")
	case f.HTTP.TooEarly:
		say("The server accepts early data, and answers early requests with 425 Too Early: they cost one more round trip.")
	case !info.Early.Accepted:
		say("Early data was not accepted: %s.", cmp.Or(info.Early.Reason.String(), "no reason given"))
	}
	if info.HelloRetryRequest {
		say("The server asked for a second hello: it prefers a group that the first one had no share of.")
	}
	if info.Redials > 0 {
		say("The connection had to be dialled again: %s.", info.Redial)
	}
	return all
}
