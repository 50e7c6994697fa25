package handshake

import (
	"crypto/tls"
	"testing"

	"golang.org/x/crypto/cryptobyte"
)

// FuzzClientRetry replaces HelloRetryRequest, and, where the client takes it, the
// ServerHello after it, if there is one in the input. The rest is good.
func FuzzClientRetry(f *testing.F) {
	p256 := func(b *cryptobyte.Builder) {
		addExtension(b, extKeyShare, func(b *cryptobyte.Builder) { b.AddUint16(uint16(tls.CurveP256)) })
	}
	cookie := func(b *cryptobyte.Builder) {
		addExtension(b, extCookie, func(b *cryptobyte.Builder) { addBytes16(b, []byte("biscuit")) })
	}
	for kind := range byte(4) {
		for _, extensions := range []func(*cryptobyte.Builder){p256, cookie, func(b *cryptobyte.Builder) { p256(b); cookie(b) }} {
			s, cfg := fuzzScript(f, kind)
			var retry, second []byte
			s.edit = func(step State, msg []byte) []byte {
				switch step {
				case StateServerHello:
					retry = msg
				case StateServerHelloRetried:
					second = msg
				}
				return msg
			}
			c := mustClient(f, cfg)
			if _, err := run(c, s.retry(c.AppendOutput(nil), extensions)); err != nil {
				f.Fatal(err)
			}
			f.Add(kind, retry, []byte(nil))
			s.secondFlight(c.AppendOutput(nil))
			f.Add(kind, retry, second)
		}
	}
	f.Fuzz(func(t *testing.T, kind byte, retry, second []byte) {
		if len(retry) > maxPlaintext || len(second) > maxPlaintext {
			return
		}
		s, cfg := fuzzScript(t, kind)
		s.edit = func(step State, msg []byte) []byte {
			switch {
			case step == StateServerHello:
				return retry
			case step == StateServerHelloRetried && len(second) > 0:
				return second
			}
			return msg
		}
		c := mustClient(t, cfg)
		c.WriteEarly([]byte("early"))
		_, err := run(c, s.retry(c.AppendOutput(nil), func(*cryptobyte.Builder) {}))
		if c.State() != StateServerHelloRetried {
			checkClient(t, c, err)
			return
		}
		s.secondFlight(c.AppendOutput(nil))
		// Section 4.1.2: no early data goes with the second hello; nor is any accepted.
		if s.hello.offers(extEarlyData) || c.EarlyData() != EarlyRejected && c.EarlyData() != EarlyNotOffered || c.EarlyLeft() > 0 {
			t.Fatalf("early data after HelloRetryRequest: %v", c.EarlyData())
		}
		_, err = run(c, s.take())
		if s.early && len(second) == 0 && c.ConnectionState().HandshakeComplete {
			t.Fatal("early data was accepted after HelloRetryRequest")
		}
		checkClient(t, c, err)
	})
}

// secondFlight makes the flight for a client's second hello, in whatever group
// that has a share of; take returns it.
func (s *scriptedServer) secondFlight(out []byte) {
	for recordType(out[0]) != recordHandshake { // change_cipher_spec
		out = out[recordHeaderLen+int(out[3])<<8+int(out[4]):]
	}
	hello, _ := viewHello(out[recordHeaderLen : recordHeaderLen+int(out[3])<<8+int(out[4])])
	for _, id := range []tls.CurveID{tls.X25519, tls.CurveP256} {
		if hello.sharesGroup(id) {
			s.group = id
		}
	}
	s.out = s.flight(out)
}

// FuzzClientCompressed replaces the Certificate, under keys, for a client that
// takes a CompressedCertificate and delegated credentials too, or
// EncryptedExtensions for one that offered them and a limit of records.
func FuzzClientCompressed(f *testing.F) {
	steps := []State{StateCertificate, StateEncryptedExtensions}
	setup := func(t testing.TB) (*scriptedServer, *Config) {
		s, cfg := newScript(t)
		cfg.Hello = browser{offer: []extension{offerCompression, offerLimit, offerDelegated}}
		cfg.CertificateCache = nil
		return s, cfg
	}
	edits := map[byte][]func([]byte) []byte{
		0: {
			func(msg []byte) []byte { return msg },
			compressed(1, nil),
			compressed(1, func(n int, data []byte) (int, []byte) { return n + 1, data }),
			compressed(1, func(n int, data []byte) (int, []byte) { return n, data[:len(data)/2] }),
			compressed(1, func(n int, data []byte) (int, []byte) { return maxMessageLen + 1, data }),
			compressed(2, nil),
			func([]byte) []byte {
				return certificateWith(scriptCertificate, extDelegatedCredential, make([]byte, 40))
			},
		},
		1: {more(inEE, extRecordSizeLimit, 0, 64), more(inEE, extRecordSizeLimit, 0, 63)},
	}
	for index, list := range edits {
		for _, edit := range list {
			s, cfg := setup(f)
			s.edit = at(steps[index], func(msg []byte) []byte {
				msg = edit(msg)
				f.Add(index, msg)
				return msg
			})
			s.flight(mustClient(f, cfg).AppendOutput(nil))
		}
	}
	f.Fuzz(func(t *testing.T, index byte, msg []byte) {
		if len(msg) > maxPlaintext {
			return
		}
		s, cfg := setup(t)
		s.edit = at(steps[int(index)%len(steps)], func([]byte) []byte { return msg })
		c := mustClient(t, cfg)
		_, err := run(c, s.flight(c.AppendOutput(nil)))
		checkClient(t, c, err)
	})
}
