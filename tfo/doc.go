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
// # Systems
//
// On Linux the SYN is sent by sendmsg with MSG_FASTOPEN, inside net.Dialer's control hook, so that deadlines, cancellation and errors are
// those of package net. The client needs bit 1 of net.ipv4.tcp_fastopen (the default), a server bit 2. Elsewhere, and
// on Linux under the build tag tlstfo_portable, a dial connects, asks the callback, and writes.
//
// # Limitations
//
//   - Addresses are tried one after the other, without a race between families.
//   - A middlebox that swallows SYNs with data costs a second on every dial, until the kernel's retransmission without data.
//   - Multipath TCP is never used: with Fast Open, what the server writes first can stall.
package tfo
