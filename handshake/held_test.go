package handshake

import (
	"crypto/x509"
	"encoding/binary"
	"math/big"
	"runtime"
	"testing"
	"time"
)

// The most that a server can make a client hold before it has proved its name:
// a CertificateRequest, a Certificate and the beginning of a CertificateVerify, of
// the length that is allowed and of the content that takes the most room. The figure
// stands in SECURITY.md: less than 1 MiB.
func TestHeldBeforeAuthentication(t *testing.T) {
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: testTime.Add(-time.Hour), NotAfter: testTime.Add(time.Hour)}
	small, err := x509.CreateCertificate(nil, template, template, scriptKey.Public(), scriptKey)
	if err != nil {
		t.Fatal(err)
	}
	tiny := func(limit int) (list []byte) { // elements of one byte
		for len(list)+3 <= limit {
			list = append(list, 0, 1, 'x')
		}
		return append(binary.BigEndian.AppendUint16(nil, uint16(len(list))), list...)
	}
	const room = maxMessageLen - 100
	const clients = 8
	for _, c := range []struct {
		name string
		set  func(*scriptedServer)
	}{
		{"certificates", func(s *scriptedServer) {
			s.cert.Certificate = [][]byte{scriptCertificate}
			for n := len(scriptCertificate); n+len(small)+5 < room; n += len(small) + 5 {
				s.cert.Certificate = append(s.cert.Certificate, small)
			}
		}},
		{"timestamps", func(s *scriptedServer) {
			s.edit = at(StateCertificate, func(m []byte) []byte {
				scts := tiny(room - len(scriptCertificate))
				entry := append([]byte{0, 0, byte(len(scriptCertificate) >> 8), byte(len(scriptCertificate))}, scriptCertificate...)
				entry = binary.BigEndian.AppendUint16(entry, uint16(len(scts)+4))
				entry = binary.BigEndian.AppendUint16(entry, extSCT)
				entry = append(binary.BigEndian.AppendUint16(entry, uint16(len(scts))), scts...)
				n := len(entry) - 1
				return remade(m, append([]byte{0, byte(n >> 16), byte(n >> 8), byte(n)}, entry[1:]...)...)
			})
		}},
	} {
		var held []*Client
		var flights [][]byte
		for range clients {
			s, cfg := newScript(t)
			cfg.CertificateCache = nil
			s.request = true
			c.set(s)
			edit := s.edit
			s.edit = func(step State, msg []byte) []byte {
				switch {
				case step == StateCertificateOrRequest:
					return more(messageHeaderLen+1, extCertificateAuthorities, tiny(room)...)(msg)
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
			held, flights = append(held, client), append(flights, flight[:len(flight)-finished-recordOverhead-messageHeaderLen])
		}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i, client := range held {
			for p := flights[i]; len(p) > 0; {
				n := copy(client.Buffer(), p)
				client.Advance(n)
				p = p[n:]
				if ev, err := client.Next(testTime); err != nil || ev.Kind != EventNone {
					t.Fatal(c.name, ev, err)
				}
			}
			if client.State() != StateCertificateVerify || client.Buffered() < maxMessageLen-maxPlaintext {
				t.Fatalf("%s: %v, %d bytes wait", c.name, client.State(), client.Buffered())
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		each := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / clients
		t.Logf("%s: %d KiB", c.name, each>>10)
		if each > 1<<20 {
			t.Errorf("%s: %d bytes are held", c.name, each)
		}
		runtime.KeepAlive(held)
	}
}
