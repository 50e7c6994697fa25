package handshake

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// proof is how to produce a fault, and what must come with it.
type proof struct {
	state   State
	alert   Alert
	produce func(t *testing.T) error
}

// Each fault of the list is produced, in the state and with the alert that are
// written here once more. A fault without a proof fails the test, so that the
// list has none that nothing can cause.
func TestEveryFault(t *testing.T) {
	proofs := clientProofs()
	for _, more := range []map[Fault]proof{openerProofs(), certificateProofs(), serverProofs(), browserProofs()} {
		for fault, p := range more {
			if _, twice := proofs[fault]; twice {
				t.Errorf("%q has two proofs", fault)
			}
			proofs[fault] = p
		}
	}
	for fault := Fault(1); fault < faultCount; fault++ {
		p, ok := proofs[fault]
		if !ok {
			t.Errorf("nothing produces %q", fault)
			continue
		}
		err := p.produce(t)
		var local *LocalError
		if !errors.As(err, &local) || !errors.Is(err, fault) {
			t.Errorf("%q: %v", fault, err)
			continue
		}
		if local.Fault != fault || local.State != p.state || local.Alert() != p.alert || fault.Alert() != p.alert {
			t.Errorf("%q while %v, alert %v; want %q while %v, alert %v", local.Fault, local.State, local.Alert(), fault, p.state, p.alert)
		}
		if text := err.Error(); !strings.Contains(text, fault.String()) || !strings.Contains(text, p.state.String()) ||
			strings.Contains(text, "fault ") || !strings.HasPrefix(fault.Error(), "tls: ") {
			t.Errorf("%q reads %q", fault, text)
		}
	}
	if faultCount.Alert() != AlertInternalError || !strings.HasPrefix(faultCount.String(), "fault ") {
		t.Error("a fault beyond the list has no alert or no name")
	}
}

// flightProof is a scripted server whose message of one step is edited.
func flightProof(state State, alert Alert, setup func(*scriptedServer, *Config), step State, edit func([]byte) []byte) proof {
	return proof{state, alert, func(t *testing.T) error {
		s, cfg := newScript(t)
		if setup != nil {
			setup(s, cfg)
		}
		if edit != nil {
			s.edit = at(step, edit)
		}
		c := mustClient(t, cfg)
		_, err := run(c, s.flight(c.AppendOutput(nil)))
		return err
	}}
}

// rawProof is a server that answers the hello with bytes.
func rawProof(alert Alert, in string) proof {
	return proof{StateServerHello, alert, func(t *testing.T) error {
		_, cfg := newScript(t)
		_, err := run(mustClient(t, cfg), []byte(in))
		return err
	}}
}

// retryProof is a scripted server that asks for P-256 and then sends an edited
// ServerHello; without an edit it asks again.
func retryProof(alert Alert, edit func([]byte) []byte) proof {
	return proof{StateServerHelloRetried, alert, func(t *testing.T) error {
		s, cfg := newScript(t)
		c := mustClient(t, cfg)
		ask := func(b *cryptobyte.Builder) {
			addExtension(b, extKeyShare, func(b *cryptobyte.Builder) { b.AddUint16(uint16(tls.CurveP256)) })
		}
		if _, err := run(c, s.retry(c.AppendOutput(nil), ask)); err != nil {
			t.Fatal(err)
		}
		second := c.AppendOutput(nil)[6:] // without change_cipher_spec
		if edit == nil {
			_, err := run(c, s.retry(second, ask))
			return err
		}
		s.group, s.edit = tls.CurveP256, at(StateServerHelloRetried, edit)
		_, err := run(c, s.flight(second))
		return err
	}}
}

