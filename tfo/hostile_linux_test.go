//go:build !tlstfo_portable

package tfo

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

const slack = 50 * time.Millisecond // of hosts, not of the wire

func inTwoTurns(d dialled) bool { return d.turns() == 2 }

// A network that takes offence at Fast Open costs the first dial a quarter of a second at most, and the second one nothing.
func TestHostileNetwork(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		fault  netlab.Fault
		cookie bool
		seen   int // by the server, of the first dial
	}{
		{netlab.Fault{Name: netlab.DropSYNData}, true, 1},
		{netlab.Fault{Name: netlab.DropTFO}, false, 1},
		{netlab.Fault{Name: netlab.DropTFO}, true, 1},
		{netlab.Fault{Name: netlab.ResetSYNData}, true, 1},
		{netlab.Fault{Name: netlab.ResetTFO}, false, 1},
		{netlab.Fault{Name: netlab.ResetTFO}, true, 1},
		{netlab.Fault{Name: netlab.ResetTFO, Delay: labRTT / 2}, true, 1},
		{netlab.Fault{Name: netlab.DropSYNACK, Times: 1}, false, 1},
		{netlab.Fault{Name: netlab.DropSYNACK, Times: 1}, true, 2}, // the server took the SYN's data, and nobody told the client
	} {
		t.Run(fmt.Sprintf("%s, cookie %v, after %v", test.fault.Name, test.cookie, test.fault.Delay), func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			if test.cookie {
				l.cookie()
			}
			inTime := within(2*labRTT + mostTwinDelay + slack)
			first := l.until(func(d dialled) bool { return inTime(d) && len(d.conns) == 2 }, func() dialled {
				l.faults(test.fault) // an answer to an earlier dial may use it up
				return l.dial(labRequest{})
			})
			l.succeeded(first, test.seen)
			if !slices.Equal(waysOf(first.Attempts), []string{"fastopen", "plain"}) || first.Won != "plain" || first.Why != ReasonPlainWay.String() || len(first.conns) != 2 {
				t.Fatalf("the first dial: %v", first)
			}
			if syn, _ := first.conns[0].SYN(); test.cookie != (syn.Len > 0) || syn.TFO.Kind == 0 {
				t.Errorf("the first SYN: %v", syn)
			}
			if syn, _ := first.conns[1].SYN(); syn.Len > 0 || syn.TFO.Kind != 0 {
				t.Errorf("the twin's SYN: %v", syn)
			}

			l.faults()
			plain := l.until(inTwoTurns, func() dialled { return l.dial(labRequest{NetOnly: true}) })
			l.faults(test.fault)
			if test.fault.Times > 0 {
				l.faults()
			}
			inTime = within(plain.firstByte()*105/100 + slack/10)
			second := l.until(func(d dialled) bool { return inTwoTurns(d) && inTime(d) }, func() dialled { return l.dial(labRequest{Memory: first.Memory}) })
			l.succeeded(second, 1)
			if !slices.Equal(waysOf(second.Attempts), []string{"plain"}) || second.Why != ReasonAvoided.String() || len(second.conns) != 1 {
				t.Errorf("the second dial: %v\nplain: %v", second, plain)
			}
			t.Logf("first byte: net %v, first dial %v, second %v", plain.firstByte(), first.firstByte(), second.firstByte())
		})
	}
}

// Where the round-trip time is unknown, the twin waits a quarter of a second; else one and a half round trips.
func TestTwinWaits(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.faults(netlab.Fault{Name: netlab.DropTFO})
	waited := func(d dialled) time.Duration {
		if len(d.conns) < 2 {
			t.Fatalf("no twin: %v", d)
		}
		first, _ := d.conns[0].SYN()
		twin, _ := d.conns[1].SYN()
		return twin.Sent - first.Sent
	}
	d := l.dial(labRequest{})
	l.succeeded(d, 1)
	if got := waited(d); got < mostTwinDelay-time.Millisecond {
		t.Errorf("%v: %v", got, d)
	}
	// It left the kernel a round-trip time.
	const want = labRTT * 3 / 2
	d = l.until(func(d dialled) bool { return waited(d) < want+slack }, func() dialled { return l.dial(labRequest{}) })
	l.succeeded(d, 1)
	if got := waited(d); got < want-time.Millisecond {
		t.Errorf("%v: %v", got, d)
	}
}

