package interop

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

// A user is a client process in the lab.
type user struct {
	t    *testing.T
	lab  *netlab.Lab
	addr string
	in   *json.Encoder
	out  *json.Decoder

	id   string // no two users make the same requests
	n    int
	sent []*answer // all requests so far

	big   int // see response
	early int // round trips of a response to early data
}

// newUser starts a client process that talks to the server at ip.
func newUser(t *testing.T, lab *netlab.Lab, ip string, p profile) *user {
	t.Helper()
	return startUser(t, lab, ip, "client", p)
}

// startUser is newUser for a process of another kind, which takes the same orders.
func startUser(t *testing.T, lab *netlab.Lab, ip, kind string, p profile) *user {
	t.Helper()
	arg, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background()) // outlives t.Context, so that the process can end by itself
	cmd := lab.Client.Func(ctx, kind, string(arg))
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err1 != nil || err2 != nil || err != nil {
		cancel()
		t.Fatal(err1, err2, err)
	}
	t.Cleanup(func() {
		defer time.AfterFunc(patience, cancel).Stop()
		stdin.Close()
		io.Copy(io.Discard, stdout)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the client process: %v", err)
		}
	})
	id := strconv.Itoa(cmd.Process.Pid)
	return &user{t: t, lab: lab, id: id, addr: net.JoinHostPort(ip, port), in: json.NewEncoder(stdin), out: json.NewDecoder(stdout), big: bodySize, early: 1}
}

// An exchange is a request with its answer and its packets.
type exchange struct {
	*answer
	conns []netlab.Conn // on which the client said something; more than one after a redial
	user  *user
	all   netlab.Packets // of all connections
}

// get makes a GET request.
func (u *user) get(way string) *exchange {
	u.t.Helper()
	return u.do(order{Way: way, Method: "GET"})
}

// post makes a POST request.
func (u *user) post(way, body string) *exchange {
	u.t.Helper()
	return u.do(order{Way: way, Method: "POST", Body: body})
}

// next is the path of the next request.
func (u *user) next(way string) string {
	return fmt.Sprintf("/%s-%d-%s", u.id, u.n, strings.ReplaceAll(strings.ToLower(way), "/", "-"))
}

// do makes a request under a path of its own. The packet log holds only this exchange.
func (u *user) do(o order) *exchange {
	u.t.Helper()
	o.Addr, o.Path = u.addr, u.next(o.Way)
	u.n++
	if err := u.lab.ResetLog(); err != nil {
		u.t.Fatal(err)
	}
	a := &answer{order: o}
	if o.Way != netHTTP {
		a.size = len(o.request())
	}
	if err := u.in.Encode(o); err != nil {
		u.t.Fatal(err)
	}
	if err := u.out.Decode(a); err != nil {
		u.t.Fatal(err)
	}
	u.sent = append(u.sent, a)
	if a.Err != "" {
		u.t.Errorf("%s %s: %s", o.Way, o.Path, a.Err)
	} else if !o.Raw && (a.Status != 200 || a.Body != body) {
		u.t.Errorf("%s %s: status %d and %d bytes, want 200 and %d bytes; intact: %v", o.Way, o.Path, a.Status, len(a.Body), len(body), a.Body == body)
	}
	packets, err := u.lab.Packets()
	if err != nil {
		u.t.Fatal(err)
	}
	disturbed(u.t, a, packets)
	x := &exchange{a, spoken(packets), u, packets}
	if len(x.conns) == 0 {
		u.t.Fatalf("%s %s: no connection in the packet log", o.Way, o.Path)
	}
	return x
}

// spoken returns the connections on which the client said something. Where the SYN-ACK is late, as on a machine that is too busy for the lab's
// round-trip time, another attempt joins the race, and says nothing if it loses.
func spoken(packets netlab.Packets) []netlab.Conn {
	return slices.DeleteFunc(packets.Conns(), func(c netlab.Conn) bool {
		return !slices.ContainsFunc(c.FromClient(), func(p netlab.Packet) bool { return p.Len > 0 })
	})
}

// last is the connection that the response came on.
func (x *exchange) last() netlab.Conn { return x.conns[len(x.conns)-1] }