func clientProofs() map[Fault]proof {
	const hello, ee, request = StateServerHelloRetried, StateEncryptedExtensions, StateCertificateOrRequest // steps of the script
	accept := func(s *scriptedServer, c *Config) { resumeScript(s, c); s.early = true }
	under := func(suite uint16) func(*scriptedServer, *Config) {
		return func(s *scriptedServer, c *Config) { accept(s, c); s.suite = suiteByID(suite) }
	}
	notResumed := func(s *scriptedServer, c *Config) { accept(s, c); s.session = nil }
	ask := func(s *scriptedServer, c *Config) { s.request = true }
	x25519 := append([]byte{0, 29, 0, 32, 1}, make([]byte, 31)...)
	p256 := append([]byte{0, 23, 0, 65, 4}, make([]byte, 64)...)
	oldHello := func(tail string) string {
		return "\x16\x03\x03\x00\x2a\x02\x00\x00\x26\x03\x03" + strings.Repeat("r", 24) + tail + "\x00\xc0\x2b\x00"
	}
	const ccs, warning = "\x14\x03\x03\x00\x01\x01", "\x15\x03\x03\x00\x02\x01\x5a"
	return map[Fault]proof{
		FaultUnexpectedRecord:         rawProof(AlertUnexpectedMessage, "\x17\x03\x03\x00\x01x"),
		FaultDecode:                   rawProof(AlertDecodeError, "\x16\x03\x03\x00\x04\x02\x00\x00\x00"),
		FaultRecordOverflow:           rawProof(AlertRecordOverflow, "\x16\x03\x03\x40\x01"),
		FaultEmptyFragment:            rawProof(AlertUnexpectedMessage, "\x16\x03\x03\x00\x00"),
		FaultTooManyCCS:               rawProof(AlertUnexpectedMessage, strings.Repeat(ccs, maxCCS+1)),
		FaultTooManyWarnings:          rawProof(AlertUnexpectedMessage, strings.Repeat(warning, maxWarnings+1)),
		FaultMessageTooLarge:          rawProof(AlertIllegalParameter, "\x16\x03\x03\x00\x04\x02\x01\x00\x01"),
		FaultBadCCS:                   rawProof(AlertUnexpectedMessage, "\x14\x03\x03\x00\x01\x02"),
		FaultBadAlert:                 rawProof(AlertDecodeError, "\x15\x03\x03\x00\x03\x02\x28\x00"),
		FaultAlertLevel:               rawProof(AlertIllegalParameter, "\x15\x03\x03\x00\x02\x03\x28"),
		FaultBadRecordVersion:         rawProof(AlertProtocolVersion, "HTTP/1.1 400 Bad Request\r\n\r\n"),
		FaultUnsupportedVersion:       rawProof(AlertProtocolVersion, oldHello("12345678")),
		FaultDowngrade:                rawProof(AlertIllegalParameter, oldHello("DOWNGRD\x01")),
		FaultUnexpectedMessage:        flightProof(StateEncryptedExtensions, AlertUnexpectedMessage, nil, ee, empty),
		FaultPartialMessage:           flightProof(StateServerHello, AlertUnexpectedMessage, nil, hello, func(m []byte) []byte { return append(m, 8, 0, 0, 2, 0, 0) }),
		FaultBadVersion:               flightProof(StateServerHello, AlertProtocolVersion, nil, hello, changed(messageHeaderLen+1, 4)),
		FaultBadSelectedVersion:       flightProof(StateServerHello, AlertIllegalParameter, nil, hello, replaced(inHello, extSupportedVersions, 3, 3)),
		FaultBadSessionIDEcho:         flightProof(StateServerHello, AlertIllegalParameter, nil, hello, changed(messageHeaderLen+2+32+1, 9)),
		FaultBadCipherSuite:           flightProof(StateServerHello, AlertIllegalParameter, nil, hello, changed(inHello-2, 9)),
		FaultUnsolicitedExtension:     flightProof(StateServerHello, AlertUnsupportedExtension, nil, hello, more(inHello, 0x1234)),
		FaultDuplicateExtension:       flightProof(StateServerHello, AlertIllegalParameter, nil, hello, more(inHello, extSupportedVersions, 3, 4)),
		FaultMissingExtension:         flightProof(StateServerHello, AlertMissingExtension, nil, hello, without(inHello, extKeyShare)),
		FaultBadGroup:                 flightProof(StateServerHello, AlertIllegalParameter, nil, hello, replaced(inHello, extKeyShare, p256...)),
		FaultBadKeyShare:              flightProof(StateServerHello, AlertIllegalParameter, nil, hello, replaced(inHello, extKeyShare, 0, 29, 0, 2, 1, 2)),
		FaultBadPSKIndex:              flightProof(StateServerHello, AlertIllegalParameter, resumeScript, hello, replaced(inHello, extPreSharedKey, 0, 1)),
		FaultPSKWithoutKeyShare:       flightProof(StateServerHello, AlertIllegalParameter, resumeScript, hello, without(inHello, extKeyShare)),
		FaultPSKSuiteMismatch:         flightProof(StateServerHello, AlertIllegalParameter, under(tls.TLS_AES_256_GCM_SHA384), 0, nil),
		FaultEarlyDataSuiteMismatch:   flightProof(StateEncryptedExtensions, AlertIllegalParameter, under(tls.TLS_CHACHA20_POLY1305_SHA256), 0, nil),
		FaultEarlyDataALPNMismatch:    flightProof(StateEncryptedExtensions, AlertIllegalParameter, accept, ee, without(inEE, extALPN)),
		FaultUnexpectedEarlyData:      flightProof(StateEncryptedExtensions, AlertUnsupportedExtension, notResumed, 0, nil),
		FaultBadALPN:                  flightProof(StateEncryptedExtensions, AlertIllegalParameter, nil, ee, more(inEE, extALPN, 0, 3, 2, 'h', '9')),
		FaultForbiddenExtension:       flightProof(request, AlertIllegalParameter, ask, request, more(messageHeaderLen+1, extKeyShare)),
		FaultBadCertificateRequest:    flightProof(request, AlertIllegalParameter, ask, request, func(m []byte) []byte { return remade(m, append([]byte{1, 7}, m[5:]...)...) }),
		FaultBadFinished:              flightProof(StateFinished, AlertDecryptError, nil, StateFinished, changed(-1, 0)),
		FaultSecondHelloRetryRequest:  retryProof(AlertUnexpectedMessage, nil),
		FaultSuiteChangedAfterRetry:   retryProof(AlertIllegalParameter, changed(inHello-2, 3)),
		FaultVersionChangedAfterRetry: retryProof(AlertIllegalParameter, without(inHello, extSupportedVersions)),
		FaultGroupChangedAfterRetry:   retryProof(AlertIllegalParameter, replaced(inHello, extKeyShare, x25519...)),
		FaultUselessHelloRetryRequest: {StateServerHello, AlertIllegalParameter, func(t *testing.T) error {
			s, cfg := newScript(t)
			c := mustClient(t, cfg)
			_, err := run(c, s.retry(c.AppendOutput(nil), func(*cryptobyte.Builder) {}))
			return err
		}},
		FaultCertificateRequestWithPSK: flightProof(StateFinished, AlertUnexpectedMessage, func(s *scriptedServer, c *Config) { resumeScript(s, c); s.request = true }, 0, nil),
		FaultAbandoned:                 flightProof(StateServerHello, AlertUserCanceled, func(s *scriptedServer, c *Config) { notResumed(s, c); c.RequirePSK = true }, 0, nil),
		FaultInternal:                  flightProof(StateServerHello, AlertInternalError, func(s *scriptedServer, c *Config) { c.KeyLogWriter = fullWriter{} }, 0, nil),
	}
}

