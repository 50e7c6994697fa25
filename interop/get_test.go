package interop

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

// commandGet is the way of requests that the command makes.
const commandGet = "tlstfo get"

// A getter runs "tlstfo get" in the lab, with one folder for sessions.
type getter struct {
	user     // for its sent requests
	binary   string
	ca       string
	sessions string
}

func newGetter(t *testing.T, lab *netlab.Lab, ip, ca string) *getter {
	t.Helper()
	g := &getter{user: user{t: t, lab: lab, id: "get", addr: net.JoinHostPort(ip, port), big: bodySize, early: 1}, ca: ca}
	g.binary = filepath.Join(t.TempDir(), "tlstfo")
	if out, err := exec.Command("go", "build", "-o", g.binary, "github.com/tlstfo/tlstfo/cmd/tlstfo").CombinedOutput(); err != nil {
		t.Fatalf("build the command: %v\n%s", err, out)
	}
	g.sessions = filepath.Join(t.TempDir(), "sessions")
	return g
}

// run runs the command, for a path of its own, and returns one exchange per request.
func (g *getter) run(args ...string) []*exchange {
	g.t.Helper()
	if err := g.lab.ResetLog(); err != nil {
		g.t.Fatal(err)
	}
	path := g.next("")
	g.n++
	args = append([]string{"get", "-json", "-cacert", g.ca, "-sessions", g.sessions, "-connect", g.addr, "https://" + serverName + path}, args...)
	cmd := g.lab.Client.Command(g.t.Context(), g.binary, args...)
	var errors output
	cmd.Stderr = &errors
	out, err := cmd.Output()
	if err != nil {
		g.t.Fatalf("tlstfo %q: %v\n%s%s", args, err, out, errors.String())
	}
	packets, err := g.lab.Packets()
	if err != nil {
		g.t.Fatal(err)
	}
	conns := spoken(packets)
	var all []*exchange
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		x := g.exchange(dec, path)
		if len(all) < len(conns) {
			x.conns = conns[len(all) : len(all)+1 : len(all)+1]
		}
		all = append(all, x)
	}
	for _, x := range all {
		disturbed(g.t, x.answer, packets)
	}
	if len(conns) != len(all) {
		g.t.Fatalf("%d connections for %d requests:\n%v", len(conns), len(all), packets)
	}
	return all
}

// exchange reads one object of -json.
func (g *getter) exchange(dec *json.Decoder, path string) *exchange {
	g.t.Helper()
	var r struct {
		Status     int
		BodySHA256 string `json:"body_sha256"`
		Resumed    bool
		Early      struct {
			Offered, Accepted bool
			Bytes             int
			Reason            string
		}
		TFO struct {
			Cookie   string
			SynBytes int  `json:"syn_bytes"`
			SynAcked bool `json:"syn_acked"`
			Why      string
		}
		MS struct {
			FirstByte float64 `json:"first_byte"`
		}
		Error string
	}
	if err := dec.Decode(&r); err != nil {
		g.t.Fatal(err)
	}
	if r.Status != 200 || r.BodySHA256 != fmt.Sprintf("%x", sha256.Sum256([]byte(body))) || r.Error != "" {
		g.t.Errorf("%s: status %d, body intact %v, error %q", path, r.Status, r.BodySHA256 == fmt.Sprintf("%x", sha256.Sum256([]byte(body))), r.Error)
	}
	a := &answer{
		order: order{Way: commandGet, Method: "GET", Path: path}, size: r.Early.Bytes,
		Status: r.Status, Resumed: r.Resumed, EarlyReason: r.Early.Reason, FastReason: r.TFO.Why, SynBytes: r.TFO.SynBytes, SynAcked: r.TFO.SynAcked,
		Early:     earlyInfo{Offered: r.Early.Offered, Accepted: r.Early.Accepted, Bytes: r.Early.Bytes},
		firstByte: time.Duration(r.MS.FirstByte * float64(time.Millisecond)),
	}
	g.sent = append(g.sent, a)
	return &exchange{answer: a, user: &g.user}
}

// TestGet is the command's promise: one round trip where the path is warm, two without Fast Open or without early data, three at first contact.
func TestGet(t *testing.T) {
	versions(t, func(t *testing.T, lab *netlab.Lab, ip string) {
		n := startNginx(t, lab, nil)
		g := newGetter(t, lab, ip, n.credentials().ca)
		g.run()[0].want(t, 3, false)
		byClock := time.Hour
		trips := bestTrips(t, func() *exchange {
			x := g.run()[0]
			byClock = min(byClock, x.firstByte)
			return x
		})
		t.Logf("first response byte after %.2f round trips; by the command's own clock after %v", trips, byClock)
		x := g.run("-tfo", "never")[0]
		x.want(t, 2, true)
		if syn, _ := x.last().SYN(); !x.Early.Accepted || syn.TFO.Kind != 0 || syn.Len != 0 {
			t.Errorf("-tfo never: early data %+v, SYN with %v and %d bytes", x.Early, syn.TFO, syn.Len)
		}
		x = g.run("-early", "never")[0]
		x.want(t, 2, true)
		if syn, _ := x.last().SYN(); x.Early.Offered || !syn.ClientHello() || syn.Len != x.SynBytes {
			t.Errorf("-early never: early data %+v, SYN with %d bytes", x.Early, syn.Len)
		}
		x = g.run("-early", "never", "-tfo", "never")[0]
		x.want(t, 3, true)
		n.check(&g.user)
	})
}

// TestGetPost: the command never sends an unsafe request early.
func TestGetPost(t *testing.T) {
	lab := startLab(t)
	n := startNginx(t, lab, nil)
	g := newGetter(t, lab, lab.Server.IPv4.String(), n.credentials().ca)
	g.run()[0].want(t, 3, false)
	for _, test := range []struct {
		method, body string
		args         []string
	}{
		{"POST", "count=1", []string{"-d", "count=1"}},
		{"DELETE", "", []string{"-X", "DELETE"}},
		{"GET", "count=1", []string{"-X", "GET", "-d", "count=1"}},
	} {
		x := g.run(test.args...)[0]
		x.want(t, 2, true)
		x.order.Method, x.order.Body = test.method, test.body
		if syn, _ := x.last().SYN(); x.Early.Offered || recordTypes(syn.Payload) != fmt.Sprintf("22:%d", syn.Len-5) {
			t.Errorf("%s: early data %+v, the SYN holds %q; want the hello alone", test.method, x.Early, recordTypes(syn.Payload))
		}
	}
	n.check(&g.user)
}

// TestGetTwenty: every connection gives a ticket for the next, over two runs of the command, with and without a pause between the requests.
func TestGetTwenty(t *testing.T) {
	const requests = 20
	for _, wait := range []string{"0", "100ms"} {
		t.Run("wait "+wait, func(t *testing.T) {
			t.Parallel()
			lab := startLab(t)
			n := startNginx(t, lab, nil)
			g := newGetter(t, lab, lab.Server.IPv4.String(), n.credentials().ca)
			for run := range 2 {
				all := g.run("-n", fmt.Sprint(requests), "-wait", wait)
				if len(all) != requests {
					t.Errorf("%d requests", len(all))
				}
				for i, x := range all {
					if run == 0 && i < 2 {
						continue // the tickets and the cookie are just coming in
					}
					x.wantEarly(t)
				}
			}
			n.check(&g.user)
		})
	}
}
