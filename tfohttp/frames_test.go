package tfohttp

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
)

// frame is an HTTP/2 frame.
func frame(kind, flags byte, stream uint32, payload string) string {
	head := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags}
	return string(binary.BigEndian.AppendUint32(head, stream)) + payload
}

// untilHeaders reads until the client's HEADERS are there.
func untilHeaders(c net.Conn) {
	var got []byte
	for b := make([]byte, 4096); ; {
		n, err := c.Read(b)
		got = append(got, b[:n]...)
		if _, streams := frames(got, true); streams || err != nil {
			return
		}
	}
}

// A server says by GOAWAY that it did not look at the request. It is made on another connection, body and all (RFC 9113, section 6.8).
func TestGoAway(t *testing.T) {
	const frameGoAway = 0x7
	for _, again := range []bool{false, true} {
		p := newPeer(t, telling, protoHTTP2)
		tr := p.client(t)
		if again {
			tr = p.warm(t)
		}
		first := len(p.accepted())
		p.raw = func(n int, c net.Conn) bool {
			if n != first {
				return false
			}
			untilHeaders(c)
			io.WriteString(c, frame(frameSettings, 0, 0, "")+frame(frameGoAway, 0, 0, "\x00\x00\x00\x00\x00\x00\x00\x00"))
			io.Copy(io.Discard, c)
			return true
		}
		for i, body := range []io.Reader{strings.NewReader("body"), nil} {
			method, want := "POST", "HTTP/2.0 POST /xbody"
			if i == 1 {
				method, want = "GET", "HTTP/2.0 GET /x"
				cold(t, tr)
				first = len(p.accepted())
			}
			if _, got := do(t, tr, newRequest(t, method, p.url+"/x", body)); got != want {
				t.Errorf("%s: %q", method, got)
			}
			if n := len(p.accepted()); n != first+2 {
				t.Errorf("%s: %d connections, want 2", method, n-first)
			}
		}
	}
}

// Nothing is pushed: the client says so, and a push all the same ends the connection (RFC 9113, section 8.4).
func TestPushRefused(t *testing.T) {
	const framePushPromise = 0x5
	for _, again := range []bool{false, true} {
		p := newPeer(t, telling, protoHTTP2)
		tr := p.client(t)
		if again {
			tr = p.warm(t)
		}
		first := len(p.accepted())
		var settings []byte
		p.raw = func(n int, c net.Conn) bool {
			if n == first {
				untilHeaders(c)
				settings = c.(*peerConn).read
				io.WriteString(c, frame(frameSettings, 0, 0, "")+frame(framePushPromise, flagEndHeaders, 1, "\x00\x00\x00\x02\x82\x84\x87"))
				io.Copy(io.Discard, c)
			}
			return n == first
		}
		if resp, err := tr.RoundTrip(newRequest(t, "GET", p.url, nil)); err == nil || !strings.Contains(err.Error(), "PROTOCOL_ERROR") {
			t.Errorf("%v, %v; want a protocol error", resp, err)
		}
		if !bytes.Contains(settings, []byte("\x00\x02\x00\x00\x00\x00")) {
			t.Errorf("the settings do not say ENABLE_PUSH=0: %q", settings)
		}
	}
}

// What a first flight may be.
func TestFlight(t *testing.T) {
	request := func(method, body string) *call {
		req := newRequest(t, method, "https://a.example/", strings.NewReader(body))
		if body == "" {
			req.Body, req.GetBody = nil, nil
		}
		return &call{req: req}
	}
	get, post := request("GET", ""), request("POST", "body")
	start := preface + frame(frameSettings, 0, 0, strings.Repeat("x", 24)) + frame(frameWindowUpdate, 0, 0, "xxxx")
	const end, both = flagEndStream, flagEndStream | flagEndHeaders
	for _, tt := range []struct {
		name   string
		c      *call
		flight string
		want   verdict // of the whole; a part of what is whole is partial
	}{
		{"GET", get, start + frame(frameHeaders, both, 1, "abc"), whole},
		{"GET on a later stream", get, start + frame(frameHeaders, both, 3, "abc"), whole},
		{"GET in two frames", get, start + frame(frameHeaders, end, 1, "a") + frame(frameContinuation, flagEndHeaders, 1, "bc"), whole},
		{"windows between", get, start + frame(frameHeaders, both, 1, "abc") + frame(frameWindowUpdate, 0, 0, "xxxx"), whole},
		{"GET with data", get, start + frame(frameHeaders, flagEndHeaders, 1, "abc") + frame(frameData, end, 1, "x"), unfit},
		{"two requests", get, start + frame(frameHeaders, both, 1, "abc") + frame(frameHeaders, both, 3, "abc"), unfit},
		{"continued by another", get, start + frame(frameHeaders, end, 1, "a") + frame(frameSettings, 0, 0, ""), unfit},
		{"continued on another", get, start + frame(frameHeaders, end, 1, "a") + frame(frameContinuation, flagEndHeaders, 3, "bc"), unfit},
		{"trailers", post, start + frame(frameHeaders, flagEndHeaders, 1, "a") + frame(frameData, 0, 1, "body") + frame(frameHeaders, both, 1, "a"), unfit},
		{"ping", get, start + frame(6, 0, 0, "12345678"), unfit},
		{"settings of a stream", get, start + frame(frameSettings, 0, 1, ""), unfit},
		{"headers of none", get, start + frame(frameHeaders, both, 0, "abc"), unfit},
		{"no preface", get, frame(frameHeaders, both, 1, "abc"), unfit},
		{"POST", post, start + frame(frameHeaders, flagEndHeaders, 1, "abc") + frame(frameData, end, 1, "body"), whole},
		{"POST, more after its end", post, start + frame(frameHeaders, both, 1, "abc") + frame(frameData, end, 1, "body"), unfit},
		{"HTTP/1.1 GET", get, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", whole},
		{"HTTP/1.1 HEAD", request("HEAD", ""), "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", whole},
		{"HTTP/1.1 OPTIONS", request("OPTIONS", ""), "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", whole},
		{"HTTP/1.1 two", get, "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", unfit},
		{"HTTP/1.1 POST that is to be a GET", get, "POST / HTTP/1.1\r\nHost: a\r\n\r\n", unfit},
		{"HTTP/1.1 GET with a field for a body", get, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", unfit},
		{"HTTP/1.1 POST", post, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody", whole},
		{"HTTP/1.1 POST, too much", post, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody!", unfit},
	} {
		judge := flightHTTP2
		if strings.Contains(tt.name, "HTTP/1.1") {
			judge = flightHTTP1
		}
		if got := judge([]byte(tt.flight), tt.c); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
		for n := range tt.flight {
			if got := judge([]byte(tt.flight[:n]), tt.c); tt.want == whole && got != partial && tt.name != "windows between" {
				t.Errorf("%s, %d bytes of it: %v, want %v", tt.name, n, got, partial)
			}
		}
	}
	if !onlyPreface([]byte(start)) || onlyPreface([]byte(start+frame(frameHeaders, both, 1, "abc"))) || onlyPreface([]byte("GET / HTTP/1.1\r\n\r\n")) {
		t.Error("onlyPreface")
	}
}