func openerProofs() map[Fault]proof {
	suite := suiteByID(tls.TLS_AES_128_GCM_SHA256)
	after := func(alert Alert, send func(*Sealer) []byte) proof {
		return proof{StateConnected, alert, func(t *testing.T) error {
			_, o, peer, _ := testSplit(t, suite.id, &resumption{suite: suite, template: Session{Secret: make([]byte, suite.hashLen)}})
			return feedError(o, send(peer))
		}}
	}
	message := func(data ...byte) func(*Sealer) []byte {
		return func(s *Sealer) []byte { return s.seal(nil, recordHandshake, data, 0) }
	}
	many := func(n int, record func(*Sealer) []byte) func(*Sealer) []byte {
		return func(s *Sealer) (records []byte) {
			for range n {
				records = append(records, record(s)...)
			}
			return records
		}
	}
	return map[Fault]proof{
		FaultBadRecordMAC:        after(AlertBadRecordMAC, func(*Sealer) []byte { return append([]byte{23, 3, 3, 0, 20}, make([]byte, 20)...) }),
		FaultPlaintextRecord:     after(AlertBadRecordMAC, func(*Sealer) []byte { return []byte{21, 3, 3, 0, 2, 2, 40} }),
		FaultEmptyInner:          after(AlertUnexpectedMessage, func(s *Sealer) []byte { return s.seal(nil, 0, nil, 3) }),
		FaultTooManyEmptyRecords: after(AlertUnexpectedMessage, many(maxEmptyRecords+1, func(s *Sealer) []byte { return s.SealRecord(nil, nil, 0) })),
		FaultTooManyKeyUpdates:   after(AlertUnexpectedMessage, many(maxKeyUpdates+1, func(s *Sealer) []byte { return s.KeyUpdate(nil, true) })),
		FaultBadKeyUpdate:        after(AlertIllegalParameter, message(24, 0, 0, 1, 2)),
		FaultTooManyTickets:      after(AlertUnexpectedMessage, many(maxTickets+1, message(4, 0, 0, 15, 0, 0, 0, 0, 0, 0, 0, 5, 1, 0, 0, 1, 9, 0, 0))),
		FaultBadTicket:           after(AlertIllegalParameter, message(4, 0, 0, 15, 0, 9, 0x3a, 0x81, 0, 0, 0, 5, 1, 0, 0, 1, 9, 0, 0)),
	}
}