// Networks and servers that only take Fast Open's gain away are no harm: one connection, no back-off.
func TestHarmlessNetwork(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for _, test := range []struct {
		name   string
		fault  netlab.Fault
		newKey bool
		turns  int
		seen   int
		why    Reason
	}{
		{name: "honest", turns: 1, seen: 1, why: ReasonNone},
		{fault: netlab.Fault{Name: netlab.StripTFO}, turns: 2, seen: 1, why: ReasonNotAcked},
		{fault: netlab.Fault{Name: netlab.StripPayload}, turns: 2, seen: 1, why: ReasonNotAcked},
		{fault: netlab.Fault{Name: netlab.OneByteLess}, turns: 1, seen: 1, why: ReasonNotAcked}, // not all of it, says the kernel
		{fault: netlab.Fault{Name: netlab.DuplicateSYNData}, turns: 1, seen: 1, why: ReasonNone},
		{fault: netlab.Fault{Name: netlab.DuplicateSYNData, Delay: labRTT / 4}, turns: 1, seen: 1, why: ReasonNone},
		{fault: netlab.Fault{Name: netlab.ReplaySYNData}, turns: 1, seen: 2, why: ReasonNone}, // RFC 7413, section 2.1
		{name: "the server's key changes", newKey: true, turns: 2, seen: 1, why: ReasonNotAcked},
	} {
		t.Run(test.name+test.fault.Name, func(t *testing.T) {
			l := &lab{T: t, Lab: l.Lab, seenBy: l.seenBy}
			l.cookie()
			if test.fault.Name != "" {
				l.faults(test.fault)
			}
			tries := 0
			d := l.until(func(d dialled) bool { return alone(d) && d.turns() == test.turns }, func() dialled {
				if tries++; test.newKey {
					if err := l.Server.Sysctl("net.ipv4.tcp_fastopen_key", fmt.Sprintf("%08x-%08x-%08x-%08x", tries, 2, 3, 4)); err != nil {
						t.Fatal(err)
					}
				}
				return l.dial(labRequest{})
			})
			l.succeeded(d, test.seen)
			if d.Won != "fastopen" || d.Why != test.why.String() || len(d.Attempts) != 1 || d.Text != "" || d.turns() != test.turns {
				t.Errorf("%v, want %d round trips, %v", d, test.turns, test.why)
			}
			if syn, _ := d.conns[0].SYN(); syn.Len == 0 {
				t.Errorf("the SYN: %v", syn)
			}
		})
	}
}

// On a clean path there is one connection, and no packet more than it needs.
func TestCleanPath(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for i := range 5 {
		turns := 1
		if i == 0 {
			turns = 2
		}
		d := l.until(func(d dialled) bool { return alone(d) && d.turns() == turns }, func() dialled {
			if i == 0 {
				l = newLab(t)
			}
			return l.dial(labRequest{})
		})
		l.succeeded(d, 1)
		if !alone(d) || d.Text != "" {
			t.Fatal(d)
		}
		c := d.conns[0]
		syns := c.FromClient().Filter(func(p netlab.Packet) bool { return p.Flags.Has(netlab.SYN) })
		resets := c.Packets.Filter(func(p netlab.Packet) bool { return p.Flags.Has(netlab.RST) })
		if len(syns) != 1 || len(resets) != 0 || len(c.BeforeResponse()) != 1 {
			t.Errorf("dial %d: %v", i, d)
		}
	}
}

