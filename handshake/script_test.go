package handshake

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// scriptedServer answers a client message by message, and each message can be
// changed, so that it can do all that a server must not. It is deterministic.
type scriptedServer struct {
	suite   *suite
	group   tls.CurveID
	cert    tls.Certificate
	alpn    string
	session *Session // resumed, if not nil
	early   bool     // early data accepted
	request bool     // a client certificate is asked for
	// edit changes a message before it is sent; nothing is sent for nil. Step
	// is StateServerHello for HelloRetryRequest.
	edit func(step State, msg []byte) []byte

	rand       io.Reader
	transcript []byte
	hello      helloView
	writer     *protector
	reader     *protector // handshake
	master     *masterSecret
	out        []byte
}

// scriptRandom is a random source that repeats itself.
func scriptRandom(seed byte) io.Reader { return rand.NewChaCha8([32]byte{seed}) }

var scriptCertificate = func() []byte {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"example.com"}, KeyUsage: x509.KeyUsageDigitalSignature,
		NotBefore: testTime.Add(-time.Hour), NotAfter: testTime.Add(time.Hour),
	}
	der, err := x509.CreateCertificate(nil, template, template, scriptKey.Public(), scriptKey)
	if err != nil {
		panic(err)
	}
	return der
}()

var scriptKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{3}, 32))

// newScript returns a server and the configuration of a client that fit each
// other. The client takes any certificate.
func newScript(t testing.TB) (*scriptedServer, *Config) {
	t.Helper()
	return &scriptedServer{
			suite: suiteByID(tls.TLS_AES_128_GCM_SHA256), group: tls.X25519, rand: scriptRandom(2),
			cert: tls.Certificate{Certificate: [][]byte{scriptCertificate}, PrivateKey: scriptKey},
		}, &Config{
			ServerName: "example.com", InsecureSkipVerify: true, rand: scriptRandom(1),
			Groups: []tls.CurveID{tls.X25519, tls.CurveP256}, KeyShares: []tls.CurveID{tls.X25519},
			NextProtos: []string{"h2", "http/1.1"},
		}
}

// resumeScript makes both ends resume a session of theirs.
func resumeScript(s *scriptedServer, cfg *Config) {
	s.session = testSession(s.suite.id, 32)
	s.session.ALPN = "h2"
	s.alpn = "h2"
	cfg.Session, cfg.EarlyData = s.session, true
}

func (s *scriptedServer) message(step State, typ messageType, f func(b *cryptobyte.Builder)) {
	msg, err := buildMessage(typ, f)
	if err != nil {
		panic(err)
	}
	if s.edit != nil {
		msg = s.edit(step, msg)
	}
	s.transcript = append(s.transcript, msg...)
	switch {
	case len(msg) == 0:
	case s.writer != nil:
		for part := range slices.Chunk(msg, maxPlaintext) {
			s.out = s.writer.seal(s.out, recordHandshake, part, 0)
		}
	default:
		s.out = appendPlaintext(s.out, recordHandshake, versionTLS12, msg)
	}
}

func (s *scriptedServer) sum() []byte {
	h := s.suite.hash()
	h.Write(s.transcript)
	return h.Sum(nil)
}

func (s *scriptedServer) serverHello(step State, random []byte, extensions func(b *cryptobyte.Builder)) {
	s.message(step, typeServerHello, func(b *cryptobyte.Builder) {
		b.AddUint16(versionTLS12)
		b.AddBytes(random)
		addBytes8(b, s.hello.sessionID)
		b.AddUint16(s.suite.id)
		b.AddUint8(0)
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			addExtension(b, extSupportedVersions, func(b *cryptobyte.Builder) { b.AddUint16(versionTLS13) })
			extensions(b)
		})
	})
}

// read takes a client's hello, which is the first record of what it sent.
func (s *scriptedServer) read(out []byte) {
	n := int(out[3])<<8 | int(out[4])
	s.hello, _ = viewHello(out[recordHeaderLen : recordHeaderLen+n])
	s.transcript = append(s.transcript, s.hello.message...)
}

// retry returns a HelloRetryRequest for the hello.
func (s *scriptedServer) retry(out []byte, extensions func(b *cryptobyte.Builder)) []byte {
	s.read(out)
	s.transcript = messageHash(s.sum())
	s.serverHello(StateServerHello, helloRetryRandom[:], extensions)
	return s.take()
}

