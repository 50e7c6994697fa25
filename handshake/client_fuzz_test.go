package handshake

import (
	"bytes"
	"crypto/tls"
	"io"
	"testing"

	"golang.org/x/crypto/cryptobyte"
)

// fuzzScript is one of the handshakes that the fuzz targets start from.
func fuzzScript(t testing.TB, kind byte) (*scriptedServer, *Config) {
	s, cfg := newScript(t)
	switch kind % 4 {
	case 1:
		s.request = true
	case 2:
		resumeScript(s, cfg)
		s.early = true
	case 3:
		resumeScript(s, cfg)
	}
	return s, cfg
}

// FuzzClientFeed gives a client arbitrary bytes from the server, in two pieces.
// Under fixed keys valid flights are among the seeds, so that mutations of them
// get past the plaintext part.
func FuzzClientFeed(f *testing.F) {
	for kind := range byte(4) {
		s, cfg := fuzzScript(f, kind)
		c := mustClient(f, cfg)
		f.Add(kind, uint16(100), s.flight(c.AppendOutput(nil)))
		s, cfg = fuzzScript(f, kind)
		c = mustClient(f, cfg)
		f.Add(kind, uint16(3), s.retry(c.AppendOutput(nil), func(b *cryptobyte.Builder) {
			addExtension(b, extKeyShare, func(b *cryptobyte.Builder) { b.AddUint16(uint16(tls.CurveP256)) })
			addExtension(b, extCookie, func(b *cryptobyte.Builder) { addBytes16(b, []byte("c")) })
		}))
	}
	f.Add(byte(0), uint16(2), []byte("HTTP/1.1 400 Bad Request\r\n"))
	f.Fuzz(func(t *testing.T, kind byte, cut uint16, in []byte) {
		_, cfg := fuzzScript(t, kind)
		c := mustClient(t, cfg)
		c.WriteEarly([]byte("early"))
		at := min(int(cut), len(in))
		_, first := run(c, in[:at])
		_, err := run(c, in[at:])
		if first != nil && err != first {
			t.Fatalf("the error changed from %v to %v", first, err)
		}
		checkClient(t, c, err)
		// The same bytes one by one come to the same.
		_, cfg = fuzzScript(t, kind)
		slow := mustClient(t, cfg)
		slow.WriteEarly([]byte("early"))
		var slowErr error
		for i := range in {
			if _, slowErr = run(slow, in[i:i+1]); slowErr != nil {
				break
			}
		}
		if (err == nil) != (slowErr == nil) || !bytes.Equal(c.AppendOutput(nil), slow.AppendOutput(nil)) {
			t.Fatalf("in pieces %v, one by one %v", err, slowErr)
		}
	})
}

// checkClient checks what must hold whatever came.
func checkClient(t *testing.T, c *Client, err error) {
	t.Helper()
	s, o := c.Split()
	if complete := c.ConnectionState().HandshakeComplete; (s != nil) != complete || (o != nil) != complete || complete && err != nil {
		t.Fatalf("complete %v, sealer %v, error %v", complete, s != nil, err)
	}
	if _, ekm := c.ExportKeyingMaterial("x", nil, 16); (ekm == nil) != (s != nil) {
		t.Fatalf("keying material: %v", ekm)
	}
	c.PredictedState()
	c.EarlyReason()
}

// FuzzClientMessages replaces one message of an otherwise good flight, under
// good keys: all of the handlers are behind it.
func FuzzClientMessages(f *testing.F) {
	steps := []State{StateServerHelloRetried, StateEncryptedExtensions, StateCertificateOrRequest, StateCertificate, StateCertificateVerify, StateFinished}
	for kind := range byte(4) {
		s, cfg := fuzzScript(f, kind)
		s.edit = func(step State, msg []byte) []byte {
			for i, want := range steps {
				if step == want {
					f.Add(kind, byte(i), msg)
				}
			}
			return msg
		}
		s.flight(mustClient(f, cfg).AppendOutput(nil))
	}
	f.Fuzz(func(t *testing.T, kind, index byte, msg []byte) {
		if len(msg) > maxPlaintext {
			return
		}
		s, cfg := fuzzScript(t, kind)
		s.edit = at(steps[int(index)%len(steps)], func([]byte) []byte { return msg })
		c := mustClient(t, cfg)
		c.WriteEarly([]byte("early"))
		hello := c.AppendOutput(nil)
		_, err := run(c, s.flight(hello))
		checkClient(t, c, err)
	})
}