func certificateProofs() map[Fault]proof {
	// verified is a client that verifies the certificate of a server of ours.
	verified := func(alert Alert, change func(t *testing.T, s *ServerConfig, c *Config)) proof {
		return proof{StateCertificateOrRequest, alert, func(t *testing.T) error {
			server, client, _ := serverSetup(t)
			change(t, server, client)
			err, _ := newPair(t, server, client, "").run()
			return err
		}}
	}
	// leaf is a scripted server with another certificate.
	leaf := func(alert Alert, key func(t *testing.T) any, edit func(*x509.Certificate)) proof {
		return proof{StateCertificateOrRequest, alert, func(t *testing.T) error {
			template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: testTime.Add(-time.Hour), NotAfter: testTime.Add(time.Hour)}
			edit(template)
			der, err := x509.CreateCertificate(rand.Reader, template, template, key(t), scriptKey)
			if err != nil {
				t.Fatal(err)
			}
			s, cfg := newScript(t)
			s.cert.Certificate = [][]byte{der}
			c := mustClient(t, cfg)
			_, err = run(c, s.flight(c.AppendOutput(nil)))
			return err
		}}
	}
	asked := func(alert Alert, cert *tls.Certificate, err error) proof {
		return flightProof(StateFinished, alert, func(s *scriptedServer, c *Config) {
			s.request = true
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, err }
		}, 0, nil)
	}
	plain := func(*x509.Certificate) {}
	no := errors.New("no")
	return map[Fault]proof{
		FaultCertificateVerification: verified(AlertBadCertificate, func(_ *testing.T, _ *ServerConfig, c *Config) { c.ServerName = "example.org" }),
		FaultCertificateRejected: verified(AlertBadCertificate, func(_ *testing.T, _ *ServerConfig, c *Config) {
			c.VerifyConnection = func(tls.ConnectionState) error { return no }
		}),
		FaultBadCertificate: leaf(AlertBadCertificate, func(*testing.T) any {
			return &rsa.PublicKey{N: new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), maxRSABits), big.NewInt(1)), E: 65537}
		}, plain),
		FaultBadCertificateKeyUsage: leaf(AlertIllegalParameter, func(*testing.T) any { return scriptKey.Public() },
			func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }),
		FaultUnsupportedCertificateKey: leaf(AlertUnsupportedCertificate, func(t *testing.T) any {
			key, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			return key.Public()
		}, plain),
		FaultNoCertificate:             flightProof(StateCertificateOrRequest, AlertDecodeError, nil, StateCertificate, func(m []byte) []byte { return remade(m, 0, 0, 0, 0) }),
		FaultBadSignatureAlgorithm:     flightProof(StateCertificateVerify, AlertIllegalParameter, nil, StateCertificateVerify, changed(5, 8)),
		FaultBadSignature:              flightProof(StateCertificateVerify, AlertDecryptError, nil, StateCertificateVerify, changed(-1, 0)),
		FaultNoUsableClientCertificate: asked(AlertHandshakeFailure, &tls.Certificate{Certificate: [][]byte{scriptCertificate}}, nil),
		FaultClientCertificateCallback: asked(AlertInternalError, nil, no),
	}
}

