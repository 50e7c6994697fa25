package interop

import (
	"encoding/json"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

// A finding is what "tlstfo probe -json" says.
type finding struct {
	TFO struct {
		Cookie   string
		SynData  string `json:"syn_data"`
		SynBytes int    `json:"syn_bytes"`
	}
	TLS     struct{ Version, Group, ALPN, Engine string }
	Tickets struct {
		Count      int
		Lifetime   int    `json:"lifetime_s"`
		EarlyLimit uint32 `json:"early_limit"`
		Resumed    bool
	}
	Early      struct{ Offered, Accepted bool }
	HTTP       struct{ Status int }
	RoundTrips struct {
		NetHTTPFirst int `json:"net_http_first"`
		NetHTTPAgain int `json:"net_http_again"`
		TlstfoFirst  int `json:"tlstfo_first"`
		TlstfoAgain  int `json:"tlstfo_again"`
	} `json:"round_trips"`
	Obstacles []string
	Error     string
}

// prober runs "tlstfo probe" in the lab.
func prober(t *testing.T, lab *netlab.Lab, ca string) func(args ...string) (finding, []netlab.Conn) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "tlstfo")
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/tlstfo/tlstfo/cmd/tlstfo").CombinedOutput(); err != nil {
		t.Fatalf("build the command: %v\n%s", err, out)
	}
	addr := net.JoinHostPort(lab.Server.IPv4.String(), port)
	return func(args ...string) (f finding, conns []netlab.Conn) {
		t.Helper()
		if err := lab.ResetLog(); err != nil {
			t.Fatal(err)
		}
		cmd := lab.Client.Command(t.Context(), binary, append([]string{"probe", "-json", "-cacert", ca, "-connect", addr, serverName}, args...)...)
		var errors output
		cmd.Stderr = &errors
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("tlstfo probe: %v\n%s%s", err, out, errors.String())
		}
		if err := json.Unmarshal(out, &f); err != nil {
			t.Fatal(err)
		}
		packets, err := lab.Packets()
		if err != nil {
			t.Fatal(err)
		}
		return f, spoken(packets)
	}
}

// TestProbe: what the command says of nginx is what the packets say.
func TestProbe(t *testing.T) {
	lab := startLab(t)
	n := startNginx(t, lab, nil)
	probe := prober(t, lab, n.credentials().ca)
	f, conns := probe()
	if f.TFO.Cookie != "given" || f.TFO.SynData != "accepted" || f.TLS.Version != "TLS 1.3" || f.TLS.Engine != "tlstfo" || f.TLS.ALPN != "http/1.1" {
		t.Errorf("%+v", f)
	}
	if f.Tickets.Count < 1 || f.Tickets.Lifetime < 60 || f.Tickets.EarlyLimit == 0 || !f.Tickets.Resumed || !f.Early.Accepted || f.HTTP.Status != 200 || len(f.Obstacles) != 0 {
		t.Errorf("%+v", f)
	}
	if len(conns) != 4 {
		t.Fatalf("%d connections, want 4", len(conns))
	}
	r := f.RoundTrips
	for i, said := range []int{r.NetHTTPFirst, r.NetHTTPAgain, r.TlstfoFirst, r.TlstfoAgain} {
		want := 3
		if i == 3 {
			want = 1
		}
		if said != want {
			t.Errorf("connection %d: %d round trips, want %d", i, said, want)
		}
	}
	syn, _ := conns[3].SYN()
	if !syn.TFO.HasCookie() || syn.Len != f.TFO.SynBytes || conns[3].Turns(nil) != 1 {
		t.Errorf("the last SYN has %v and %d bytes, the command says %d; first answer after %d round trips", syn.TFO, syn.Len, f.TFO.SynBytes, conns[3].Turns(nil))
	}
	if f, _ := probe(); f.TFO.Cookie != "had" || f.RoundTrips.TlstfoFirst != 2 && f.RoundTrips.TlstfoFirst != 3 {
		t.Errorf("once more: %+v", f)
	}
}

// TestProbeObstacles: what a server or the path lacks is named.
func TestProbeObstacles(t *testing.T) {
	for _, test := range []struct {
		name     string
		settings func(*settings)
		faults   []netlab.Fault
		again    int
		cookie   string
		data     string
		obstacle string
	}{
		{"no early data", func(s *settings) { s.NoEarly = true }, nil, 2, "given", "accepted", "ssl_early_data"},
		{"TLS 1.2", func(s *settings) { s.TLS12 = true }, nil, 3, "given", "accepted", "TLS 1.2"},
		{"no option", nil, []netlab.Fault{{Name: netlab.StripTFO}}, 2, "none", "not tried", "takes the option away"},
		{"no data", nil, []netlab.Fault{{Name: netlab.StripPayload}}, 2, "given", "refused", "did not acknowledge"},
	} {
		t.Run(test.name, func(t *testing.T) {
			lab := startLab(t)
			n := startNginx(t, lab, test.settings)
			if err := lab.SetFaults(test.faults...); err != nil {
				t.Fatal(err)
			}
			f, _ := prober(t, lab, n.credentials().ca)()
			if f.RoundTrips.NetHTTPAgain != 3 || test.again != 0 && f.RoundTrips.TlstfoAgain != test.again || f.TFO.Cookie != test.cookie || test.data != "" && f.TFO.SynData != test.data {
				t.Errorf("%+v", f)
			}
			if !strings.Contains(strings.Join(f.Obstacles, "\n"), test.obstacle) {
				t.Errorf("%q lacks %q", f.Obstacles, test.obstacle)
			}
		})
	}
}
