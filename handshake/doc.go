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
// no psk_ke, no Encrypted Client Hello, no raw public keys. A server that needs
// TLS 1.2 is reported as FaultUnsupportedVersion or by its protocol_version alert.
//
// A Client honours some things that its own hello does not offer, for a Builder
// whose hello does, such as those of handshake/utlshello: compressed certificates (RFC 8879),
// record_size_limit (RFC 8449), delegated credentials (RFC 9345), application settings (ALPS,
// draft-vvv-tls-alps, which BoringSSL has), GREASE (RFC 8701) and that of Encrypted Client Hello
// (RFC 9849, section 6.2). It compresses no certificate of its own. A Server knows
// of this only compressed certificates, its own (ServerConfig.CertificateCompressors), and
// puts GREASE into its tickets.
//
// The rest of this page is for who reviews the package. The README of interop/bogo has what BoringSSL's tests say, and
// testdata/rfc8448 the traces of RFC 8448 that are reproduced byte for byte.
//
// # States
//
// Client.handle and Server.handle are the state machines: one switch over the state and
// the type of the message, whose default arm refuses. States are named for
// what they wait for. TestClientStateMachine and TestServerStateMachine try the
// messages of all versions of TLS in every state. The client's:
//
//	NewClient: ClientHello, then early data
//	     |
//	StateServerHello ---- HelloRetryRequest ----> StateServerHelloRetried
//	     | ServerHello                                  | ServerHello
//	     |<---------------------------------------------+   handshake keys
//	StateEncryptedExtensions
//	     | EncryptedExtensions                       early data is decided
//	     +------------------- with a PSK --------------------+
//	StateCertificateOrRequest                                |
//	     |       | CertificateRequest                        |
//	     |   StateCertificate                                |
//	     |       | Certificate, or a compressed one          |
//	     +-------+   the chain is verified, callbacks        |
//	StateCertificateVerify                                   |
//	     | CertificateVerify                                 |
//	     |<--------------------------------------------------+
//	StateFinished
//	     | Finished    out: EndOfEarlyData, EncryptedExtensions (ALPS), Certificate, CertificateVerify, Finished
//	StateConnected     traffic keys; Split: NewSessionTicket and KeyUpdate
//	     | close_notify
//	StateClosed
//
// The server's:
//
//	StateClientHello ---- sends HelloRetryRequest ----> StateClientHelloRetried
//	     | ClientHello                                      | ClientHello
//	     |<-------------------------------------------------+
//	     |   out: ServerHello to Finished; Write may be called
//	     +--- early data ----- a certificate is asked for --- neither ---+
//	StateEndOfEarlyData          StateCertificate                         |
//	     | EndOfEarlyData             | Certificate                       |
//	     |                       StateCertificateVerify, or none          |
//	     |                            | CertificateVerify                 |
//	     +----------------------------+----------------------------------+
//	StateFinished
//	     | Finished    out: NewSessionTicket
//	StateConnected     Split: KeyUpdate
//
// Any fault leads to StateFailed: link.fail queues the alert, which the table in
// faults.go has for each Fault, and link.end clears the keys. TestEveryFault
// produces each fault of the list.
//
// # Vulnerabilities of others
//
// What went wrong in TLS before, and what keeps it from going wrong here:
//
//   - Messages left out or let through: FREAK and SMACK (CVE-2015-0204, CVE-2014-6593), a
//     server without Certificate (CVE-2020-24613), a client without CertificateVerify
//     (CVE-2022-25640), change_cipher_spec that starts keys early (CVE-2014-0224). The state
//     machines above; change_cipher_spec is dropped or refused and does nothing
//     (link.receiveCCS).
//   - Messages in one record across a change of keys (CVE-2025-61730, RUSTSEC-2026-0285):
//     link.setReader, helloRetryRequest, Server.clientHello and Opener.keyUpdate refuse if a
//     byte is left over; link.record refuses anything else inside a message.
//   - Renegotiation (CVE-2009-3555) and triple handshakes (CVE-2014-1295): there is none
//     (TestConnectedStateMachine); resumption and exporter secrets depend on the
//     whole transcript (schedule.go).
//   - Downgrades: POODLE (CVE-2014-3566), Logjam (CVE-2015-4000), FREAK. No other
//     version, key exchange or suite is in the package; isDowngrade looks for the
//     server's mark, checkVersion for all else. A caller that goes on in TLS 1.2 must leave
//     it to a stack that checks the mark too.
//   - Weak signatures: SLOTH (CVE-2015-7575), forged PKCS #1 v1.5 (CVE-2006-4339).
//     signatureHash knows neither. An algorithm that does not fit the key, or was not offered
//     (CVE-2021-34558, CVE-2022-25638): verifyTranscript, schemesForKey.
//   - Padding and MAC oracles: Lucky 13 (CVE-2013-0169), BEAST (CVE-2011-3389); compression: CRIME
//     (CVE-2012-4929). AEADs only, and padding is looked at when the record was authenticated
//     (protector.open). No compression.
//   - Reading past the end: Heartbleed (CVE-2014-0160). Go checks, cryptobyte parses, and the
//     parsers are fuzzed. Buffers of a BufferPool are not cleared, but only what Advance
//     announced is looked at.
//   - Compressed certificates that expand without end: the length that one declares is looked at before, and
//     not a byte more is read (compressedCertificate, decompress).
//   - Nonces used twice: a protector has its secret, its key and its sequence number, and
//     changes all at once (protector.rekey). After HelloRetryRequest the early key is gone and the
//     second hello is plaintext. Keys used for too long: Sealer.seal, Client.earlyOpen.
//   - Bad points, zero secrets, short shares: agree leaves it to crypto/ecdh, group.cut wants the
//     exact length. Secrets whose length shows (Raccoon, CVE-2020-1968): all are of one length.
//   - Selfie, the reflection of a PSK that both sides use in both roles: there are no external
//     PSKs, and only who sealed a ticket can open it.
//   - Tickets under a key of zeros (CVE-2020-13777): a TicketKeys without keys gives no tickets.
//     A ticket_age_add that is not random (CVE-2022-30629): sendTickets.
//   - Resumption round the verification that is demanded today (CVE-2025-68121,
//     CVE-2025-23419): Server.resumable wants the same server name and verifies the client's
//     chain anew. A Client leaves that to its caller: see Config.Session and VerifyConnection.
//   - Replayed early data (RFC 8446, section 8): a ticket carries early data once
//     (ReplayRegister), and only where its age is what the client says. What was issued before the
//     server started carries none. Early data under other parameters than the session's:
//     Client.decideEarlyData, Server.earlyReason.
//   - Early data taken for ordinary data, or the reverse: other keys, and EndOfEarlyData in the transcript
//     (Client.lastFlight, Server.endOfEarlyData). A Client gives out no data before the server's Finished. Early
//     data that is refused is skipped as far as the ticket can have allowed some, and no further (skipBudget).
//   - A PSK with the hash of another suite, an index that was not offered, binders that cover too little:
//     Client.resume, setBinder, Server.selectPSK, which after HelloRetryRequest have the transcript from the first hello on.
//   - Truncation by who can end a TCP connection: an end without close_notify is no EventCloseNotify.
//   - Comparisons that tell by their time how much was right: hmac.Equal for Finished and binders, and the AEADs'
//     own for all else.
//   - Protocols mixed up (ALPACA): a server has no default protocol where both sides list some
//     (FaultNoSharedALPN), a client takes none that it did not offer (FaultBadALPN).
//   - Floods of warnings (CVE-2016-8610), of change_cipher_spec (CVE-2020-12457), of KeyUpdates, of
//     tickets, of empty records, skipped ones too: budget.go. Large messages (CVE-2016-6307) and large RSA keys
//     (CVE-2023-29409): link.message, maxRSABits. What a peer can make this side
//     hold: TestHeldBeforeAuthentication, TestHeldByServer. Work that grows with the square of a message: repeats,
//     clientHello.lasting.
//   - Secrets that outlive their use: a stage of the schedule is cleared by the next one,
//     and all by a failure (Client.forget, Server.forget, Opener.forget).
//
// # Not covered
//
//   - Side channels of the primitives, which are those of the standard library. How long it takes to
//     strip padding tells how much there was (RFC 8446, appendix E.3).
//   - Decompressors are the Builder's. They are given no more than a message has, and read no further than
//     a Certificate may be long (decompress); what else they hold is theirs.
//   - Memory: Go may have copied a secret before it was cleared, and
//     crypto/ecdh and crypto/mlkem keys, AEADs and hashes are left to the garbage collector.
//   - Whether a session is fit, valid and of the right server is for the caller to know before
//     NewClient, as is to use it once.
//   - Early data that a server refused, and that its client sent again, can still be replayed as early
//     data to another server that shares the ticket keys but not the AntiReplay, or not the
//     configuration that refused it.
//   - Ticket keys are changed by the caller (TicketKeys.Rotate). A clock that is set back between two
//     processes with the same ticket keys lets early data of the first be replayed to the second.
//   - A Server has no deadlines and no cookies, and up to 64 KiB of a hello are parsed for anybody.
//   - Revocation; certificate transparency beyond handing over the timestamps.
//
// # Where it differs
//
// From RFC 8446, in which alert is sent, to agree with BoringSSL's tests: an extension of another
// message in EncryptedExtensions is unsupported_extension; one that is there twice, and a
// compression method in ServerHello, decode_error; an error alert at the level of a warning is
// answered with decode_error. In all of them the connection ends.
//
// From crypto/tls: a leaf whose keyUsage lacks digitalSignature is refused (section 4.4.2.2), a
// Certificate has 64 KiB at most, and not 256, unless Config.MaxMessageLen says otherwise. Chains,
// names, callbacks and the choice of client certificates are tested side by side with it (the tests
// named AsStd).
package handshake
