package handshake

import (
	"bytes"
	"crypto/hmac"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"hash"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// Server is the server's side of one TLS 1.3 handshake (RFC 8446), without
// I/O: the transport's bytes go in through Buffer and Advance, or Feed, events
// come out of Next, and AppendOutput takes what is to be sent. It is for one
// goroutine at a time.
//
// It is there for tests, examples and demonstrations, as a peer that takes early
// data over TCP, which crypto/tls does not. It is no server for the open Internet.
type Server struct {
	link
	cfg   *ServerConfig
	suite *suite
	cause error // of the fault that a handler returns

	hello      *clientHello // the last that came
	first      *clientHello // after HelloRetryRequest: the one before
	retryGroup tls.CurveID  // after HelloRetryRequest: what it asked for
	group      tls.CurveID
	proto      string // by ALPN

	session *ServerSession // what is resumed, or nil
	index   int            // of its identity in the hello
	status  EarlyStatus
	reason  EarlyReason
	skew    time.Duration
	early   int64 // bytes of early data that may still come

	// prefix has the messages before the hello that is being looked at;
	// transcript is the hash of all so far, from then on that it is known.
	prefix     []byte
	transcript hash.Hash

	earlySecret     *earlySecret
	master          *masterSecret
	clientHandshake []byte // traffic secret
	serverHandshake []byte // traffic secret, until our Finished is made
	clientTraffic   []byte // traffic secret that waits for Finished
	exporter        []byte

	requested    bool // a client certificate was asked for
	finished     bool // our Finished is out: Write may be called
	peer         []*x509.Certificate
	peerDER      [][]byte
	chains       [][]*x509.Certificate
	peerSignedBy tls.SignatureScheme
}

// NewServer starts to wait for a ClientHello, for tests and demonstrations: see
// Server. cfg must not change from then
// on. An error means that cfg cannot be used.
func NewServer(cfg *ServerConfig) (*Server, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg}
	s.state = StateClientHello
	return s, nil
}

// Next returns the next event, or EventNone when more bytes are needed. now is
// the current time. EventEarlyData may come before EventHandshakeComplete, and
// is replayable; after the latter comes nothing but EventNone: call Split. An
// error is a *LocalError, whose alert is in the output already, or a
// *RemoteError, which close_notify in the midst of the handshake is too; every
// later call returns it again.
func (s *Server) Next(now time.Time) (Event, error) {
	if s.err != nil {
		return Event{}, s.err
	}
	event, err := s.next(now)
	if err != nil {
		s.forget()
	}
	return event, err
}

func (s *Server) next(now time.Time) (Event, error) {
	for s.state != StateConnected {
		msg, ok, fault := s.message()
		if ok {
			fault = s.handle(msg, now)
		}
		if fault != 0 {
			return Event{}, s.fail(fault, s.cause, "")
		}
		if ok {
			if s.state == StateConnected {
				return Event{Kind: EventHandshakeComplete}, nil
			}
			continue
		}
		typ, data, ok, fault := s.record()
		switch {
		case fault == FaultBadRecordVersion && speaksHTTP(s.buf[s.r:s.w]):
			return Event{}, s.fail(fault, nil, "the client speaks HTTP")
		case fault != 0:
			return Event{}, s.fail(fault, nil, "")
		case !ok:
			return Event{}, nil
		case typ == recordHandshake:
			s.addHandshake(data)
		case typ == recordAlert:
			closed, err := s.alert(data)
			if closed {
				err = s.remote(AlertCloseNotify)
			}
			if err != nil {
				return Event{}, err
			}
		case typ == recordApplication && s.state == StateEndOfEarlyData:
			if s.early -= int64(len(data)); s.early < 0 {
				return Event{}, s.fail(FaultTooMuchEarlyData, nil, "") // section 4.2.10
			}
			return Event{Kind: EventEarlyData, Data: data}, nil
		default:
			return Event{}, s.fail(FaultUnexpectedRecord, nil, "")
		}
	}
	return Event{}, nil
}

