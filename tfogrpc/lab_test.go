package tfogrpc

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

// rtt is long enough that what a busy machine adds is small beside it.
const rtt = 40 * time.Millisecond

// TestReady: how many round trips READY takes, by the packets. The first call is made when the connection is READY, and takes
// one more.
func TestReady(t *testing.T) {
	for name, server := range map[string]struct {
		start              func(*testing.T, *netlab.Lab, files)
		early              bool
		warm, warmNoCookie int
	}{
		"nginx":      {serveNginx, true, 1, 2},
		"early data": {func(t *testing.T, lab *netlab.Lab, f files) { serve(t, lab, "early", string(f)) }, true, 1, 2},
		"HAProxy":    {serveHAProxy, true, 2, 3}, // takes early data, and answers after the handshake
		"grpc-go":    {func(t *testing.T, lab *netlab.Lab, f files) { serve(t, lab, "std", string(f)) }, false, 2, 3},
	} {
		for _, version := range []string{"IPv4", "IPv6"} {
			t.Run(name+" "+version, func(t *testing.T) {
				lab := netlab.Start(t, netlab.Config{RTT: rtt, PayloadBytes: 5000})
				ip := lab.Server.IPv4
				if version == "IPv6" {
					if ip = lab.Server.IPv6; !ip.IsValid() {
						netlab.Missing(t, "IPv6 in this kernel")
					}
				}
				f := newFiles(t)
				server.start(t, lab, f)
				addr := net.JoinHostPort(ip.String(), "443")
				u := newLabClient(t, lab, string(f), addr)
				u.connect("").want(t, 3, false, false) // first contact
				best, calm := math.Inf(1), 0
				const least, most, slack = 3, 30, 0.15
				for i := 0; i < most && (calm < least || best > float64(server.warm)+slack); i++ {
					x := u.connect("")
					if x.hedged {
						continue // the server took so long that the client tried without Fast Open as well
					}
					calm++
					x.want(t, server.warm, true, server.early)
					best = min(best, float64(x.Ready)/float64(rtt))
				}
				if calm < least || best > float64(server.warm)+0.5 { // the packets are exact, the clock is not on a busy machine
					t.Errorf("%d connections; READY after %.2f round trips at best, want %d", calm, best, server.warm)
				}

				plain := newLabClient(t, lab, string(f), addr, "no fast open")
				plain.connect("").want(t, 3, false, false)
				plain.connect("").want(t, server.warmNoCookie, true, server.early)

				full := newLabClient(t, lab, string(f), addr, "no tickets")
				full.connect("").want(t, 3, false, false) // there is a cookie, but which share to send alone is not known
				full.connect("").want(t, 2, false, false)

				u.connect("std").want(t, 3, false, false)
				x := u.connect("std")
				x.want(t, 3, true, false)
				t.Logf("READY after %.2f round trips by the client's clock, with credentials.NewTLS after %.2f", best, float64(x.Ready)/float64(rtt))
			})
		}
	}
}

// A labClient is a client process.
type labClient struct {
	t   *testing.T
	lab *netlab.Lab
	in  io.Writer
	out *json.Decoder
}

func newLabClient(t *testing.T, lab *netlab.Lab, args ...string) *labClient {
	t.Helper()
	cmd := lab.Client.Func(context.Background(), "client", args...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), "HTTPS_PROXY=", "https_proxy=")
	_, out := launch(t, cmd)
	t.Cleanup(func() { in.Close() })
	return &labClient{t, lab, in, json.NewDecoder(out)}
}

// A trace is a connection with its packets.
type trace struct {
	report
	netlab.Conn
	hedged bool // there were two
}

// connect makes a connection and a call. The packet log holds only these.
func (u *labClient) connect(way string) *trace {
	u.t.Helper()
	if err := u.lab.ResetLog(); err != nil {
		u.t.Fatal(err)
	}
	if _, err := io.WriteString(u.in, way+"\n"); err != nil {
		u.t.Fatal(err)
	}
	var x trace
	if err := u.out.Decode(&x.report); err != nil {
		u.t.Fatal(err)
	}
	if x.Err != "" {
		u.t.Fatalf("the call: %s", x.Err)
	}
	packets, err := u.lab.Packets()
	if err != nil {
		u.t.Fatal(err)
	}
	for _, c := range packets.Conns() { // one that joined a race and lost says nothing
		if len(c.FromClient().Filter(func(p netlab.Packet) bool { return p.Len > 0 })) == 0 {
			continue
		}
		x.hedged = x.Packets != nil
		x.Conn = c
	}
	return &x
}

// want checks what the connection cost, and what its SYN carried.
func (x *trace) want(t *testing.T, ready int, resumed, early bool) {
	t.Helper()
	if x.hedged {
		t.Fatalf("two connections:\n%v", x.Packets)
	}
	if got := x.turns() - 1; got != ready || x.Resumed != resumed {
		t.Errorf("READY after %d round trips, resumed %v; want %d, %v: %+v\n%v", got, x.Resumed, ready, resumed, x.report, x.Packets)
	}
	if x.Accepted != early || early && (x.EarlyBytes != len(opening) || x.Resent != 0) || !early && x.Offered {
		t.Errorf("%+v, want early data: %v", x.report, early)
	}
	syn, _ := x.SYN()
	if syn.Len != x.SynBytes {
		t.Errorf("the SYN has %d bytes, want %d", syn.Len, x.SynBytes)
	}
	if early && x.SynBytes > 0 {
		hello, _, _ := strings.Cut(records(syn.Payload), " ")
		if got, want := records(syn.Payload), fmt.Sprintf("%s 20:1 23:%d", hello, len(opening)+1+16); got != want || !syn.ClientHello() {
			t.Errorf("the SYN has the records %q, want %q: hello, compatibility CCS and the opening", got, want)
		}
		for _, p := range x.BeforeResponse() {
			if end := p.Seq + uint32(p.Len) - syn.Seq; end > 1+uint32(syn.Len) {
				t.Errorf("before the server's first the client sent more than the SYN: %v", p)
			}
		}
	}
}

// turns is after how many round trips the response came: the first record of application data (RFC 8446, section 5.2) that is
// bigger than anything in the server's handshake.
func (x *trace) turns() int {
	const bigger, header = 1000, 5
	at := map[uint32]netlab.Packet{}
	var next uint32
	for _, p := range x.FromServer() {
		if p.Flags.Has(netlab.SYN) {
			next = p.Seq + 1
		} else if p.Len > 0 && p.Fate == netlab.Delivered {
			at[p.Seq] = p
		}
	}
	var stream []byte
	var from []netlab.Packet // from[i] is the packet with stream[i]
	for p, ok := at[next]; ok; p, ok = at[next] {
		stream = append(stream, p.Payload...)
		for range p.Payload {
			from = append(from, p)
		}
		next += uint32(p.Len)
	}
	for i := 0; i+header <= len(stream); {
		size := int(binary.BigEndian.Uint16(stream[i+3:]))
		if stream[i] == 23 && size > bigger {
			return x.Turns(func(p netlab.Packet) bool {
				return p.Seq == from[i].Seq && p.Sent == from[i].Sent && p.Src == from[i].Src
			})
		}
		i += header + size
	}
	return -1
}

// records renders the TLS records at the start of a stream: "type:length type:length".
func records(b []byte) string {
	var all []string
	for len(b) >= 5 {
		size := int(binary.BigEndian.Uint16(b[3:]))
		all = append(all, fmt.Sprintf("%d:%d", b[0], size))
		b = b[min(len(b), 5+size):]
	}
	return strings.Join(all, " ")
}
