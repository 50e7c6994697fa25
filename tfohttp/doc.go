// Package tfohttp is net/http's client in the fewest round trips that the protocols allow.
//
//	http.DefaultTransport = &tfohttp.Transport{}
//
// On a warm path, with a TCP Fast Open cookie and a ticket that allows early data, the answer to a GET begins after one round
// trip, over HTTP/1.1 and HTTP/2: the request rides in the SYN, encrypted, behind the ClientHello. Everything else
// works as with net/http, whose code still speaks HTTP/1.1 and HTTP/2, keeps the connections and follows the proxies.
//
//	request                                            net/http   tfohttp
//	first contact with a host                              3         3
//	again: GET, HEAD, OPTIONS, TRACE without a body        3         1
//	again: anything else                                   3         2  the hello rides in the SYN
//	again, on a path without Fast Open                     3         2, 3
//	on a connection that is open                           1         1
//
// Tickets live in memory; give Transport.Dialer a tlstfo.FileSessions to keep them from one process to the next.
//
// # What is early
//
// Early data can be replayed: an attacker, and the network itself, can make a server process it more than once (RFC 8446, section 8;
// RFC 8470). So by default only requests that are safe by their method are early: GET, HEAD, OPTIONS and TRACE without a body, see [Safe].
// [SafeNoQuery] is stricter, Transport.Early is yours to set, and [WithEarlyData] allows or forbids it for one request.
//
// Never early, whoever allows it: CONNECT; a request with Upgrade, Expect, Content-Length, Transfer-Encoding, TE, Trailer, Early-Data or Proxy-
// fields; a body without GetBody, of unknown length, or of more than 16 KiB with the header; whatever goes through a proxy. Such a request waits
// until the handshake of its connection is complete. On HTTP/2, whose connections many requests share, it waits at a gate in front of the
// connection, so that it holds up none that goes ahead.
//
// One request is in the first flight of a connection, and that only if it was written whole before the dial; one with a body, only if no other
// asked for the connection meanwhile. On HTTP/2 it is the first that asks for the connection, or none: where that one may not be early, the
// connection dials at once without early data, and safe requests that come a moment later wait for the handshake too, one round trip more than if
// they had been first. A request is sent early at most once. No Early-Data field is sent: that is for proxies.
//
// # What becomes of it
//
// No response is handed out before the server's Finished was verified, and Response.TLS is the final state of the connection, not the one that the
// ticket predicted.
//
//   - A server that refuses early data gets it again within the connection.
//   - 425 (Too Early) to a request of which a byte left early: it is made once more, after the handshake; the caller sees the second answer alone
//     (RFC 8470, section 5.2). Any other 425 is the caller's.
//   - A server that chooses another version of HTTP than the ticket says: the request is started over on that.
//   - A connection that breaks after the server took the early data, or may have, and before the handshake is complete: Safe requests are made once
//     more, not early. Others fail with tlstfo.ErrEarlyDataAccepted or ErrEarlyDataUncertain. What waited at the gate did not leave, and is started
//     over whatever it is.
//   - With tlstfo.Dialer.FailOnReject a request of which a byte left early is not sent again when its connection fails, be it Safe: the error is
//     ErrEarlyDataRejected, ErrEarlyDataAccepted or ErrEarlyDataUncertain. With StrictIdentity it is not made anew after ErrEarlyDataRejected.
//   - A connection that was kept from a request that gave up, and that the server closed: Safe requests are started over.
//
// Bodies are had anew by GetBody; one without it is not touched before its connection is up.
//
// # What differs from net/http
//
//   - On first contact with a host whose version of HTTP is not known, one dial finds out, and others wait for it. If that is HTTP/1.1,
//     httptrace.ClientTrace.GetConn is called twice.
//   - Connections dial when their first request is known, so that GotConn comes before the dial if the request is early, and after the
//     handshake if not. GotConnInfo.Conn is a [*Conn].
//   - The dial of an HTTP/1.1 connection ends with the request that it is for.
//   - A request with Upgrade is always made over HTTP/1.1.
//   - MaxIdleConns counts HTTP/1.1, HTTP/2, and plain or proxied connections apart. A request that is to be the last on its
//     connection (Request.Close, DisableKeepAlives) has an HTTP/2 connection of its own, which MaxConnsPerHost does not count.
//   - TLSHandshakeTimeout begins when the connection is up. While a server is silent in the handshake it ends an early request; on HTTP/2
//     ResponseHeaderTimeout does not.
//   - A response that only the end of the connection ends is whole if the server said close_notify (RFC 9112, section 9.8). Where it did not, reading
//     the body ends with io.ErrUnexpectedEOF: what somebody on the path cut short looks the same. crypto/tls lets that pass.
//   - HTTP2Config.StrictMaxConcurrentRequests is net/http's: with more requests at once than the server allows streams, some can be left waiting for
//     good, here as there. Give requests a deadline, or leave it off.
//   - Dial hooks are those of Transport.Dialer: its NetDialer, TLSConfig, Sessions and Trace. Its EarlyData is asked too before anything is early; its Early
//     is not.
//   - A program that takes http.DefaultTransport for an *http.Transport, to clone it, say, cannot have another there.
package tfohttp
