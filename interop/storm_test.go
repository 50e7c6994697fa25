package interop

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

// stormDials is how long TestStorm is.
var stormDials = flag.Int("storm", 300, "how many `dials` TestStorm makes")

const (
	stormRTT    = 2 * time.Millisecond
	stormPeriod = 20 // dials from one change of the weather to the next
	mostWeather = time.Second / 2
)

// A stormReport is what a client process has to say: how far it is, and in the end what is left.
type stormReport struct {
	Dials   int
	Ended   bool
	Took    time.Duration
	Given   int // dials that the client gave up, closed at once or cancelled
	Failed  int // of the others
	Errors  map[string]int
	Early   int // dials whose early data was accepted
	SynData int // whose SYN data was acknowledged
	Plain   int // that another way than Fast Open won

	Before, Quarter, After usage
	Hosts                  int            // names that were dialled
	Sessions               int            // tickets that the cache holds
	BackOffs               int            // most that the tfo.Memory held
	Held                   map[string]int // what the Dialer holds, by its place
}

// usage is what a process holds when nothing goes on.
type usage struct {
	Goroutines, Files int
	Heap, Objects     uint64
}

func (u usage) String() string {
	return fmt.Sprintf("%d goroutines, %d files, %d KiB in %d objects", u.Goroutines, u.Files, u.Heap>>10, u.Objects)
}

// TestStorm: many dials through faults that come and go at random leave nothing behind: no goroutine, no file, no memory. No POST is seen twice.
func TestStorm(t *testing.T) {
	lab := netlab.Start(t, netlab.Config{RTT: stormRTT, PayloadBytes: -1, MaxPackets: 1})
	if !lab.Server.IPv6.IsValid() {
		netlab.Missing(t, "IPv6 in this kernel")
	}
	cred := newCredentials(t)
	server := startStormServer(t, lab, cred)

	order, _ := json.Marshal(stormOrder{CA: cred.ca, Hosts: []string{lab.Server.IPv4.String(), lab.Server.IPv6.String()}, Dials: *stormDials, Seed: 1})
	client := lab.Client.Func(t.Context(), "storm", string(order))
	client.Stderr = os.Stderr
	out, err := client.StdoutPipe()
	if err == nil {
		err = client.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	reports := make(chan stormReport)
	go func() {
		defer close(reports)
		for decoder := json.NewDecoder(out); ; {
			var r stormReport
			if err := decoder.Decode(&r); err != nil {
				if err != io.EOF {
					t.Error(err)
				}
				return
			}
			reports <- r
		}
	}()
	var r stormReport
	dice := rand.New(rand.NewPCG(1, 2))
	for more := true; more; {
		if err := lab.SetFaults(weather(dice)...); err != nil {
			t.Fatal(err)
		}
		var next stormReport
		select {
		case next, more = <-reports:
			if more {
				r = next
			}
		case <-time.After(mostWeather):
		}
	}
	if err := client.Wait(); err != nil || !r.Ended {
		t.Fatalf("the client process: %v, after %d dials", err, r.Dials)
	}
	saw := server.saw()
	t.Logf("%d dials in %v: %d given up, %d failed; early data of %d, SYN data of %d accepted; %d by a plain connection\nbefore: %v\na quarter: %v\nafter: %v\n%d names, %d tickets, %d back-offs; %+v\nerrors: %v",
		r.Dials, r.Took.Round(time.Second), r.Given, r.Failed, r.Early, r.SynData, r.Plain, r.Before, r.Quarter, r.After, r.Hosts, r.Sessions, r.BackOffs, saw, r.Errors)
	r.check(t)
	if saw.PostsTwice > 0 || saw.PostsEarly > 0 {
		t.Errorf("POST: %d seen twice, %d early", saw.PostsTwice, saw.PostsEarly)
	}
}

// check checks what is left.
func (r stormReport) check(t *testing.T) {
	t.Helper()
	if r.After.Goroutines > r.Before.Goroutines || r.After.Files > r.Before.Files {
		t.Errorf("left over: %v, before %v", r.After, r.Before)
	}
	// Of every host a little is remembered, and tickets; a dial must leave nothing.
	dials := uint64(r.Dials) * 3 / 4
	if grown := int64(r.After.Objects) - int64(r.Quarter.Objects); r.Dials >= 4000 && grown > int64(dials/4) {
		t.Errorf("%d objects more than after a quarter of the dials", grown)
	}
	if grown := int64(r.After.Heap) - int64(r.Quarter.Heap); r.Dials >= 4000 && grown > 512<<10 {
		t.Errorf("%d bytes more than after a quarter of the dials", grown)
	}
	if place, n := mostHeld(r.Held); n == 0 || n > 2*stormHosts {
		t.Errorf("%s holds %d things, after %d dials of %d hosts", place, n, r.Dials, stormHosts)
	}
	const sources, networks, ticketsPerHost = 2, 2, 8
	if r.BackOffs > sources+networks {
		t.Errorf("%d back-offs, for two addresses and two networks", r.BackOffs)
	}
	if r.Sessions > stormHosts*ticketsPerHost || r.Sessions == 0 {
		t.Errorf("%d tickets, of %d hosts", r.Sessions, r.Hosts)
	}
	if r.Early == 0 || r.SynData == 0 || r.Plain == 0 {
		t.Errorf("%d dials with early data, %d with SYN data, %d plain; want all kinds", r.Early, r.SynData, r.Plain)
	}
	// An address family that dies takes the connections with it that are open.
	if r.Failed > r.Dials/100 {
		t.Errorf("%d of %d dials failed: %v", r.Failed, r.Dials, r.Errors)
	}
}

// weather is one fault, or two, or none.
func weather(dice *rand.Rand) []netlab.Fault {
	const d = stormRTT
	all := []netlab.Fault{
		{}, {Name: netlab.DropSYNData}, {Name: netlab.DropTFO}, {Name: netlab.StripTFO}, {Name: netlab.StripPayload}, {Name: netlab.ResetSYNData},
		{Name: netlab.ResetTFO, Delay: d}, {Name: netlab.DropSYNACK, Times: 5}, {Name: netlab.BlackHole}, {Name: netlab.BlackHole, From: netlab.ServerSide},
		{Name: netlab.OneByteLess}, {Name: netlab.DuplicateSYNData, Delay: d}, {Name: netlab.ReplaySYNData, Delay: d}, {Name: netlab.Reorder, Percent: 20, Delay: d},
		{Name: netlab.Loss, Percent: 1}, {Name: netlab.Loss, Percent: 5}, {Name: netlab.Loss, Percent: 10}, {Name: netlab.DeadIPv6}, {Name: netlab.DeadIPv4},
	}
	var faults []netlab.Fault
	for range 1 + dice.IntN(2) {
		f := all[dice.IntN(len(all))]
		f.Seed = dice.Uint64()
		if f.Name == "" || len(faults) > 0 && isDead(f) && isDead(faults[0]) { // without both families there is no network at all
			continue
		}
		faults = append(faults, f)
	}
	return faults
}

func isDead(f netlab.Fault) bool { return f.Name == netlab.DeadIPv4 || f.Name == netlab.DeadIPv6 }
