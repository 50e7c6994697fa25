package handshake

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"math/big"
	"runtime"
	"testing"
	"time"
)

// The figures of SECURITY.md: what a peer can make this side hold before it has
// proved its name, and what it can where its certificates are like others.
const (
	mostHeld     = 6 << 20
	ordinaryHeld = 1 << 20
)

const heldRoom = maxMessageLen - 400

// heldPeers is how many peers the figures are an average of.
const heldPeers = 8

// held measures how much more memory is in use after feed was called for each
// of some peers.
func held(feed func(i int)) int64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range heldPeers {
		feed(i)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	return (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / heldPeers
}

// wantHeld fails the test if more is held than is said.
func wantHeld(t *testing.T, name string, each, limit int64) {
	t.Helper()
	t.Logf("%s: %d KiB", name, each>>10)
	if each > limit {
		t.Errorf("%s: %d bytes are held, more than %d", name, each, limit)
	}
}

// crammed is a certificate with an extension that is a sequence of an element,
// over and over.
func crammed(t *testing.T, id asn1.ObjectIdentifier, element ...byte) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: testTime.Add(-time.Hour), NotAfter: testTime.Add(time.Hour)}
	if id != nil {
		var list []byte
		for len(list)+len(element) <= heldRoom {
			list = append(list, element...)
		}
		value, err := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: list})
		if err != nil {
			t.Fatal(err)
		}
		template.ExtraExtensions = []pkix.Extension{{Id: id, Value: value}}
	}
	der, err := x509.CreateCertificate(nil, template, template, scriptKey.Public(), scriptKey)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// Certificates that take much room when they are parsed: an empty URI has two
// bytes, and x509 makes a url.URL of it.
func crammedURIs(t *testing.T) []byte {
	return crammed(t, asn1.ObjectIdentifier{2, 5, 29, 17}, 0x86, 0)
}
func crammedUsages(t *testing.T) []byte {
	return crammed(t, asn1.ObjectIdentifier{2, 5, 29, 37}, 0x06, 1, 0x2a)
}

