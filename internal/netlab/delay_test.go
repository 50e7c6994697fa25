//go:build linux

package netlab

import (
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// pong answers UDP datagrams at the address args[0].
func pong(args []string) error {
	c, err := net.ListenPacket("udp", args[0])
	if err != nil {
		return err
	}
	fmt.Println("ready")
	buf := make([]byte, 100)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return err
		}
		c.WriteTo(buf[:n], from)
	}
}

const pings = 200

// ping sends datagrams to the address args[0] and prints the round-trip time of each, in the order of the answers.
func ping(args []string) error {
	c, err := net.Dial("udp", args[0])
	if err != nil {
		return err
	}
	defer c.Close()
	start := time.Now()
	sent := make(chan error, 1)
	go func() {
		for range pings {
			if _, err := c.Write(binary.BigEndian.AppendUint64(nil, uint64(time.Since(start)))); err != nil {
				sent <- err
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
		sent <- nil
	}()
	buf := make([]byte, 100)
	for range pings {
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, err := c.Read(buf)
		if err != nil || n != 8 {
			return fmt.Errorf("%d bytes: %w", n, err)
		}
		fmt.Println(time.Since(start) - time.Duration(binary.BigEndian.Uint64(buf)))
	}
	return <-sent
}

// TestDelay measures the wire from the hosts: the error of the round-trip time stays below 1 ms. Datagrams that waited for a CPU
// of this machine are no fault of the wire, hence quantiles; one that comes early is.
func TestDelay(t *testing.T) {
	const rtt = 40 * time.Millisecond
	lab := Start(t, Config{RTT: rtt})
	addr := net.JoinHostPort(lab.Server.IPv4.String(), "7000")
	server := lab.Server.Func(t.Context(), "pong", addr)
	startReady(t, server)
	t.Cleanup(func() { server.Wait() })
	out, err := lab.Client.Func(t.Context(), "ping", addr).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var errs []time.Duration
	for _, line := range strings.Fields(string(out)) {
		d, err := time.ParseDuration(line)
		if err != nil {
			t.Fatal(err)
		}
		errs = append(errs, d-rtt)
	}
	checkDelay(t, "round-trip time, over UDP", errs, pings)
}

// TestDelayOfPackets takes the packet log's word for it, over one long connection.
func TestDelayOfPackets(t *testing.T) {
	const rtt = 40 * time.Millisecond
	lab := Start(t, Config{RTT: rtt})
	addr := net.JoinHostPort(lab.Server.IPv6.String(), "7000")
	if !lab.Server.IPv6.IsValid() {
		addr = net.JoinHostPort(lab.Server.IPv4.String(), "7000")
	}
	startEcho(t, lab.Server, addr)
	for range 5 {
		mustDial(t, lab.Client, addr, "hello")
	}
	var errs []time.Duration
	for _, p := range mustPackets(t, lab) {
		if p.Fate == Delivered {
			errs = append(errs, p.Delivered-p.Sent-rtt/2)
		}
	}
	checkDelay(t, "one-way delay in the log", errs, 20)
}

func checkDelay(t *testing.T, what string, errs []time.Duration, atLeast int) {
	t.Helper()
	if len(errs) < atLeast {
		t.Fatalf("%d samples, want at least %d", len(errs), atLeast)
	}
	slices.Sort(errs)
	early, median, p90, latest := errs[0], errs[len(errs)/2], errs[len(errs)*9/10], errs[len(errs)-1]
	t.Logf("error of the %s: min %v, median %v, 90%% %v, max %v, n=%d", what, early, median, p90, latest, len(errs))
	if early < -50*time.Microsecond || median >= time.Millisecond || p90 >= 5*time.Millisecond {
		t.Errorf("error of the %s: min %v, want 0; median %v, want below 1 ms; 90%% %v, want below 5 ms", what, early, median, p90)
	}
}

func TestSetRTT(t *testing.T) {
	lab := Start(t, Config{})
	addr := net.JoinHostPort(lab.Server.IPv4.String(), "7000")
	startEcho(t, lab.Server, addr)
	const rtt = 30 * time.Millisecond
	if err := lab.SetRTT(rtt); err != nil || lab.RTT() != rtt {
		t.Fatalf("RTT %v, %v", lab.RTT(), err)
	}
	mustDial(t, lab.Client, addr, "hello")
	if n := mustPackets(t, lab).Conns()[0].RoundTrips(rtt); n < 2 {
		t.Errorf("a connection without a cookie took %.2f round trips, want 2", n)
	}
	if err := lab.SetRTT(-1); err == nil {
		t.Error("a negative round-trip time was accepted")
	}
}
