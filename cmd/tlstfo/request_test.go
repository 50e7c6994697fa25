package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The bytes that go over the wire.
func TestRequest(t *testing.T) {
	file := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(file, []byte("from\r\nfile"), 0o600); err != nil {
		t.Fatal(err)
	}
	const agent = "User-Agent: " + userAgent + "\r\n"
	const form = "Content-Type: application/x-www-form-urlencoded\r\n"
	for _, tt := range []struct {
		args []string
		addr string
		host string
		wire string
	}{
		{[]string{"https://a.test"}, "a.test:443", "a.test", "GET / HTTP/1.1\r\nHost: a.test\r\n" + agent + "\r\n"},
		{[]string{"https://a.test:8443/b%20c?d=e&f#g"}, "a.test:8443", "a.test",
			"GET /b%20c?d=e&f HTTP/1.1\r\nHost: a.test:8443\r\n" + agent + "\r\n"},
		{[]string{"https://[::1]:44/"}, "[::1]:44", "::1", "GET / HTTP/1.1\r\nHost: [::1]:44\r\n" + agent + "\r\n"},
		{[]string{"https://[fe80::1%25eth0]/"}, "[fe80::1%eth0]:443", "fe80::1", "GET / HTTP/1.1\r\nHost: [fe80::1]\r\n" + agent + "\r\n"},
		{[]string{"https://me:pass@a.test/"}, "a.test:443", "a.test",
			"GET / HTTP/1.1\r\nHost: a.test\r\n" + agent + "Authorization: Basic bWU6cGFzcw==\r\n\r\n"},
		{[]string{"https://me:pass@a.test/", "-H", "authorization: Bearer x"}, "a.test:443", "a.test",
			"GET / HTTP/1.1\r\nHost: a.test\r\n" + agent + "Authorization: Bearer x\r\n\r\n"},
		{[]string{"https://a.test/", "-H", "User-Agent: me", "-H", "A: 1", "-H", "a:2", "-H", "Host: b.test", "-H", "Empty:"}, "a.test:443", "a.test",
			"GET / HTTP/1.1\r\nHost: b.test\r\nUser-Agent: me\r\nA: 1\r\nA: 2\r\nEmpty: \r\n\r\n"},

		{[]string{"https://a.test/", "-X", "HEAD"}, "a.test:443", "a.test", "HEAD / HTTP/1.1\r\nHost: a.test\r\n" + agent + "\r\n"},
		{[]string{"https://a.test/", "-X", "OPTIONS"}, "a.test:443", "a.test", "OPTIONS / HTTP/1.1\r\nHost: a.test\r\n" + agent + "\r\n"},
		{[]string{"https://a.test/", "-X", "TRACE"}, "a.test:443", "a.test", "TRACE / HTTP/1.1\r\nHost: a.test\r\n" + agent + "\r\n"},
		{[]string{"https://a.test/", "-X", "get"}, "a.test:443", "a.test", "get / HTTP/1.1\r\nHost: a.test\r\n" + agent + "\r\n"},
		{[]string{"https://a.test/", "-X", "DELETE"}, "a.test:443", "a.test", "DELETE / HTTP/1.1\r\nHost: a.test\r\n" + agent + "\r\n"},
		{[]string{"https://a.test/", "-X", "POST"}, "a.test:443", "a.test",
			"POST / HTTP/1.1\r\nHost: a.test\r\n" + agent + "Content-Length: 0\r\n\r\n"},
		{[]string{"https://a.test/", "-H", "Expect: 100-continue"}, "a.test:443", "a.test",
			"GET / HTTP/1.1\r\nHost: a.test\r\n" + agent + "Expect: 100-continue\r\n\r\n"},
		{[]string{"https://a.test/", "-H", "connection: upgrade", "-H", "upgrade: websocket"}, "a.test:443", "a.test",
			"GET / HTTP/1.1\r\nHost: a.test\r\n" + agent + "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"},

		{[]string{"https://a.test/", "-d", "x=y"}, "a.test:443", "a.test",
			"POST / HTTP/1.1\r\nHost: a.test\r\n" + agent + "Content-Length: 3\r\n" + form + "\r\nx=y"},
		{[]string{"https://a.test/", "-d", "@" + file, "-d", "@-", "-H", "Content-Type: text/plain"}, "a.test:443", "a.test",
			"POST / HTTP/1.1\r\nHost: a.test\r\n" + agent + "Content-Length: 16\r\nContent-Type: text/plain\r\n\r\nfrom\r\nfile&stdin"},
		{[]string{"https://a.test/", "-X", "GET", "-d", "x=y"}, "a.test:443", "a.test",
			"GET / HTTP/1.1\r\nHost: a.test\r\n" + agent + "Content-Length: 3\r\n" + form + "\r\nx=y"},
		{[]string{"https://a.test/", "-X", "GET", "-d", ""}, "a.test:443", "a.test",
			"GET / HTTP/1.1\r\nHost: a.test\r\n" + agent + form + "\r\n"},
		{[]string{"https://a.test/", "-X", "PUT", "-d", "x"}, "a.test:443", "a.test",
			"PUT / HTTP/1.1\r\nHost: a.test\r\n" + agent + "Content-Length: 1\r\n" + form + "\r\nx"},
	} {
		var o options
		if err := o.parse(tt.args); err != nil {
			t.Errorf("%q: %v", tt.args, err)
			continue
		}
		r, err := newRequest(&o, strings.NewReader("stdin"))
		if err != nil {
			t.Errorf("%q: %v", tt.args, err)
			continue
		}
		if string(r.bytes) != tt.wire || r.addr != tt.addr || r.host != tt.host {
			t.Errorf("%q: dial %s, host %s\n%q\nwant %s, %s\n%q", tt.args, r.addr, r.host, r.bytes, tt.addr, tt.host, tt.wire)
		}
	}
}
