// Package handshake is TLS 1.3 (RFC 8446) without I/O: bytes go in, events and
// bytes come out. It is built for connections whose first flight carries early
// data, so it makes the ClientHello at once, knows what it weighs, and hands
// over hello and early data together.
//
// A Client, or a Server, does a handshake. Feed it what the transport received
// with Buffer and Advance, or Feed; call Next until it returns EventNone; send
// what AppendOutput gives:
//
//	c, err := handshake.NewClient(&handshake.Config{ServerName: "example.com"})
//	...
//	for {
//		event, err := c.Next(time.Now())
//		conn.Write(c.AppendOutput(nil)) // also after an error: it has the alert
//		...
//		switch event.Kind {
//		case handshake.EventHandshakeComplete:
//			sealer, opener := c.Split()
//			...
//		case handshake.EventNone:
//			n, err := conn.Read(c.Buffer())
//			c.Advance(n)
//			...
//		}
//	}
//
// After the handshake Split gives a Sealer for what is sent and an Opener for
// what is received, which two goroutines may use at once.
//
// Nothing here reads a clock, opens a connection, starts a goroutine or knows a
// context: time is an argument. What a peer can do wrong is a Fault inside a
// LocalError, each with one alert; what the peer reports is a RemoteError. Both
// are final.
//
// # Early data
//
// What WriteEarly sends is replayable: whoever saw it can send it to the
// server again, and nothing in TLS prevents that. Give it only what may arrive
// more than once.
//
// # Limitations
//
// Only TLS 1.3, and of it: no post-handshake authentication, no external PSK,
// no psk_ke, no certificate compression, no Encrypted Client Hello, no raw
// public keys. A server that needs TLS 1.2 is reported as
// FaultUnsupportedVersion or by its protocol_version alert.
package handshake
