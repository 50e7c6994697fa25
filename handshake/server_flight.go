package handshake

import (
	"bytes"
	"io"

	"golang.org/x/crypto/cryptobyte"
)

// answer queues the server's flight: ServerHello to Finished (section 2).
func (s *Server) answer() Fault {
	s.requested = s.session == nil && s.cfg.ClientAuth != 0
	if !s.requested {
		if fault := s.verifyConnection(); fault != 0 {
			return fault
		}
	}
	if fault := s.sendServerHello(); fault != 0 {
		return fault
	}
	flight, fault := s.protectedFlight()
	if fault != 0 {
		return fault
	}
	s.send(recordHandshake, flight)
	return s.startTraffic()
}

// sendServerHello queues ServerHello, which has the group's answer, and goes on
// to the handshake secrets.
func (s *Server) sendServerHello() Fault {
	g, _ := groupByID(s.group) // known: ServerConfig was checked
	shared, share, fault := g.answer(s.hello.share(s.group), s.cfg.random())
	if fault != 0 {
		return fault
	}
	random := make([]byte, 32)
	if _, err := io.ReadFull(s.cfg.random(), random); err != nil {
		return s.internal(err)
	}
	msg, err := buildMessage(typeServerHello, func(b *cryptobyte.Builder) {
		s.addServerHello(b, random, func(b *cryptobyte.Builder) {
			addExtension(b, extKeyShare, func(b *cryptobyte.Builder) {
				b.AddUint16(uint16(s.group))
				addBytes16(b, share)
			})
			if s.session != nil {
				addExtension(b, extPreSharedKey, func(b *cryptobyte.Builder) { b.AddUint16(uint16(s.index)) })
			}
		})
	})
	if err != nil {
		return s.internal(err)
	}
	s.transcript = s.suite.hash()
	s.transcript.Write(s.prefix)
	s.transcript.Write(s.hello.raw)
	if s.status == EarlyAccepted {
		secret := s.earlySecret.clientTraffic(s.transcript.Sum(nil))
		if fault := s.logSecret("CLIENT_EARLY_TRAFFIC_SECRET", secret); fault != 0 {
			return fault
		}
		if fault := s.readUnder(secret); fault != 0 {
			return fault
		}
	}
	s.transcript.Write(msg)
	s.send(recordHandshake, msg)
	if s.first == nil {
		s.sendCCS()
	}

	stage := s.earlySecret.handshake(shared)
	clear(shared)
	sum := s.transcript.Sum(nil)
	s.clientHandshake = stage.clientTraffic(sum)
	s.serverHandshake = stage.serverTraffic(sum)
	s.master = stage.master()
	if fault := s.logSecret("CLIENT_HANDSHAKE_TRAFFIC_SECRET", s.clientHandshake); fault != 0 {
		return fault
	}
	if fault := s.logSecret("SERVER_HANDSHAKE_TRAFFIC_SECRET", s.serverHandshake); fault != 0 {
		return fault
	}
	if s.status != EarlyAccepted {
		if fault := s.readUnder(bytes.Clone(s.clientHandshake)); fault != 0 {
			return fault
		}
	}
	return s.writeUnder(bytes.Clone(s.serverHandshake))
}

// protectedFlight makes the messages from EncryptedExtensions to Finished.
func (s *Server) protectedFlight() (flight []byte, fault Fault) {
	add := func(msg []byte, err error) bool {
		if err != nil {
			fault = s.internal(err)
			return false
		}
		s.transcript.Write(msg)
		flight = append(flight, msg...)
		return true
	}
	if !add(s.encryptedExtensions()) {
		return nil, fault
	}
	if s.session == nil {
		if s.requested && !add(s.certificateRequest()) {
			return nil, fault
		}
		cert, scheme, fault := s.selectCertificate()
		if fault != 0 {
			return nil, fault
		}
		if !add(s.certificateFor(cert)) {
			return nil, FaultInternal
		}
		signature, err := signTranscript(cert, scheme, serverSignatureContext, s.transcript.Sum(nil), s.cfg.random())
		if err != nil {
			return nil, s.internal(err)
		}
		if !add(marshalCertificateVerify(scheme, signature)) {
			return nil, FaultInternal
		}
	}
	add(marshalFinished(s.suite.finished(s.serverHandshake, s.transcript.Sum(nil))), nil)
	clear(s.serverHandshake)
	return flight, 0
}

// encryptedExtensions makes EncryptedExtensions (section 4.3.1).
func (s *Server) encryptedExtensions() ([]byte, error) {
	return buildMessage(typeEncryptedExtensions, func(b *cryptobyte.Builder) {
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			if s.hello.serverName != "" && s.session == nil {
				b.AddUint32(uint32(extServerName) << 16) // RFC 6066, section 3: empty, and not on resumption
			}
			if s.proto != "" {
				addExtension(b, extALPN, func(b *cryptobyte.Builder) {
					b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { addBytes8(b, []byte(s.proto)) })
				})
			}
			if s.status == EarlyAccepted {
				b.AddUint32(uint32(extEarlyData) << 16)
			}
		})
	})
}

// startTraffic goes on to the traffic secrets, as far as the client's Finished
// is not needed for it.
func (s *Server) startTraffic() Fault {
	sum := s.transcript.Sum(nil)
	s.clientTraffic = s.master.clientTraffic(sum)
	serverTraffic := s.master.serverTraffic(sum)
	s.exporter = s.master.exporter(sum)
	if fault := s.logSecret("CLIENT_TRAFFIC_SECRET_0", s.clientTraffic); fault != 0 {
		return fault
	}
	if fault := s.logSecret("SERVER_TRAFFIC_SECRET_0", serverTraffic); fault != 0 {
		return fault
	}
	if fault := s.writeUnder(serverTraffic); fault != 0 {
		return fault
	}
	s.finished = true
	switch {
	case s.status == EarlyAccepted:
		s.state = StateEndOfEarlyData
	case s.requested:
		s.state = StateCertificate
	default:
		s.state = StateFinished
	}
	return 0
}
