package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// words renders the findings for people.
func (f *findings) words() string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-13s %s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(&b, "%s is %s, round trip %.1f ms\n\nTCP Fast Open\n", f.Server, f.Address, f.RTT)
	line("cookie", "%s", map[string]string{
		cookieHad: "yes: this system had one of the server before", cookieGiven: "yes: the server gave one at first contact",
		cookieNone: "no: none came", isUnknown: "not known: " + cmp.Or(f.TFO.Why, "the system does not say"),
	}[f.TFO.Cookie])
	line("data in SYN", "%s", map[string]string{
		synAccepted: fmt.Sprintf("accepted: %d bytes", f.TFO.SynBytes), synRefused: fmt.Sprintf("refused: %d bytes were not acknowledged", f.TFO.SynBytes),
		synLost: "no answer: it was lost, and a plain SYN was not", synNotTried: "not tried: " + cmp.Or(f.TFO.Why, "no cookie"), isUnknown: "not known: " + cmp.Or(f.TFO.Why, "the system does not say"),
	}[f.TFO.SynData])
	f.tlsWords(&b, line)
	b.WriteString("\nHTTP\n")
	switch {
	case f.HTTP.Problem != "" && f.HTTP.Status == 0:
		line("status", "no HTTP/1.1 response: %s", f.HTTP.Problem)
	default:
		line("status", "%d", f.HTTP.Status)
	}
	line("425", "%s", f.tooEarlyWords())
	trips := func(first, again int, ms1, ms2 float64) string {
		known := func(n int, ms float64) string {
			if n == 0 && ms == 0 {
				return "not known"
			} else if n == 0 {
				return fmt.Sprintf("? (%.0f ms)", ms)
			}
			return fmt.Sprintf("%d (%.0f ms)", n, ms)
		}
		return fmt.Sprintf("%-16s%s", known(first, ms1), known(again, ms2))
	}
	b.WriteString("\nRound trips to the first byte of a response, on a new connection\n")
	line("", "%-16s%s", "first contact", "again")
	line("net/http", "%s", trips(f.RoundTrips.NetHTTPFirst, f.RoundTrips.NetHTTPAgain, f.FirstByte.NetHTTPFirst, f.FirstByte.NetHTTPAgain))
	line("tlstfo", "%s", trips(f.RoundTrips.TlstfoFirst, f.RoundTrips.TlstfoAgain, f.FirstByte.TlstfoFirst, f.FirstByte.TlstfoAgain))
	if len(f.Obstacles) == 0 {
		b.WriteString("\nNothing stands in the way of one round trip.\n")
		return b.String()
	}
	b.WriteString("\nWhat stands in the way of one round trip\n")
	for _, o := range f.Obstacles {
		b.WriteString(indented("  - ", o))
	}
	return b.String()
}

func (f *findings) tlsWords(b *strings.Builder, line func(string, string, ...any)) {
	b.WriteString("\nTLS\n")
	line("version", "%s, %s", f.TLS.Version, f.TLS.CipherSuite)
	if f.TLS.Engine == engineStd {
		line("run by", "crypto/tls: %s", f.TLS.WhyEngine)
	}
	group := cmp.Or(f.TLS.Group, "none")
	if f.TLS.SecondHello {
		group += ", after a second hello"
	}
	if f.TLS.GroupAgain != f.TLS.Group {
		group += "; again with a ticket: " + cmp.Or(f.TLS.GroupAgain, "none")
	}
	line("key exchange", "%s", group)
	line("protocol", "%s", cmp.Or(f.TLS.ALPN, "none chosen"))
	switch f.Tickets.Count {
	case ticketsHidden:
		line("tickets", "not known: crypto/tls does not show them")
	case 0:
		line("tickets", "none")
	default:
		line("tickets", "%d, valid for %s", f.Tickets.Count, lifetime(time.Duration(f.Tickets.Lifetime)*time.Second))
	}
	resumed := "not resumed"
	if f.Tickets.Resumed {
		resumed = "accepted on return"
	}
	line("resumption", "%s", resumed)
	early := "not tried: " + cmp.Or(f.Early.Reason, "no request that the server answers")
	switch {
	case f.Early.Accepted:
		early = fmt.Sprintf("accepted: %d bytes, of at most %d", f.Early.Bytes, f.Tickets.EarlyLimit)
	case f.Early.Offered:
		early = "refused: " + f.Early.Reason
	}
	line("early data", "%s", early)
}

func (f *findings) tooEarlyWords() string {
	switch {
	case f.HTTP.TooEarly:
		return "yes: the early request was answered 425 Too Early"
	case f.Early.Accepted:
		return "no: the early request was answered"
	}
	return "not known: no request was early"
}

// lifetime is in days, if there is no more to it.
func lifetime(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d == day:
		return "1 day"
	case d > 0 && d%day == 0:
		return fmt.Sprintf("%d days", d/day)
	}
	return d.String()
}

// indented is a paragraph with something in front of its first line, and as
// much room in front of the others.
func indented(first, text string) string {
	const width = 78
	var b strings.Builder
	line := first
	for i, word := range strings.Fields(text) {
		if i > 0 && len(line)+1+len(word) > width {
			b.WriteString(line + "\n")
			line = strings.Repeat(" ", len(first)) + word
			continue
		}
		if i > 0 {
			line += " "
		}
		line += word
	}
	return b.String() + line + "\n"
}
