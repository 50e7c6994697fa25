package handshake

import "crypto/hkdf"

// The key schedule (RFC 8446, section 7.1) in three stages. A secret can be
// asked only from its own stage, and going on clears the stage before.

// earlySecret is the first stage: PSK binders and early data.
type earlySecret struct {
	suite  *suite
	secret []byte
}

// newEarlySecret starts the schedule. psk is nil where there is none.
func newEarlySecret(s *suite, psk []byte) *earlySecret {
	if psk == nil {
		psk = make([]byte, s.hashLen)
	}
	return &earlySecret{s, extract(s, psk, nil)}
}

// binder is a resumption PSK's binder (section 4.2.11.2) over the hash of the
// transcript that ends where the binders begin.
func (e *earlySecret) binder(transcript []byte) []byte {
	key := e.suite.expandLabel(e.secret, "res binder", e.suite.emptyHash(), e.suite.hashLen)
	defer clear(key)
	return e.suite.finished(key, transcript)
}

// clientTraffic protects early data. The transcript is the ClientHello.
func (e *earlySecret) clientTraffic(transcript []byte) []byte {
	return e.suite.expandLabel(e.secret, "c e traffic", transcript, e.suite.hashLen)
}

// replayID names the PSK to an AntiReplay, and tells nothing of it.
func (e *earlySecret) replayID() (id [32]byte) {
	copy(id[:], e.suite.expandLabel(e.secret, "replay id", nil, len(id)))
	return id
}

// handshake goes on to the second stage with the (EC)DHE secret.
func (e *earlySecret) handshake(shared []byte) *handshakeSecret {
	derived := e.suite.expandLabel(e.secret, "derived", e.suite.emptyHash(), e.suite.hashLen)
	h := &handshakeSecret{e.suite, extract(e.suite, shared, derived)}
	clear(derived)
	e.clear()
	return h
}

// clear forgets the stage; nil is none.
func (e *earlySecret) clear() {
	if e != nil {
		clear(e.secret)
		e.secret = nil
	}
}

// handshakeSecret is the second stage: the handshake itself.
type handshakeSecret struct {
	suite  *suite
	secret []byte
}

// clientTraffic protects what the client sends. The transcript ends with
// ServerHello.
func (h *handshakeSecret) clientTraffic(transcript []byte) []byte {
	return h.suite.expandLabel(h.secret, "c hs traffic", transcript, h.suite.hashLen)
}

// serverTraffic is its twin.
func (h *handshakeSecret) serverTraffic(transcript []byte) []byte {
	return h.suite.expandLabel(h.secret, "s hs traffic", transcript, h.suite.hashLen)
}

// master goes on to the third stage.
func (h *handshakeSecret) master() *masterSecret {
	derived := h.suite.expandLabel(h.secret, "derived", h.suite.emptyHash(), h.suite.hashLen)
	m := &masterSecret{h.suite, extract(h.suite, make([]byte, h.suite.hashLen), derived)}
	clear(derived)
	h.clear()
	return m
}

// clear forgets the stage; nil is none.
func (h *handshakeSecret) clear() {
	if h != nil {
		clear(h.secret)
		h.secret = nil
	}
}

// masterSecret is the third stage: application traffic, exporters,
// resumption.
type masterSecret struct {
	suite  *suite
	secret []byte
}

// clientTraffic protects application data. The transcript ends with the
// server's Finished.
func (m *masterSecret) clientTraffic(transcript []byte) []byte {
	return m.suite.expandLabel(m.secret, "c ap traffic", transcript, m.suite.hashLen)
}

// serverTraffic is its twin.
func (m *masterSecret) serverTraffic(transcript []byte) []byte {
	return m.suite.expandLabel(m.secret, "s ap traffic", transcript, m.suite.hashLen)
}

// exporter is exporter_master_secret. The transcript ends with the server's
// Finished.
func (m *masterSecret) exporter(transcript []byte) []byte {
	return m.suite.expandLabel(m.secret, "exp master", transcript, m.suite.hashLen)
}

// resumption ends the schedule with resumption_master_secret. The transcript
// ends with the client's Finished.
func (m *masterSecret) resumption(transcript []byte) []byte {
	s := m.suite.expandLabel(m.secret, "res master", transcript, m.suite.hashLen)
	m.clear()
	return s
}

// clear forgets the stage; nil is none.
func (m *masterSecret) clear() {
	if m != nil {
		clear(m.secret)
		m.secret = nil
	}
}

// resumptionPSK derives a ticket's PSK (section 4.6.1).
func (s *suite) resumptionPSK(resumptionMaster, nonce []byte) []byte {
	return s.expandLabel(resumptionMaster, "resumption", nonce, s.hashLen)
}

// nextTraffic is the secret after a KeyUpdate (section 7.2).
func (s *suite) nextTraffic(secret []byte) []byte {
	return s.expandLabel(secret, "traffic upd", nil, s.hashLen)
}

// export derives exported keying material (section 7.5).
func (s *suite) export(exporterMaster []byte, label string, context []byte, length int) []byte {
	h := s.hash()
	secret := s.expandLabel(exporterMaster, label, h.Sum(nil), s.hashLen)
	h.Write(context)
	return s.expandLabel(secret, "exporter", h.Sum(nil), length)
}

func extract(s *suite, secret, salt []byte) []byte {
	out, err := hkdf.Extract(s.hash, secret, salt)
	if err != nil {
		// Extract fails only in FIPS 140 enforcement, which never gets here.
		panic("handshake: HKDF-Extract: " + err.Error())
	}
	return out
}
