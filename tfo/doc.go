// Package tfo dials and accepts TCP connections with TCP Fast Open (RFC 7413): the first data rides in the SYN, which saves a round trip.
//
// [Dialer.DialContext] works as [net.Dialer.DialContext] does, and asks a callback for the first data of each connection attempt, just before the
// attempt's SYN. Where the kernel holds a cookie for the server, the SYN carries the data; where it holds none, the SYN asks for one and
// the data follows the handshake. Where Fast Open is switched off or unknown, the data follows too: nothing fails for the want of it. [Info] says what
// happened, as the kernel reports it.
//
// # Replays
//
// The network may deliver a SYN twice, and its data with it (RFC 7413, section 2.1). So only data that may be replayed belongs into a
// first flight: a TLS ClientHello, a request without effect. Data that a single attempt may send, and no other attempt of the same dial, is
// marked [Flight].Once; [Attempt].MayOnce says when that is still possible.
//
// # Races
//
// Some networks drop SYNs with data or with an option that they do not know, or answer them with a reset, and the kernel does little about it. So a dial is a race: over
// the addresses of a name, as RFC 8305 says, and for each of them between Fast Open and a plain connect, which joins when Fast Open gets no answer in
// time. The first SYN-ACK wins. What a plain connection sends, it sends after it has won; but a server that accepted the data of a SYN, and whose
// SYN-ACK was lost, gets that flight a second time. A [Memory] keeps Fast Open away, for a while, from where it did harm, so that only the first dial
// pays for that.
//
// # Watching
//
// [Info] is the report of a dial when it is over, [Trace] has hooks for what happens meanwhile, and [Memory.Snapshot] says what is avoided, and until when.
//
// # Systems
//
// On Linux the SYN is sent by sendmsg with MSG_FASTOPEN, inside net.Dialer's control hook, so that deadlines, cancellation and errors are
// those of package net. The client needs bit 1 of net.ipv4.tcp_fastopen (the default), a server bit 2. Whether there is a cookie, and how much fits,
// the kernel is asked beforehand (tcp_metrics, the route), which takes about as many system calls as the dial; with a [Memory] what it said of a destination
// with a cookie is believed for a second. What the SYN really carries is the kernel's decision, and [Info] has that.
//
// The code for macOS, FreeBSD and Windows was written from the sources of the kernels (macOS, FreeBSD) and from the documentation, and is compiled and vetted for them, on
// amd64 and arm64. It has never run on any of the three. Tests on Linux drive it over fakes of the system calls, and over Linux sockets where the steps are the
// same; the calls themselves, and what those kernels make of them, are unproven.
//
//   - macOS: connectx, on a socket that package net adopts when the SYN-ACK is here. Bit 2 of net.inet.tcp.fastopen switches the client on, bit 1 a server
//     (both are the default). [Info] is as full as on Linux.
//   - FreeBSD: a send to an address, inside net.Dialer's control hook. net.inet.tcp.fastopen.client_enable and server_enable. The kernel does not say
//     whether a SYN carried the data or what became of it: [Info].SynBytes is what it was given, and Why is ReasonUnknown. A SYN-ACK without the option pauses Fast Open
//     for that server for 15 minutes, and a Linux server sends none when all went well: so do not expect more.
//   - Windows 10 from version 1607 on: ConnectEx, on a socket that package net adopts. A thread waits for each such dial. The system tells no more than FreeBSD.
//
// Elsewhere, and everywhere under the build tag tlstfo_portable, a dial connects, asks the callback, and writes.
//
// # Limitations
//
//   - With a local port that the caller chose there is no race, for two connections cannot share it: a middlebox that swallows SYNs with data then
//     costs a second, until the kernel's retransmission without data.
//   - The kernel is asked about the way that an unbound socket would take. A socket that a control hook binds to another interface may so have a cookie that is not
//     known beforehand (the SYN carries the data all the same), or none that is expected (the data follows).
//   - While an attempt with once-only bytes is under way, other attempts go without, even if it has not sent them yet.
//   - macOS and Windows: a dial cannot be joined by net.Dialer, so what that does of its own accord after a connect to itself or without a free port is not done.
//   - Multipath TCP is never used: with Fast Open, what the server writes first can stall.
package tfo
