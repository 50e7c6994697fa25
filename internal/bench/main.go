// Command bench compares this module's client with crypto/tls, side by side in
// one process, and prints a table of ratios: ours divided by theirs, so that less
// than 1 is less work.
//
//	go run ./internal/bench            the whole table, about a minute
//	go run ./internal/bench -run idle  the rows whose name contains "idle"
//	go run ./internal/bench -rounds 30 -profile=false
//
// What makes the comparison fair:
//
//   - The server is a child process, so that CPU time and allocations are the
//     client's alone. Both sides talk to the same one, with the same certificate, key
//     exchange group and cipher suite, which is checked. It is crypto/tls, except
//     where early data is sent: then it is internal/testpeer, for both.
//   - CPU is user and system time of the process, as getrusage counts it. A
//     handshake is measured over connections that were made before.
//   - The two sides take turns in short rounds, each after a garbage
//     collection, and the ratio is the median of the rounds' ratios: another program that
//     takes the machine meanwhile hits both.
//   - Bytes and allocations are counted exactly, without garbage collection in between.
//   - The process has one P, so that idle threads that look for work do not count
//     (-procs changes that).
//
// The early data row compares Dialer.DialEarly, with the response read, with
// what crypto/tls has for the purpose: a dial that resumes, then the request, then
// the response. Its transport uses TCP Fast Open where it can; the table says whether it did.
// On Linux all runs in a network namespace of its own, where servers may use it
// (net.ipv4.tcp_fastopen=3), unless the system forbids that or -here is given.
//
// An idle connection has completed its handshake, its tickets were read, and
// nobody reads from it; "after bulk" it has carried a megabyte each way before.
// Its memory includes the *net.TCPConn, which is the same on both sides.
//
// Below the table stands where the time goes: the share of each package in a
// CPU profile of our side.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/tlstfo/tlstfo"
	"github.com/tlstfo/tlstfo/internal/netlab"
)

func main() {
	if isServer() {
		serve()
		return
	}
	netlab.Main(netlab.Funcs{"bench": compare})
	args, err := os.Args[1:], error(nil)
	if slices.Contains(args, "-here") {
		err = compare(args)
	} else {
		err = inNamespace("bench", args, compare)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// inNamespace calls a function in a process of its own, where servers may use TCP
// Fast Open; netlab.Main knows it by name. If there can be no such place it is called
// here.
func inNamespace(name string, args []string, function func([]string) error) error {
	lab, err := netlab.New(netlab.Config{})
	var forbidden *netlab.ForbiddenError
	if errors.As(err, &forbidden) || errors.Is(err, errors.ErrUnsupported) {
		return function(args)
	} else if err != nil {
		return err
	}
	defer lab.Close()
	cmd := lab.Server.Func(context.Background(), name, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

func compare(args []string) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	rounds := flags.Int("rounds", 25, "alternating rounds per row")
	only := flags.String("run", "", "only the rows whose name contains this")
	profile := flags.Bool("profile", true, "print where the time goes")
	theirs := flags.Bool("theirs", false, "... on the side of crypto/tls too")
	procs := flags.Int("procs", 1, "GOMAXPROCS")
	flags.Bool("here", false, "no network namespace")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	runtime.GOMAXPROCS(*procs)
	return run(*rounds, *only, *profile, *theirs)
}

// rows are the comparisons, but for memory of idle connections.
func rows(s *servers) []*row {
	handshake := func(name string, ops int, groups []tls.CurveID, resume bool) *row {
		return &row{name: name, ops: ops, ours: handshakes(ours(s, groups, resume)), theirs: handshakes(theirs(s, groups, resume))}
	}
	return []*row{
		handshake("full handshake, X25519", 30, classical, false),
		handshake("full handshake, X25519MLKEM768", 30, hybrid, false),
		handshake("resumed handshake, X25519", 40, classical, true),
		handshake("resumed handshake, X25519MLKEM768", 40, hybrid, true),
		{name: "early data dial, X25519", ops: 30, ours: earlyDials(s, true), theirs: resumedDials(s)},
		{name: "early data dial, no Fast Open", ops: 30, ours: earlyDials(s, false), theirs: resumedDials(s)},
		{name: "bulk send", ops: 16, unit: bulk, ours: sends(ours(s, classical, false)), theirs: sends(theirs(s, classical, false))},
		{name: "bulk receive", ops: 16, unit: bulk, ours: receives(ours(s, classical, false)), theirs: receives(theirs(s, classical, false))},
	}
}

func run(rounds int, only string, profile, theirs bool) error {
	servers, err := startServers()
	if err != nil {
		return err
	}
	defer servers.stop()

	fmt.Printf("%s, %s/%s, GOMAXPROCS %d, medians of %d rounds; ratios are ours / crypto/tls\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), rounds)
	fmt.Printf("TCP Fast Open on loopback: %s\n\n", fastOpen(servers))
	fmt.Printf("%-34s %6s %6s %6s   %21s %19s %15s\n", "", "CPU", "bytes", "allocs", "CPU per op (µs)", "bytes per op", "allocs per op")
	var profiles []string
	for _, r := range rows(servers) {
		if !matches(r.name, only) {
			continue
		}
		res, err := r.measure(rounds)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		fmt.Println(res)
		if profile {
			text, err := r.profile(theirs)
			if err != nil {
				return fmt.Errorf("%s: profile: %w", r.name, err)
			}
			profiles = append(profiles, text)
		}
	}
	fmt.Printf("\n%-34s %6s   %s\n", "", "ratio", "heap and stack bytes per connection")
	for _, i := range idles(servers) {
		if !matches(i.name, only) {
			continue
		}
		res, err := i.measure(5)
		if err != nil {
			return fmt.Errorf("%s: %w", i.name, err)
		}
		fmt.Println(res)
	}
	if len(profiles) > 0 {
		fmt.Printf("\nWhere our CPU time goes, by package:\n%s", strings.Join(profiles, ""))
	}
	return nil
}

// fastOpen says in words what a dial to the server of the early data rows does.
func fastOpen(s *servers) string {
	d := &tlstfo.Dialer{TLSConfig: config(s, classical)}
	var info tlstfo.ConnInfo
	for range 2 { // the first may fetch the cookie
		c, err := d.Dial("tcp", s.peer)
		if err != nil {
			return err.Error()
		}
		info = c.(*tlstfo.Conn).Info()
		c.Close()
	}
	if n := info.FastOpen.SynBytes; n > 0 {
		return fmt.Sprintf("%d bytes in the SYN", n)
	}
	return "nothing in the SYN: " + info.FastOpen.Why.String()
}
