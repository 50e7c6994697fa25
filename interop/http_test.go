package interop

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

// TestHTTPWarm is the point of tfohttp: on a warm path a GET is answered after one round trip, over HTTP/1.1 and HTTP/2. A POST takes two: its hello rides
// in the SYN, and it follows the handshake. (HAProxy answers early data after the handshake.) Packets say so, and the server's log says what was early.
func TestHTTPWarm(t *testing.T) {
	for _, kind := range []string{"nginx", "HAProxy"} {
		t.Run(kind, func(t *testing.T) {
			for _, way := range []string{http1, http2} {
				t.Run(way, func(t *testing.T) {
					versions(t, func(t *testing.T, lab *netlab.Lab, ip string) { testHTTPWarm(t, lab, ip, kind, way) })
				})
			}
		})
	}
}

// TestHTTPStandard asks nginx and HAProxy, with an application behind them, for what users of net/http rely on; 425 (Too Early) too.
func TestHTTPStandard(t *testing.T) {
	for _, kind := range []string{"nginx", "HAProxy"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			lab := startLab(t)
			s := startSite(t, lab, kind)
			serve(t, lab, func(ctx context.Context) *exec.Cmd { return lab.Server.Func(ctx, "backend") })
			if out, err := lab.Server.Func(t.Context(), "listening", backendPort).CombinedOutput(); err != nil {
				t.Fatalf("the application: %v\n%s", err, out)
			}
			u := startUser(t, lab, lab.Server.IPv4.String(), "http", profile{CA: s.CA})
			for _, way := range []string{http1, http2} {
				u.do(order{Way: way, Method: "SUITE", Raw: true})
			}
			early := map[string]int{}
			for _, r := range s.requests() {
				early[r.Early]++
				if r.Early == "1" && !strings.HasPrefix(r.Request, "GET ") && !strings.HasPrefix(r.Request, "HEAD ") {
					t.Errorf("%q came early", r.Request)
				}
			}
			if kind == "nginx" && early["1"] < 10 {
				t.Errorf("%d requests came early, want 10 and more", early["1"])
			}
		})
	}
}

// TestHTTPShort: nginx ends each connection after a few requests, by GOAWAY over HTTP/2. No request is lost. None is made twice, but that which
// left early on a connection that then seemed dead.
func TestHTTPShort(t *testing.T) {
	for _, way := range []string{http1, http2} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			lab := startLab(t)
			s := startSite(t, lab, "nginx")
			u := startUser(t, lab, lab.Server.IPv4.String(), "http", profile{CA: s.CA})
			u.do(order{Way: way, Method: "SHORT", Raw: true})
			if n, _ := s.safely(); n != 150 {
				t.Errorf("%d requests, want 150", n)
			}
		})
	}
}

// TestHTTPPush: nginx pushes nothing to this client, which says that it wants no push (RFC 9113, section 6.5.2).
func TestHTTPPush(t *testing.T) {
	lab := startLab(t)
	s := startSite(t, lab, "nginx")
	u := startUser(t, lab, lab.Server.IPv4.String(), "http", profile{CA: s.CA})
	u.do(order{Way: http2, Method: "PUSH", Raw: true})
	for _, r := range s.requests() {
		if !strings.HasPrefix(r.Request, "GET /pushing ") {
			t.Errorf("the server was asked %q", r.Request)
		}
	}
}

// TestHTTPMix makes 1,000 requests, 500 of them at one moment, half of all unsafe. nginx says which came early, and that it got each. None comes twice, but that which left early on
// a connection that then seemed dead.
func TestHTTPMix(t *testing.T) {
	for _, way := range []string{http1, http2} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			lab := startLab(t)
			s := startSite(t, lab, "nginx")
			u := startUser(t, lab, lab.Server.IPv4.String(), "http", profile{CA: s.CA})
			u.do(order{Way: way, Method: "MIX", Raw: true})
			n, early := s.safely()
			if n != 1005 || early < 4 {
				t.Errorf("%d requests, %d of them early", n, early)
			}
			t.Logf("%d of %d requests came early", early, n)
		})
	}
}

func testHTTPWarm(t *testing.T, lab *netlab.Lab, ip, kind, way string) {
	s := startSite(t, lab, kind)
	u := startUser(t, lab, ip, "http", profile{CA: s.CA})
	warm := 1
	if kind == "HAProxy" {
		warm = 2
	}
	if x := u.get(way); x.turns() < 3 || x.Resumed { // more where the machine is too busy to write the request at once
		t.Errorf("first contact took %d round trips, want 3", x.turns())
	}
	best := map[string]time.Duration{}
	for range 3 {
		for _, method := range []string{"GET", "POST"} {
			o, turns := order{Way: way, Method: method}, warm
			if method == "POST" {
				o.Body, turns = "body", 2
			}
			x := u.do(o)
			x.want(t, turns, true)
			x.wantInSYN(t, method == "GET")
			if d := x.onWire(); best[method] == 0 || d < best[method] {
				best[method] = d
			}
		}
	}
	t.Logf("first response byte, from the SYN on: GET %v, POST %v", best["GET"], best["POST"])
	protocol := map[string]string{http1: "HTTP/1.1", http2: "HTTP/2.0"}[way]
	var want []string
	for _, a := range u.sent {
		want = append(want, a.order.Method+" "+a.order.Path+" "+protocol)
	}
	log := s.requests()
	if len(log) != len(want) {
		t.Fatalf("the server was asked %+v, want %q", log, want)
	}
	for i, r := range log {
		early := "0"
		if i > 0 && strings.HasPrefix(r.Request, "GET ") {
			early = "1"
		}
		if r.Request != want[i] || r.Early != early && kind == "nginx" {
			t.Errorf("the server was asked %+v, want %q, early %s", r, want[i], early)
		}
	}
}

// wantInSYN checks that the whole first flight rode in the SYN: the hello, and, if the request was to be early, a compatibility CCS and
// one record with the whole request; and that nothing else of the client's came before the server's first packet.
func (x *exchange) wantInSYN(t *testing.T, early bool) {
	t.Helper()
	c := x.last()
	syn, _ := c.SYN()
	want := fmt.Sprintf("22:%d", x.HelloBytes-5)
	if early {
		want += fmt.Sprintf(" 20:1 23:%d", x.Early.Bytes+1+16)
	}
	if x.Early.Accepted != early || x.Early.Offered != early || (x.Early.Bytes > 0) != early {
		t.Errorf("%s %s: early data %+v (%s)", x.order.Way, x.order.Method, x.Early, x.EarlyReason)
	}
	if got := recordTypes(syn.Payload); got != want || !syn.TFO.HasCookie() || !x.SynAcked || len(c.BeforeResponse()) != 1 || len(x.conns) != 1 {
		t.Errorf("%s %s: the SYN has the records %q, want %q; a cookie %v, acknowledged %v:\n%v",
			x.order.Way, x.order.Method, got, want, syn.TFO.HasCookie(), x.SynAcked, x.packets())
	}
}
