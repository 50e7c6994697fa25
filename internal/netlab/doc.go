// Package netlab is a network in a box for tests, benchmarks and demonstrations: two hosts, client and server, each in a
// network namespace of its own with a real kernel TCP stack, joined by a user-space wire with a known round-trip time that
// writes down every TCP packet.
//
//	func TestMain(m *testing.M) {
//		netlab.Main(netlab.Funcs{"serve": serve}) // first thing: the binary also plays the lab's own processes
//		os.Exit(m.Run())
//	}
//
//	func TestOneRoundTrip(t *testing.T) {
//		lab := netlab.Start(t, netlab.Config{RTT: 40 * time.Millisecond})
//
//		server := lab.Server.Func(t.Context(), "serve", "443") // serve([]string{"443"}) in a process on the server
//		server.Stderr = os.Stderr
//		if err := server.Start(); err != nil {
//			t.Fatal(err)
//		}
//		get := lab.Client.Command(t.Context(), "curl", "-s", "https://"+lab.Server.IPv4.String())
//		out, err := get.CombinedOutput()
//		...
//		packets, err := lab.Packets()
//		conn := packets.Conns()[0]
//		if n := conn.RoundTrips(lab.RTT()); n > 1.1 { // by the clock; conn.Turns counts by cause
//			t.Errorf("first response byte after %.2f round trips:\n%v", n, conn.Packets)
//		}
//	}
//
// # Hosts
//
// [Host.Command] runs a program on a host, [Host.Func] a Go function of the calling binary. Both return an ordinary
// [exec.Cmd]; standard streams, ExtraFiles, Env and Dir mean what they always mean. What is started is a relay: the program
// itself is a child of the lab process. The relay passes on HUP, INT, QUIT, TERM, USR1, USR2 and WINCH, and it ends as the
// program ends. Cancelling the context kills the program together with its process group, and Wait returns after it is gone;
// Process.Kill kills it too, but Wait may return a moment earlier. A daemon that a program leaves behind lives as
// long as the lab.
//
// Both hosts have loopback, an interface eth0 with the lab's MTU, one IPv4 and one IPv6 address, each other's link address
// (so that no ARP or neighbour discovery costs a round trip), no offloads, and no way out. The sysctl net.ipv4.tcp_fastopen is
// 1 on the client and 3 on the server; [Host.Sysctl] sets this and others, [Host.Netstat] reads the kernel's counters.
//
// # Wire
//
// Each packet takes half the round-trip time, counted from the kernel's time stamp of its arrival: typically it is delivered less
// than 0.1 ms late, never early. On a busy machine hosts answer late, too; what must not depend on that is asked of [Conn.Turns],
// [Conn.BeforeResponse] and the like. [Lab.Packets] is the log of all TCP packets, [Lab.SetFaults] makes the wire misbehave.
//
// # Privileges
//
// The calling process stays in its namespaces and needs no privileges. For root the lab makes network namespaces directly;
// for an ordinary user it makes a user namespace first, in which programs see themselves as root but only one user and one
// group exist (nginx, for one, then wants "user root;"). Where the system forbids that, [New] returns a [*ForbiddenError].
// Either way the lab has a PID namespace: when the lab is closed, or its owner dies, the kernel ends every process in it,
// daemons too. A program that writes its process id to a file writes one that is valid inside the lab only.
//
// Linux only. Elsewhere the package compiles and New returns an error that is [errors.ErrUnsupported].
package netlab
