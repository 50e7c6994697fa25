// Package tlstfo dials TLS 1.3 connections in the fewest round trips that the
// protocols allow.
//
// The ClientHello is built before the TCP handshake and rides in the SYN (TCP
// Fast Open, RFC 7413). On a resumed session the first request rides in the same
// packet as early data (TLS 1.3 0-RTT, RFC 8446, section 2.3), if the caller says
// that it is replayable. On a warm path the first byte of the answer is here
// after one round trip, where net/http needs three:
//
//	connection                                     net/http   tlstfo
//	first contact (no cookie, no ticket)               3         3
//	cookie, no ticket                                  3         2  where the hello fits the SYN
//	ticket, no cookie (or a path without TFO)          3         2
//	cookie and ticket                                  3         1
//
// Without a cookie or a ticket, or where the server takes neither, the same
// calls work and cost the round trips that they must.
//
// # Ways to dial
//
//   - [Dial] and [Dialer.DialContext] replace tls.Dial and tls.Dialer.DialContext:
//     nothing that is written is ever early.
//   - [Dialer.DialEarly] sends bytes early that the caller vouches for.
//   - [Dialer.DialDeferred] is for clients that take a custom dialer, such as
//     http.Transport.DialTLSContext: it dials when the first bytes are written, and Dialer.Early
//     says which of those may be early.
//   - [Dialer.Client] is for transports that the caller made.
//   - [Dialer.DialEarlyAs] is for clients that speak one of several protocols.
//
// Package tfohttp has a client for HTTP, over net/http; the module tfogrpc has dial options
// for grpc-go. Package handshake/utlshello builds ClientHellos of browsers, for Dialer.Hello.
//
// [Conn.Info] tells what happened, in numbers, and the [Error] of a dial that failed
// has that too; the hooks of a [Trace] tell it as it happens.
//
// # Sessions
//
// A Dialer keeps the tickets that servers give, in memory or in what is set as
// Dialer.Sessions; [FileSessions] keeps them in a folder. A ticket is used once. Servers send
// theirs after the handshake, so Conn.Close leaves a connection half open in the background
// until they came; [Dialer.Flush] waits for that.
//
// # What is safe
//
// Early data can be replayed: whoever is on the path can make a server process
// it more than once, and so can the network itself where it rides in a SYN. So
// no byte is early unless the caller said, by DialEarly or by Dialer.Early, that
// it is replayable; and then it is sent early at most once per call, by at most
// one attempt, and never again once the server has accepted it. Early data is not
// forward secret: who later learns the ticket's secret can read it. SECURITY.md has the
// threat model.
//
// # A network that breaks this
//
// Some networks drop SYNs with data, answer them with a reset, or let the handshake
// through and then nothing more. A dial that meets such a network still succeeds wherever a
// plain one does. Each of these happens at most once per call, and leaves out more than
// the dial before:
//
//   - No SYN-ACK in time, or an error in its place: a plain SYN joins, and the first
//     SYN-ACK decides (package tfo). Early data that may have left with one attempt is not early on
//     another.
//   - SYN data was acknowledged, and then nothing comes for 200 ms (two round
//     trips, where those take longer; more at a server that is known to be slow;
//     in a dial with a deadline a third of the time that is left, or less, if that is sooner, but not less than one
//     round trip): a plain connection joins, the hedge. It sends a ClientHello without early data, and
//     the connection whose server says a valid ServerHello first goes on; the other is closed. So
//     a slow server sees a second ClientHello, and its application nothing of it. Where the NetDialer's LocalAddr has a
//     port, which two connections cannot share, there is no hedge: after 10 round trips of
//     silence (1 to 10 s) the server is dialled once more, plainly.
//   - Early data was sent, and the connection breaks, or stays silent for 10 round trips (1 to 10
//     s), before a valid ServerHello: the server is dialled once more, without early data,
//     and the bytes go under traffic keys. With Dialer.FailOnReject the error is
//     [ErrEarlyDataUncertain] instead, and nothing joins a connection that early data went over.
//
// After a valid ServerHello nothing is dialled again, however long the answer takes. Where Fast Open did
// harm it is left alone for a while (tfo.Memory), also when the dial was given up while its hedge had no answer yet, unless that
// had waited for one as long as the connection before it was there; and so is early data to a
// host that broke on it (5 minutes).
//
// # Which groups are offered
//
// A SYN carries about 1420 bytes over IPv4 and 1400 over IPv6. That is less than a hello
// with a post-quantum share and a classical one needs, and hardly enough for the first alone. So:
//
//   - Without a Fast Open cookie the hello has the shares that crypto/tls
//     sends: X25519MLKEM768 and X25519.
//   - With a cookie and no ticket it has the one share that the server chose last
//     time, if that fits, else both; ConnInfo.Overflow says by how much they do not.
//   - With a cookie and a ticket it has one classical share and lists no
//     post-quantum group: a server that prefers one would ask for it, and refuse the
//     early data by that. If the session comes from a post-quantum key exchange, its
//     secret still protects the connection; and should the server refuse to resume it,
//     nothing is sent: the server is dialled again with the hybrid. Every 24 hours
//     (Dialer.HybridRefresh) a resumption has the hybrid share again, fit or not.
//
// tls.Config.CurvePreferences is always obeyed. A Dialer.Hello keeps its own
// groups and shares as far as that allows.
//
// # What becomes of the fields of tls.Config
//
// No field is silently ignored. "engine" is TLS 1.3 by this package; "crypto/tls"
// are connections that crypto/tls runs, still over TCP Fast Open and never with
// early data: those to servers without TLS 1.3, and all of a Dialer whose config
// says so below.
//
//	Rand                                 set: crypto/tls
//	Time                                 honoured
//	Certificates                         honoured
//	NameToCertificate                    servers only
//	GetCertificate                       servers only
//	GetClientCertificate                 honoured; sessions as Dialer.Partition says. The engine gives it no context
//	GetConfigForClient                   servers only
//	VerifyPeerCertificate                honoured, on full handshakes only, as crypto/tls does; sessions as Dialer.Partition says
//	VerifyConnection                     honoured; asked before early data leaves as well (HandshakeComplete is false then)
//	RootCAs                              honoured; a stored session is verified against it anew
//	NextProtos                           honoured
//	ServerName                           honoured
//	ClientAuth                           servers only
//	ClientCAs                            servers only
//	InsecureSkipVerify                   honoured; sessions as Dialer.Partition says
//	CipherSuites                         TLS 1.2 and older: honoured by crypto/tls. TLS 1.3 suites cannot be chosen there either
//	PreferServerCipherSuites             has no effect in crypto/tls either
//	SessionTicketsDisabled               honoured
//	SessionTicketKey                     servers only
//	ClientSessionCache                   honoured by crypto/tls; the engine keeps sessions in Dialer.Sessions: those of crypto/tls lack the early-data limit
//	UnwrapSession                        servers only
//	WrapSession                          servers only
//	MinVersion                           honoured: TLS 1.3 means no redial through crypto/tls
//	MaxVersion                           below TLS 1.3: crypto/tls
//	CurvePreferences                     honoured; as in crypto/tls its order means nothing
//	DynamicRecordSizingDisabled          honoured
//	Renegotiation                        TLS 1.2 and older: honoured by crypto/tls. TLS 1.3 has none
//	KeyLogWriter                         honoured; one lock for a Dialer and all that WithTLSConfig makes of it
//	EncryptedClientHelloConfigList       set: crypto/tls
//	EncryptedClientHelloRejectionVerify  honoured by crypto/tls, with the list above
//	GetEncryptedClientHelloKeys          servers only
//	EncryptedClientHelloKeys             servers only
//
// FIPS 140-3 mode means crypto/tls as well, and so does the GODEBUG setting tlsmaxrsasize. tlsmlkem=0 and tlssecpmlkem=0
// leave their groups out. No other of those of crypto/tls concerns a TLS 1.3 client; those of crypto/x509 hold for both.
//
// # Limitations
//
// The engine has no ECH, no external PSKs, no post-handshake client authentication
// and no raw public keys. TCP Fast Open is tested on Linux. The code for macOS, FreeBSD
// and Windows has never run there; elsewhere the hello follows the connect at once.
package tlstfo