// handle dispatches a message. Its default arm is the only source of
// FaultUnexpectedMessage.
func (s *Server) handle(msg []byte, now time.Time) Fault {
	body := cryptobyte.String(msg[messageHeaderLen:])
	switch (step{s.state, messageType(msg[0])}) {
	case step{StateClientHello, typeClientHello}, step{StateClientHelloRetried, typeClientHello}:
		return s.clientHello(msg, now)
	case step{StateEndOfEarlyData, typeEndOfEarlyData}:
		return s.endOfEarlyData(msg)
	case step{StateCertificate, typeCertificate}:
		return s.certificate(msg, body, now)
	case step{StateCertificateVerify, typeCertificateVerify}:
		return s.certificateVerify(msg, body)
	case step{StateFinished, typeFinished}:
		return s.clientFinished(msg, now)
	default:
		return FaultUnexpectedMessage
	}
}

// endOfEarlyData goes on from early data to the handshake (section 4.5).
func (s *Server) endOfEarlyData(msg []byte) Fault {
	if len(msg) != messageHeaderLen {
		return FaultDecode
	}
	s.transcript.Write(msg)
	s.state = StateFinished
	return s.readUnder(bytes.Clone(s.clientHandshake)) // Finished needs it too
}

// clientFinished ends the handshake (section 4.4.4).
func (s *Server) clientFinished(msg []byte, now time.Time) Fault {
	expected := s.suite.finished(s.clientHandshake, s.transcript.Sum(nil))
	if !hmac.Equal(msg[messageHeaderLen:], expected) {
		return FaultBadFinished
	}
	s.transcript.Write(msg)
	if fault := s.readUnder(s.clientTraffic); fault != 0 {
		return fault
	}
	if err := s.sendTickets(s.transcript.Sum(nil), now); err != nil {
		return s.internal(err)
	}
	clear(s.clientHandshake)
	if s.session != nil {
		clear(s.session.secret)
	}
	s.clientHandshake, s.clientTraffic, s.master, s.transcript = nil, nil, nil, nil
	s.first, s.prefix = nil, nil
	s.allowCCS = false
	s.state = StateConnected
	return 0
}

// forget clears what the secrets of a failed connection were made of (section
// 6).
func (s *Server) forget() {
	s.earlySecret.clear()
	s.master.clear()
	for _, secret := range [][]byte{s.clientHandshake, s.serverHandshake, s.clientTraffic, s.exporter} {
		clear(secret)
	}
	if s.session != nil {
		clear(s.session.secret)
	}
	s.master, s.clientHandshake, s.serverHandshake, s.clientTraffic, s.exporter = nil, nil, nil, nil, nil
}

// readUnder changes the key for what the client sends. The secret now belongs
// to the protector.
func (s *Server) readUnder(secret []byte) Fault {
	reader, err := newProtector(s.suite, secret)
	if err != nil {
		return s.internal(err)
	}
	return s.setReader(reader)
}

func (s *Server) writeUnder(secret []byte) Fault {
	writer, err := newProtector(s.suite, secret)
	if err != nil {
		return s.internal(err)
	}
	s.setWriter(writer)
	return 0
}

// internal notes the cause of a FaultInternal.
func (s *Server) internal(err error) Fault { return s.failed(FaultInternal, err) }

func (s *Server) failed(fault Fault, cause error) Fault {
	s.cause = cause
	return fault
}

// errNotYet answers calls that come before the handshake has got far enough.
var errNotYet = errors.New("tls: the handshake is not complete")

// Write queues application data that the client gets before its own Finished
// has come: the answer to early data, above all (RFC 8446, section 4.4.4). It
// may be called from the first EventEarlyData on, or in general once the
// server's Finished is queued, and until Split. The client is not proven to be
// alive; so where a client certificate was asked for it is an error.
func (s *Server) Write(p []byte) (int, error) {
	switch {
	case s.err != nil:
		return 0, s.err
	case !s.finished || s.requested && s.state != StateConnected:
		return 0, errNotYet
	case s.writer.exhausted():
		return 0, errors.New("tls: too much data before the client's Finished")
	}
	if len(p) > 0 {
		s.send(recordApplication, p)
	}
	return len(p), nil
}

// Split ends the Server and returns what goes on with the connection. It is
// called once, after EventHandshakeComplete, and returns nil before. The buffers
// move to the Opener; AppendOutput still has what was queued before.
func (s *Server) Split() (*Sealer, *Opener) {
	if s.state != StateConnected || s.err != nil {
		return nil, nil
	}
	return s.split(nil)
}
