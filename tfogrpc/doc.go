// Package tfogrpc gives grpc-go connections that are ready in the fewest round trips that
// the protocols allow.
//
//	d := &tlstfo.Dialer{TLSConfig: config} // one for the whole program: it remembers the servers
//	conn, err := grpc.NewClient("api.example:443", tfogrpc.DialOptions(d)...)
//
// This replaces grpc.WithTransportCredentials(credentials.NewTLS(config)): names are verified, per-RPC
// credentials sent and connections made anew as with that, and a server that does not choose h2
// by ALPN is an error.
//
// It is a module of its own, so that only who uses it has grpc-go. Get both modules of one commit:
//
//	go get github.com/tlstfo/tlstfo@main github.com/tlstfo/tlstfo/tfogrpc@main
//
// # Round trips
//
// grpc-go starts RPCs when the connection is READY, and that is when it has read
// the server's SETTINGS frame. With credentials.NewTLS this is 3 round trips after the dial: TCP,
// TLS 1.3, and HTTP/2's exchange of SETTINGS, as most servers send theirs once they have the client's Finished. Here:
//
//	path                                                     READY after
//	first contact: no Fast Open cookie                            3
//	cookie; no ticket, or one without early data                  2  where the hello fits the SYN
//	ticket with early data, no cookie                             2
//	cookie, and ticket with early data                            1
//
// These are measured, packet by packet, by this package's tests: with nginx (ssl_early_data on) as in the table. HAProxy
// (allow-0rtt) takes early data and answers after the handshake: 2 where it says 1, and 3 without a cookie. Go's crypto/tls
// gives no ticket that allows early data over TCP, so that with grpc-go's own server READY takes 2
// round trips at best. The server's TCP Fast Open must be on as well; package tfo listens with it.
//
// The first RPC takes one more round trip. It is never early: not in the SYN, not as TLS early
// data, not even where it is idempotent, and no configuration changes that.
//
// # What is early
//
// On the last line of the table the SYN carries, as TLS 1.3 early data, 33 bytes that
// are always the same: HTTP/2's client preface with an empty SETTINGS frame (RFC 9113, section 3.4).
// They are *replayable*: who sends them again makes the server open another connection
// without a stream in it. By them the server's SETTINGS come with its half of the handshake. The
// preface that grpc-go writes later is taken out, and its own SETTINGS follow as a second frame.
// What became of early data is known, and the handshake complete, before grpc-go gets the
// connection: the peer's AuthInfo, which authority overrides are checked against, is what
// this handshake verified, and no prediction from a ticket.
//
// Dialer.EarlyData is asked before those bytes leave. Where the server refuses them they are sent
// again, Dialer.FailOnReject or not.
//
// # Proxies
//
// grpc-go leaves proxies to the dial function where it is given one. So if the environment names a
// proxy for HTTPS (HTTPS_PROXY) when [DialOptions] is called, it returns the credentials alone: grpc-go
// dials as it always does, NO_PROXY included, nothing rides in a SYN, and early data still saves a round
// trip on a resumed session. To use a proxy of another kind, or none, combine [NewCredentials] and
// [ContextDialer] with grpc-go's options. Over connections that this package did not dial
// a server without TLS 1.3 costs one failed attempt, as it cannot be dialled again on the same connection.
//
// # What differs from grpc-go's own connections
//
// The connect happens within the handshake, so that the status of an RPC to a server that is
// down says "authentication handshake failed", and then which connect failed. Keepalive of TCP
// is Dialer.NetDialer's: on (15 s) by default. The TCP_USER_TIMEOUT that grpc-go sets with its
// keepalive parameters is not set; NetDialer.Control can.
package tfogrpc
