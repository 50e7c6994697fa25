// Package utlshello builds ClientHellos that look like those of a browser, or of any other client, by utls
// (github.com/refraction-networking/utls), and hands them to the engine of package handshake as bytes and keys. So they ride in the
// SYN, and resume with early data, which utls itself cannot over TCP. Only who imports this package links utls.
//
//	d := &tlstfo.Dialer{Hello: utlshello.Fingerprint(utls.HelloChrome_Auto)}
//
// docs/fingerprints.md says what this is good for, which fingerprints fit a SYN, and what resumption and early data do to one.
//
// # What is on the wire
//
// The bytes that utls itself would send, but for random fields, key shares and session id, which are new for each. All shares
// have a key that the engine holds: utls keeps that of one classical group only. A resumption adds pre_shared_key as the last
// extension and early_data, which utls does not have, at the place that the imitated client has for it: anywhere in Chrome's shuffle,
// behind key_share for Firefox (NSS), behind psk_key_exchange_modes for the others (BoringSSL). The padding is computed anew.
// After HelloRetryRequest early_data goes, key_share has the one share that was asked for, and a cookie stands where
// NSS and BoringSSL have it.
//
// What a server answers to such a hello is honoured by the engine: compressed certificates, application settings, record size limits,
// delegated credentials, and so on (see package handshake). A hello that offers what could not be honoured is refused by name, before anything is
// sent: presets with channel_id, with a share of a Kyber draft, or without TLS 1.3, and specs with shares that RFC 8446, section 4.2.8
// forbids, with psk_ke, or with a suite, group or signature algorithm of TLS 1.3 that the engine does not have, such as AES-CCM, x448 and Ed448.
// A randomized hello is sent without such a share (utls draws one now and then).
//
// One thing that is listed is not honoured: Firefox lists ffdhe2048 and ffdhe3072 (RFC 7919), and a hello without them
// would not be Firefox's. With a server that has no curve at all the dial fails by handshake.FaultGroupForShow.
//
// A server that says that it is older, by a TLS 1.2 ServerHello or a protocol_version alert, is dialled again through crypto/tls, whose
// hello is Go's: for it there is no fingerprint. tlstfo.ConnInfo.CryptoTLS says so. With tls.Config.MinVersion at TLS 1.3 such a dial
// fails instead. Any other answer, or none, never leads to Go's hello.
//
// # What of a tls.Config shows in the hello
//
//	ServerName          is sent as server_name
//	NextProtos          replaces the protocols of the fingerprint, in the same place, unless it is empty; settings (ALPS) for
//	                    others are left out. A fingerprint without ALPN has none in any case
//	CurvePreferences    groups that it leaves out are neither listed nor shared: so a fingerprint with X25519MLKEM768 can be
//	                    made to fit a SYN, and is not quite that of its client any more
//	MinVersion          the versions are those of the fingerprint; the engine takes TLS 1.3 only
//	CipherSuites        the suites are those of the fingerprint
//	ClientSessionCache  sessions are the Dialer's
//
// All other fields work as without a fingerprint.
//
// # What becomes of the fields of utls.Config
//
// utls has a Config of its own, and does nothing with it here but to build a hello:
//
//	Rand                                 the engine's
//	Time                                 not used: the engine verifies
//	Certificates                         not used: the engine authenticates
//	NameToCertificate                    servers only
//	GetCertificate                       servers only
//	GetClientCertificate                 not used: the engine authenticates
//	GetConfigForClient                   servers only
//	VerifyPeerCertificate                not used: the engine verifies
//	VerifyConnection                     not used: the engine verifies
//	RootCAs                              not used: the engine verifies
//	NextProtos                           that of tls.Config
//	ApplicationSettings                  not used: see Builder.ApplicationSettings
//	ServerName                           that of tls.Config
//	ClientAuth                           servers only
//	ClientCAs                            servers only
//	InsecureSkipVerify                   set, so that an empty ServerName is none of utls's business
//	InsecureSkipTimeVerify               not used: the engine verifies
//	OmitEmptyPsk                         not used: a spec's pre_shared_key is left out
//	InsecureServerNameToVerify           not used: the engine verifies
//	PreferSkipResumptionOnNilExtension   not used: utls resumes nothing
//	CipherSuites                         not used: those of the fingerprint
//	PreferServerCipherSuites             servers only
//	SessionTicketsDisabled               set: sessions are the engine's
//	SessionTicketKey                     servers only
//	ClientSessionCache                   not used: sessions are the engine's
//	UnwrapSession                        servers only
//	WrapSession                          servers only
//	MinVersion                           not used: that of the fingerprint
//	MaxVersion                           not used: that of the fingerprint
//	CurvePreferences                     not used: the fingerprint's groups are cut beforehand
//	PQSignatureSchemesEnabled            not used: the engine verifies
//	DynamicRecordSizingDisabled          not used: utls sends no record
//	Renegotiation                        not used: TLS 1.3 has none
//	KeyLogWriter                         not used: the engine knows the secrets
//	EncryptedClientHelloConfigList       not used: a tls.Config with one goes to crypto/tls
//	EncryptedClientHelloRejectionVerify  not used, as before
//	EncryptedClientHelloKeys             servers only
package utlshello