// One family is dead: the other one's connection is up after the Connection Attempt Delay and a round trip.
func TestDeadFamily(t *testing.T) {
	t.Parallel()
	for _, cookie := range []bool{false, true} {
		for _, dead := range []string{netlab.DeadIPv6, netlab.DeadIPv4} {
			t.Run(fmt.Sprintf("%s, cookie %v", dead, cookie), func(t *testing.T) {
				t.Parallel()
				l := newLab(t)
				if !l.Server.IPv6.IsValid() {
					netlab.Missing(t, "IPv6")
				}
				v4, v6 := l.Server.IPv4.String(), l.Server.IPv6.String()
				if cookie {
					l.cookie(v4)
					l.cookie(v6)
				}
				l.faults(netlab.Fault{Name: dead})
				alive, wait := v4, 300*time.Millisecond
				if dead == netlab.DeadIPv4 {
					alive, wait = v6, 0
				}
				turns := 2
				if cookie {
					turns = 1
				}
				d := l.until(within(wait+time.Duration(turns)*labRTT+slack/2), func() dialled {
					if !cookie {
						l.Client.Forget() // not for an ordinary user, whose next dial has a cookie then
					}
					return l.dial(labRequest{Hosts: []string{v4, v6}})
				})
				l.succeeded(d, 1)
				blamed := strings.Contains(d.Text, alive+" from ") || strings.Contains(d.Text, "everything") // a suspicion of the dead address is all
				if d.Addr != alive || !strings.HasPrefix(d.Attempts[0], v6) || blamed {
					t.Errorf("%v", d)
				}
				if dead == netlab.DeadIPv4 && len(d.Attempts) != 1 {
					t.Errorf("%v", d)
				}
				t.Logf("first byte after %v", d.firstByte())
			})
		}
	}
}

// A path that lets the handshake through and swallows the rest is avoided once the caller has told.
func TestBlackHole(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.cookie()
	l.faults(netlab.Fault{Name: netlab.BlackHole})
	d := l.until(func(d dialled) bool { return d.Acked }, func() dialled { return l.dial(labRequest{Wait: 10 * labRTT}) })
	if d.Err == "" || !d.Acked || !strings.Contains(d.Text, FailureStalled.String()) {
		t.Fatal(d)
	}
	d = l.dial(labRequest{Memory: d.Memory})
	l.succeeded(d, 1)
	if d.Why != ReasonAvoided.String() || len(d.conns) != 1 || !strings.Contains(d.Text, FailureStalled.String()) {
		t.Errorf("%v", d)
	}
}

// Hundreds of dials through changing faults leave no goroutine and no descriptor.
func TestStorm(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes seconds")
	}
	l := newLab(t)
	addrs := []string{l.Server.IPv4.String()}
	if l.Server.IPv6.IsValid() {
		addrs = append(addrs, l.Server.IPv6.String())
	}
	const dials = 300
	cmd := l.Client.Func(t.Context(), "storm", append([]string{strconv.Itoa(dials)}, addrs...)...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	faults := []netlab.Fault{
		{Name: netlab.DropSYNData}, {Name: netlab.DropTFO}, {Name: netlab.ResetSYNData}, {Name: netlab.ResetTFO}, {Name: netlab.DropSYNACK, Times: 5},
		{Name: netlab.OneByteLess}, {Name: netlab.ReplaySYNData}, {Name: netlab.DeadIPv6}, {Name: netlab.Loss, Percent: 5}, {Name: netlab.Reorder, Percent: 20, Delay: labRTT},
	}
	for i := 0; ; i++ {
		l.faults(faults[i%len(faults)])
		select {
		case err := <-ended:
			var failed int
			if fmt.Sscan(out.String(), &failed); err != nil || failed > dials/20 {
				t.Errorf("%d of %d dials failed, %v: %s", failed, dials, err, errs.String())
			}
			t.Logf("%d of %d dials failed", failed, dials)
			return
		case <-time.After(200 * time.Millisecond):
		}
	}
}
