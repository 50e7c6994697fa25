package main

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"time"

	"github.com/tlstfo/tlstfo"
	"github.com/tlstfo/tlstfo/tfo"
)

// report is what -json prints of a request. Its members are all there in every
// object.
type report struct {
	N          int         `json:"n"`
	Status     int         `json:"status"`
	Proto      string      `json:"proto"`
	BodyBytes  int64       `json:"body_bytes"`
	BodySHA256 string      `json:"body_sha256"`
	TLS        string      `json:"tls"`
	ALPN       string      `json:"alpn"`
	Resumed    bool        `json:"resumed"`
	Early      earlyReport `json:"early"`
	TFO        tfoReport   `json:"tfo"`
	MS         timeReport  `json:"ms"`
	Remote     string      `json:"remote"`
	Error      string      `json:"error"`
}

type earlyReport struct {
	Offered  bool   `json:"offered"`
	Accepted bool   `json:"accepted"`
	Bytes    int    `json:"bytes"`
	Reason   string `json:"reason"`
}

type tfoReport struct {
	Way      string `json:"way"`
	Cookie   string `json:"cookie"`
	SynBytes int    `json:"syn_bytes"`
	SynAcked bool   `json:"syn_acked"`
	Why      string `json:"why"`
}

// timeReport is in milliseconds.
type timeReport struct {
	DNS       float64 `json:"dns"`
	Connect   float64 `json:"connect"`
	FirstByte float64 `json:"first_byte"`
	Total     float64 `json:"total"`
}

// connection fills in what the connection came to.
func (r *report) connection(conn *tlstfo.Conn) {
	info, state := conn.Info(), conn.ConnectionState()
	if state.HandshakeComplete {
		r.TLS = tls.VersionName(state.Version)
	}
	r.ALPN = state.NegotiatedProtocol
	r.Resumed = info.Resumed
	r.Early = earlyReport{info.Early.Offered, info.Early.Accepted, info.Early.Bytes, info.Early.Reason.String()}
	r.Remote = conn.RemoteAddr().String()

	f := info.FastOpen
	if f.Won == nil {
		return // the dial failed
	}
	r.TFO = tfoReport{Way: f.Way.String(), Cookie: cookie(f), SynBytes: f.SynBytes, SynAcked: f.SynAcked, Why: f.Why.String()}
	r.MS.DNS, r.MS.Connect = milliseconds(f.ResolveTime), milliseconds(f.ConnectTime)
}

// cookie says what the SYN had of RFC 7413's option.
func cookie(f tfo.Info) string {
	switch {
	case f.CookieSent:
		return "sent"
	case f.CookieAsked:
		return "asked"
	}
	return "none"
}

// print writes the report as one line. failure is why there is no response.
func (r *report) print(w io.Writer, failure error) error {
	if failure != nil {
		r.Error = message(failure)
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(r)
}

// milliseconds has three decimals.
func milliseconds(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond).Microseconds()) / 1000
}