// response finds the packet with the first byte of the response: of the first record of application data (RFC 8446, section 5.2) that is
// bigger than anything in the server's handshake. It is one record: servers write so little at once.
func (x *exchange) response() (netlab.Packet, bool) {
	c := x.last()
	at := map[uint32]netlab.Packet{}
	var next uint32
	for _, p := range c.FromServer() {
		switch {
		case p.Flags.Has(netlab.SYN):
			next = p.Seq + 1
		case p.Len > 0 && p.Fate == netlab.Delivered:
			if _, again := at[p.Seq]; !again {
				at[p.Seq] = p
			}
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
	const header = 5
	for i := 0; i+header <= len(stream); {
		size := int(binary.BigEndian.Uint16(stream[i+3:]))
		if stream[i] == 23 && size >= x.user.big {
			return from[i], true
		}
		i += header + size
	}
	return netlab.Packet{}, false
}

// turns is how many round trips the response took, by cause and not by the clock, over all connections.
func (x *exchange) turns() int {
	n := 0
	for _, c := range x.conns[:len(x.conns)-1] {
		from := c.FromServer().Filter(func(p netlab.Packet) bool { return p.Len > 0 })
		if len(from) == 0 {
			n++
			continue
		}
		n += turnsTo(c, from[len(from)-1])
	}
	first, ok := x.response()
	if !ok {
		return -1
	}
	return n + turnsTo(x.last(), first)
}

func turnsTo(c netlab.Conn, p netlab.Packet) int {
	return c.Turns(func(q netlab.Packet) bool { return q.Src == p.Src && q.Seq == p.Seq && q.Len > 0 && q.Sent == p.Sent })
}

// onWire is how long the first byte of the response took from the SYN on, on the wire.
func (x *exchange) onWire() time.Duration {
	syn, ok1 := x.conns[0].SYN()
	first, ok2 := x.response()
	if !ok1 || !ok2 {
		return -1
	}
	return first.Delivered - syn.Sent
}

// want checks what an exchange cost and how its session came about.
func (x *exchange) want(t *testing.T, turns int, resumed bool) {
	t.Helper()
	if n := x.turns(); n != turns {
		t.Errorf("%s: the response took %d round trips, want %d: %+v\n%v", x.order.Way, n, turns, x.summary(), x.packets())
	}
	if x.Resumed != resumed {
		t.Errorf("%s: resumed %v, want %v: %+v", x.order.Way, x.Resumed, resumed, x.summary())
	}
}

// wantEarly checks that early data was accepted and that all that the client said before the response rode in the SYN.
func (x *exchange) wantEarly(t *testing.T) {
	t.Helper()
	x.want(t, x.user.early, true)
	if !x.Early.Offered || !x.Early.Accepted || x.Early.Bytes != x.size || x.Early.Resent != 0 {
		t.Errorf("early data %+v (%s), want %d bytes accepted", x.Early, x.EarlyReason, x.size)
	}
	c := x.last()
	syn, _ := c.SYN()
	if !syn.TFO.HasCookie() || !syn.ClientHello() || syn.Len != x.SynBytes || !x.SynAcked {
		t.Errorf("the SYN has cookie %x and %d bytes, ClientHello %v; want a cookie and the first flight of %d bytes, acknowledged (%v)",
			syn.TFO.Cookie, syn.Len, syn.ClientHello(), x.SynBytes, x.SynAcked)
	}
	hello := recordTypes(syn.Payload[:min(len(syn.Payload), 5)]) // its header
	if got, want := recordTypes(syn.Payload), fmt.Sprintf("%s 20:1 23:%d", strings.TrimSuffix(hello, " cut"), x.Early.Bytes+1+16); got != want {
		t.Errorf("the SYN holds the records %q, want %q: hello, compatibility CCS and the whole request", got, want)
	}
	if before := c.BeforeResponse(); len(before) != 1 || before[0].Seq != syn.Seq || len(x.conns) != 1 {
		t.Errorf("%d packets with payload before the server's first, on %d connections, want the SYN alone:\n%v", len(before), len(x.conns), x.packets())
	}
}

// wantRejected checks that early data was sent, refused for a reason and sent again under traffic keys.
func (x *exchange) wantRejected(t *testing.T, turns int, resumed bool, reason string) {
	t.Helper()
	x.want(t, turns, resumed)
	n := len(x.order.request())
	if !x.Early.Offered || x.Early.Accepted || x.Early.Bytes != n || x.Early.Resent != n || x.EarlyReason != reason {
		t.Errorf("early data %+v, reason %q; want %d bytes rejected and sent again, reason %q", x.Early, x.EarlyReason, n, reason)
	}
}

// recordTypes renders the records at the start of a stream: "type:length type:length".
func recordTypes(b []byte) string {
	var records []string
	for len(b) >= 5 {
		size := int(binary.BigEndian.Uint16(b[3:]))
		records = append(records, fmt.Sprintf("%d:%d", b[0], size))
		if len(b) < 5+size {
			return strings.Join(records, " ") + " cut"
		}
		b = b[5+size:]
	}
	return strings.Join(records, " ")
}

func (x *exchange) summary() answer {
	a := *x.answer
	a.Body = fmt.Sprintf("%d bytes", len(a.Body))
	return a
}

func (x *exchange) packets() string {
	var b strings.Builder
	for _, c := range x.conns {
		b.WriteString(c.Packets.String())
	}
	return b.String()
}
