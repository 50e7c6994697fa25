//go:build !tlstfo_portable

package tfo

import (
	"bytes"
	"testing"
)

func TestCookieAskedThenUsed(t *testing.T) {
	inNetns(t)
	for _, test := range []struct{ name, network, address string }{
		{"IPv4", "tcp4", "127.0.1.1:0"},
		{"IPv6", "tcp6", "[::1]:0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			address, got := sink(t, test.network, test.address)
			data := []byte("the first flight")
			d := new(Dialer)

			rise := counters(t, func() {
				info, server := dialSink(t, d, test.network, address, data, got)
				if !info.CookieAsked || info.CookieSent || info.SynBytes != 0 || info.SynAcked || info.Why != ReasonNoCookie || info.Way != WayFastOpen {
					t.Errorf("first dial: %+v", info)
				}
				if info.Won.Cookie != CookieAbsent {
					t.Errorf("first dial: cookie %v beforehand", info.Won.Cookie)
				}
				if server.synData || !bytes.Equal(server.data, data) {
					t.Errorf("first dial: server got %+v", server)
				}
			}, "TCPFastOpenActive", "TCPFastOpenPassive", "TCPFastOpenCookieReqd")
			if rise["TCPFastOpenActive"] != 0 || rise["TCPFastOpenPassive"] != 0 || rise["TCPFastOpenCookieReqd"] != 1 {
				t.Errorf("first dial: %v", rise)
			}

			rise = counters(t, func() {
				info, server := dialSink(t, d, test.network, address, data, got)
				if info.CookieAsked || !info.CookieSent || info.SynBytes != len(data) || !info.SynAcked || info.Why != ReasonNone || info.Way != WayFastOpen {
					t.Errorf("second dial: %+v", info)
				}
				if info.Won.Cookie != CookiePresent || !info.Won.Left || info.Won.Err != nil {
					t.Errorf("second dial: %+v", info.Won)
				}
				if !server.synData || !bytes.Equal(server.data, data) {
					t.Errorf("second dial: server got %+v", server)
				}
			}, "TCPFastOpenActive", "TCPFastOpenPassive", "TCPFastOpenCookieReqd")
			if rise["TCPFastOpenActive"] != 1 || rise["TCPFastOpenPassive"] != 1 || rise["TCPFastOpenCookieReqd"] != 0 {
				t.Errorf("second dial: %v", rise)
			}
		})
	}
}