func serverProofs() map[Fault]proof {
	// first is a server that gets an edited first hello.
	first := func(alert Alert, edit func(*clientHello)) proof {
		return proof{StateClientHello, alert, func(t *testing.T) error {
			cfg, client, _ := serverSetup(t)
			cfg.NextProtos = []string{"h2"}
			hello := firstHello(t, resume(client, firstSession(t, cfg, client), 0, false))
			edit(hello)
			s, err := NewServer(cfg)
			if err != nil {
				t.Fatal(err)
			}
			s.Feed(appendPlaintext(nil, recordHandshake, 0x0301, hello.marshal()))
			_, err = s.Next(testTime)
			return err
		}}
	}
	put := func(typ uint16, data ...byte) func(*clientHello) { return func(h *clientHello) { h.set(typ, data) } }
	// against is a server whose configuration does not fit the client's.
	against := func(state State, alert Alert, change func(*ServerConfig, *Config)) proof {
		return proof{state, alert, func(t *testing.T) error {
			cfg, client, _ := serverSetup(t)
			change(cfg, client)
			_, err := newPair(t, cfg, client, "").run()
			return err
		}}
	}
	return map[Fault]proof{
		FaultBadCompression: first(AlertIllegalParameter, func(h *clientHello) { h.compression = []byte{0, 1} }),
		FaultNoSharedSuite:  first(AlertHandshakeFailure, func(h *clientHello) { h.suites = []uint16{0xc02f} }),
		FaultNoSharedGroup:  first(AlertHandshakeFailure, put(extSupportedGroups, 0, 2, 0, 21)),
		FaultNoSharedALPN:   first(AlertNoApplicationProtocol, put(extALPN, 0, 3, 2, 'h', '3')),
		FaultPSKNotLast:     first(AlertIllegalParameter, func(h *clientHello) { h.extensions = append(h.extensions, extension{0x6a6a, nil}) }),
		FaultBadBinder:      first(AlertDecryptError, func(h *clientHello) { h.random[0] ^= 1 }),
		FaultBinderCount: first(AlertIllegalParameter, func(h *clientHello) {
			psk := h.get(extPreSharedKey)
			list := psk[len(psk)-h.bindersLength+2:]
			psk = append(psk[:len(psk)-h.bindersLength], 0, byte(2*len(list)))
			h.set(extPreSharedKey, append(psk, bytes.Repeat(list, 2)...))
		}),
		FaultNoSharedSignatureAlgorithm: against(StateClientHello, AlertHandshakeFailure, func(s *ServerConfig, c *Config) {
			c.SignatureAlgorithms = []tls.SignatureScheme{tls.Ed25519}
		}),
		FaultCertificateCallback: against(StateClientHello, AlertInternalError, func(s *ServerConfig, c *Config) {
			s.GetCertificate = func(*ClientHelloInfo) (*tls.Certificate, error) { return nil, errors.New("no") }
		}),
		FaultClientCertificateRequired: against(StateCertificate, AlertCertificateRequired, func(s *ServerConfig, c *Config) {
			s.ClientAuth = tls.RequireAnyClientCert
		}),
		FaultSecondHelloChanged: {StateClientHelloRetried, AlertIllegalParameter, func(t *testing.T) error {
			cfg, client, _ := serverSetup(t)
			cfg.Groups = []tls.CurveID{tls.CurveP384}
			hello := firstHello(t, client)
			s, err := NewServer(cfg)
			if err != nil {
				t.Fatal(err)
			}
			s.Feed(appendPlaintext(nil, recordHandshake, 0x0301, hello.marshal()))
			if _, err := s.Next(testTime); err != nil {
				t.Fatal(err)
			}
			hello.random[0] ^= 1
			s.Feed(appendPlaintext(nil, recordHandshake, versionTLS12, hello.marshal()))
			_, err = s.Next(testTime)
			return err
		}},
		FaultTooMuchEarlyData: {StateEndOfEarlyData, AlertUnexpectedMessage, func(t *testing.T) error {
			cfg, client, _ := serverSetup(t)
			allowEarlyData(cfg)
			liar := *firstSession(t, cfg, client)
			liar.MaxEarlyData++
			_, err := newPair(t, cfg, resume(client, &liar, 0, true), strings.Repeat("x", int(liar.MaxEarlyData))).run()
			return err
		}},
	}
}