// FuzzNewSessionTicket gives the body of a NewSessionTicket: what passes can be offered.
func FuzzNewSessionTicket(f *testing.F) {
	f.Add([]byte{0, 0, 0, 60, 0, 0, 0, 1, 1, 7, 0, 2, 8, 9, 0, 0})
	f.Add([]byte{0, 0, 0, 60, 0, 0, 0, 1, 1, 7, 0, 2, 8, 9, 0, 8, 0, 42, 0, 4, 0, 0, 1, 0})
	r := &resumption{suite: suiteByID(tls.TLS_AES_128_GCM_SHA256), template: Session{Secret: make([]byte, 32), CipherSuite: tls.TLS_AES_128_GCM_SHA256, SuiteOrder: compactOrder()}}
	f.Fuzz(func(t *testing.T, body []byte) {
		s, fault := r.session(body, testTime)
		if s == nil {
			return
		}
		if fault != 0 || s.Lifetime <= 0 || s.Lifetime > MaxSessionLifetime {
			t.Fatalf("%v, lifetime %v", fault, s.Lifetime)
		}
		c := mustClient(t, &Config{ServerName: "x", Session: s, EarlyData: true})
		if c.EarlyLeft() != int(s.MaxEarlyData) {
			t.Fatal("early data", c.EarlyLeft(), s.MaxEarlyData)
		}
		data, err := s.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseSession(data); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzClientParsers gives each parser its own bytes.
func FuzzClientParsers(f *testing.F) {
	f.Add(byte(0), []byte{3, 3})
	s, cfg := newScript(f)
	s.request = true
	s.edit = func(step State, msg []byte) []byte {
		for i := range byte(5) {
			f.Add(i, msg[messageHeaderLen:])
		}
		return msg
	}
	hello := mustClient(f, cfg).AppendOutput(nil)
	f.Add(byte(5), hello[recordHeaderLen:])
	s.flight(hello)
	for which, seeds := range map[byte][][]byte{
		6: {{0, 1, 0, 0, 9, 0, 0, 3, 1, 2, 3}, {0, 2, 1, 0, 0, 0, 0, 1, 0}},
		7: {{0, 0, 21, 24, 8, 7, 0, 0, 2, 48, 0, 8, 7, 0, 1, 9}},
		8: {{0, 3, 2, 'h', '2'}, {0, 6, 0xfe, 0xd, 0, 2, 1, 1}},
	} {
		for _, seed := range seeds {
			f.Add(which, seed)
		}
	}
	f.Fuzz(func(t *testing.T, which byte, body []byte) {
		switch which % 9 {
		case 0:
			if h, fault := parseServerHello(body); fault == 0 && len(h.random) != 32 {
				t.Fatal("random")
			}
		case 1:
			parseEncryptedExtensions(body)
		case 2:
			if r, fault := parseCertificateRequest(body); fault == 0 && len(r.algorithms) == 0 {
				t.Fatal("no algorithms")
			}
		case 3:
			m, fault := parseCertificate(body, always)
			if fault != 0 {
				return
			}
			again, _ := marshalCertificate(&tls.Certificate{Certificate: m.chain, OCSPStaple: m.ocsp, SignedCertificateTimestamps: m.scts}, true, true)
			if len(m.chain) == 0 {
				return
			}
			second, fault := parseCertificate(again[messageHeaderLen:], always)
			if fault != 0 || len(second.chain) != len(m.chain) || !bytes.Equal(second.ocsp, m.ocsp) || len(second.scts) != len(m.scts) {
				t.Fatalf("%v: %+v, %+v", fault, m, second)
			}
		case 4:
			parseCertificateVerify(body)
		case 5:
			v, ok := viewHello(body)
			if !ok {
				return
			}
			v.offersALPN([]byte("h2"))
			v.sharesGroup(tls.X25519)
			edit := helloEdit{cookie: []byte("c"), share: &keyShare{tls.X25519, make([]byte, 32)},
				padding: func(n int) (int, bool) { return n % 100, n%2 == 0 }}
			if message, err := edit.apply(&v); err == nil {
				if _, ok := viewHello(message); !ok {
					t.Fatal("an edit made a malformed hello")
				}
			}
		case 6:
			m, fault := parseCompressedCertificate(body)
			if fault != 0 {
				return
			}
			copies := func(r io.Reader) (io.Reader, error) { return r, nil }
			if out, err := decompress(copies, m.data, int(m.length)); (err == nil) != (len(m.data) == int(m.length)) || err == nil && !bytes.Equal(out, m.data) {
				t.Fatal(len(out), err)
			}
		case 7:
			if d, ok := parseDelegatedCredential(body); ok && len(d.credential)+2+2+len(d.signature) != len(body) {
				t.Fatalf("%+v", d)
			}
		case 8:
			isECHConfigList(body)
			readCompressionAlgorithms(body)
			v := helloView{extensions: append([]byte{0x44, 0xcd, byte(len(body) >> 8), byte(len(body))}, body...)} // extALPS
			v.settingsProtocols(extALPS)
		}
	})
}

// always tells that every extension was asked for.
func always(uint16) bool { return true }