// flight returns the server's whole flight for the hello.
func (s *scriptedServer) flight(out []byte) []byte {
	s.read(out)
	s.helloAndKeys()
	s.message(StateEncryptedExtensions, typeEncryptedExtensions, func(b *cryptobyte.Builder) {
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			if s.alpn != "" {
				addExtension(b, extALPN, func(b *cryptobyte.Builder) {
					b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { addBytes8(b, []byte(s.alpn)) })
				})
			}
			if s.early {
				addExtension(b, extEarlyData, func(*cryptobyte.Builder) {})
			}
		})
	})
	if s.request {
		s.message(StateCertificateOrRequest, typeCertificateRequest, func(b *cryptobyte.Builder) {
			b.AddUint8(0)
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
				addExtension(b, extSignatureAlgorithms, func(b *cryptobyte.Builder) { addList16(b, []tls.SignatureScheme{tls.Ed25519}) })
			})
		})
	}
	if s.session == nil {
		certificate, _ := marshalCertificate(&s.cert, false, false)
		s.message(StateCertificate, typeCertificate, func(b *cryptobyte.Builder) { b.AddBytes(certificate[messageHeaderLen:]) })
		signature, err := signTranscript(&s.cert, tls.Ed25519, serverSignatureContext, s.sum(), s.rand)
		if err != nil {
			panic(err)
		}
		s.message(StateCertificateVerify, typeCertificateVerify, func(b *cryptobyte.Builder) {
			b.AddUint16(uint16(tls.Ed25519))
			addBytes16(b, signature)
		})
	}
	finished := s.suite.finished(s.writer.secret, s.sum())
	s.message(StateFinished, typeFinished, func(b *cryptobyte.Builder) { b.AddBytes(finished) })
	return s.take()
}

// helloAndKeys sends ServerHello and changes to the handshake keys.
func (s *scriptedServer) helloAndKeys() {
	g, _ := groupByID(s.group)
	shares, _ := s.hello.extension(extKeyShare)
	var list, share cryptobyte.String
	shares.ReadUint16LengthPrefixed(&list)
	for typ := uint16(0); nextExtension(&list, &typ, &share) && typ != uint16(s.group); {
	}
	shared, answer, fault := g.answer(share, s.rand)
	if fault != 0 {
		panic(fault)
	}
	random := make([]byte, 32)
	io.ReadFull(s.rand, random)
	s.serverHello(StateServerHelloRetried, random, func(b *cryptobyte.Builder) {
		if s.session != nil {
			addExtension(b, extPreSharedKey, func(b *cryptobyte.Builder) { b.AddUint16(0) })
		}
		addExtension(b, extKeyShare, func(b *cryptobyte.Builder) {
			b.AddUint16(uint16(s.group))
			addBytes16(b, answer)
		})
	})
	var psk []byte
	if s.session != nil {
		psk = s.session.Secret
	}
	hs := newEarlySecret(s.suite, psk).handshake(shared)
	s.writer, _ = newProtector(s.suite, hs.serverTraffic(s.sum()))
	s.reader, _ = newProtector(s.suite, hs.clientTraffic(s.sum()))
	s.master = hs.master()
}

func (s *scriptedServer) take() []byte {
	out := s.out
	s.out = nil
	return out
}

// run feeds p to the client and returns the kinds of events and the error.
func run(c *Client, p []byte) (events []EventKind, err error) {
	c.Feed(p)
	for {
		ev, err := c.Next(testTime)
		if err != nil {
			return events, err
		}
		if ev.Kind == EventNone {
			return events, nil
		}
		events = append(events, ev.Kind)
	}
}

// alert returns the alert that the client's output ends with. key opens
// protected records.
func lastAlert(t testing.TB, out []byte, key *protector) (alert Alert, protected bool) {
	t.Helper()
	alert = 255
	for len(out) >= recordHeaderLen {
		n := recordHeaderLen + int(out[3])<<8 + int(out[4])
		typ, data := recordType(out[0]), out[recordHeaderLen:n]
		if protected = typ == recordApplication; protected {
			var fault Fault
			if typ, data, fault = key.open(out[:recordHeaderLen], data); fault != 0 {
				t.Fatalf("cannot open the client's record: %v", fault)
			}
		}
		if typ == recordAlert {
			alert = Alert(data[1])
		}
		out = out[n:]
	}
	return alert, protected
}