// The most that a server can make a client hold before it has proved its name:
// a CertificateRequest, a Certificate and the beginning of a CertificateVerify, of
// the length that is allowed and of the content that takes the most room.
func TestHeldBeforeAuthentication(t *testing.T) {
	small := crammed(t, nil)
	tiny := func(limit int) (list []byte) { // elements of one byte
		for len(list)+3 <= limit {
			list = append(list, 0, 1, 'x')
		}
		return append(binary.BigEndian.AppendUint16(nil, uint16(len(list))), list...)
	}
	only := func(der []byte) func(*scriptedServer, *Config) {
		return func(s *scriptedServer, _ *Config) { s.cert.Certificate = [][]byte{der} }
	}
	for _, c := range []struct {
		name  string
		limit int64
		set   func(*scriptedServer, *Config)
	}{
		{"certificates", ordinaryHeld, func(s *scriptedServer, _ *Config) {
			s.cert.Certificate = [][]byte{scriptCertificate}
			for n := len(scriptCertificate); n+len(small)+5 < heldRoom; n += len(small) + 5 {
				s.cert.Certificate = append(s.cert.Certificate, small)
			}
		}},
		{"timestamps", ordinaryHeld, func(s *scriptedServer, _ *Config) {
			s.edit = at(StateCertificate, func(m []byte) []byte {
				scts := tiny(heldRoom - len(scriptCertificate))
				entry := append([]byte{0, 0, byte(len(scriptCertificate) >> 8), byte(len(scriptCertificate))}, scriptCertificate...)
				entry = binary.BigEndian.AppendUint16(entry, uint16(len(scts)+4))
				entry = binary.BigEndian.AppendUint16(entry, extSCT)
				entry = append(binary.BigEndian.AppendUint16(entry, uint16(len(scts))), scts...)
				n := len(entry) - 1
				return remade(m, append([]byte{0, byte(n >> 16), byte(n >> 8), byte(n)}, entry[1:]...)...)
			})
		}},
		{"URIs", mostHeld, only(crammedURIs(t))},
		{"key usages", mostHeld, only(crammedUsages(t))},
		{"compressed URIs", mostHeld, func(s *scriptedServer, cfg *Config) {
			cfg.Hello = browser{offer: []extension{offerCompression}}
			s.cert.Certificate = [][]byte{crammedURIs(t)}
			s.edit = at(StateCertificate, compressed(1, nil))
		}},
	} {
		var clients []*Client
		var flights [][]byte
		for range heldPeers {
			s, cfg := newScript(t)
			cfg.CertificateCache = nil
			s.request = true
			c.set(s, cfg)
			edit := s.edit
			s.edit = func(step State, msg []byte) []byte {
				switch {
				case step == StateCertificateOrRequest:
					return more(messageHeaderLen+1, extCertificateAuthorities, tiny(heldRoom)...)(msg)
				case step == StateCertificateVerify:
					return remade(msg, make([]byte, maxMessageLen)...)
				case edit != nil:
					return edit(step, msg)
				}
				return msg
			}
			client := mustClient(t, cfg)
			flight := s.flight(client.AppendOutput(nil))
			finished := recordOverhead + messageHeaderLen + s.suite.hashLen
			clients, flights = append(clients, client), append(flights, flight[:len(flight)-finished-recordOverhead-messageHeaderLen])
		}
		each := held(func(i int) {
			client := clients[i]
			for p := flights[i]; len(p) > 0; {
				n := copy(client.Buffer(), p)
				client.Advance(n)
				p = p[n:]
				if ev, err := client.Next(testTime); err != nil || ev.Kind != EventNone {
					t.Fatal(c.name, ev, err)
				}
			}
			if client.State() != StateCertificateVerify || len(client.msgs)-client.mr < maxMessageLen-maxPlaintext {
				t.Fatalf("%s: %v, %d bytes wait", c.name, client.State(), len(client.msgs)-client.mr)
			}
		})
		wantHeld(t, c.name, each, c.limit)
		runtime.KeepAlive(clients)
	}
}

// The same of a server that asks for a certificate.
func TestHeldByServer(t *testing.T) {
	for name, der := range map[string][]byte{"URIs": crammedURIs(t), "key usages": crammedUsages(t)} {
		cfg, client, _ := serverSetup(t)
		cfg.ClientAuth = tls.RequireAnyClientCert
		var clients []*script
		for range heldPeers {
			clients = append(clients, scripted(t, cfg, client, ""))
		}
		n := len(der)
		body := append([]byte{0, 0, byte((n + 5) >> 8), byte(n + 5), 0, byte(n >> 8), byte(n)}, der...)
		body = append(body, 0, 0)
		flight := append([]byte{byte(typeCertificate), 0, byte(len(body) >> 8), byte(len(body))}, body...)
		flight = append(flight, byte(typeCertificateVerify), 0, 0xff, 0xff)
		flight = append(flight, make([]byte, maxMessageLen-maxPlaintext)...)
		each := held(func(i int) {
			c := clients[i]
			for p := flight; len(p) > 0; {
				n := min(len(p), maxPlaintext)
				c.s.Feed(c.seal(recordHandshake, p[:n]...))
				p = p[n:]
				if ev, err := c.s.Next(testTime); err != nil || ev.Kind != EventNone {
					t.Fatal(name, ev, err)
				}
			}
			if c.s.State() != StateCertificateVerify || len(c.s.msgs)-c.s.mr < maxMessageLen-maxPlaintext {
				t.Fatalf("%s: %v, %d bytes wait", name, c.s.State(), len(c.s.msgs)-c.s.mr)
			}
		})
		wantHeld(t, name, each, mostHeld)
		runtime.KeepAlive(clients)
	}
}
