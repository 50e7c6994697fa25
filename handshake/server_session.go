package handshake

import (
	"bytes"
	"crypto/tls"
	"errors"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// ServerSession is what a server must know to resume a session: the content of
// a ticket. It is a secret: whoever has it can read early data sent with it, and
// pass for the server in resumed handshakes.
type ServerSession struct {
	// Version and CipherSuite are those of the connection that gave the ticket.
	// A session with others than the new connection's is not resumed.
	Version     uint16
	CipherSuite uint16

	secret          []byte // the resumption PSK
	ageAdd          uint32
	maxEarlyData    uint32
	issuedAt        time.Time // to the millisecond
	authenticatedAt time.Time // of the full handshake that the lineage began with
	group           tls.CurveID
	alpn            string
	serverName      string
	peer            [][]byte // the client's certificate chain, in DER
}

const serverSessionFormat = 2

// String and GoString keep the secret out of logs.
func (s *ServerSession) String() string   { return "handshake.ServerSession(secret)" }
func (s *ServerSession) GoString() string { return s.String() }

// Bytes encodes the session, secret and all. ParseServerSession is its reverse.
func (s *ServerSession) Bytes() ([]byte, error) {
	var b cryptobyte.Builder
	b.AddUint8(serverSessionFormat)
	b.AddUint16(s.Version)
	b.AddUint16(s.CipherSuite)
	addBytes8(&b, s.secret)
	b.AddUint32(s.ageAdd)
	b.AddUint32(s.maxEarlyData)
	addTime(&b, s.issuedAt)
	addTime(&b, s.authenticatedAt)
	b.AddUint16(uint16(s.group))
	addBytes8(&b, []byte(s.alpn))
	addBytes16(&b, []byte(s.serverName))
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, der := range s.peer {
			addBytes24(b, der)
		}
	})
	return b.Bytes()
}

// ParseServerSession decodes what Bytes made. It is an error if another version
// of this package made it. Nothing else is checked: whoever can change the
// encoding can make a server resume what never was.
func ParseServerSession(data []byte) (*ServerSession, error) {
	in := cryptobyte.String(bytes.Clone(data))
	s := new(ServerSession)
	var format uint8
	var group uint16
	var alpn, name, peer cryptobyte.String
	ok := in.ReadUint8(&format) && format == serverSessionFormat &&
		in.ReadUint16(&s.Version) && in.ReadUint16(&s.CipherSuite) && readBytes8(&in, &s.secret) &&
		in.ReadUint32(&s.ageAdd) && in.ReadUint32(&s.maxEarlyData) &&
		readTime(&in, &s.issuedAt) && readTime(&in, &s.authenticatedAt) && in.ReadUint16(&group) &&
		in.ReadUint8LengthPrefixed(&alpn) && in.ReadUint16LengthPrefixed(&name) &&
		in.ReadUint24LengthPrefixed(&peer) && in.Empty()
	for ok && !peer.Empty() {
		var der []byte
		ok = readBytes24(&peer, &der) && len(der) > 0
		s.peer = append(s.peer, der)
	}
	if !ok {
		return nil, errors.New("tls: malformed or foreign session")
	}
	s.group, s.alpn, s.serverName = tls.CurveID(group), string(alpn), string(name)
	return s, nil
}

// resumes tells whether there are sessions at all.
func (c *ServerConfig) resumes() bool { return c.TicketKeys != nil || c.WrapSession != nil }

func (c *ServerConfig) checkSessions() error {
	switch {
	case (c.WrapSession == nil) != (c.UnwrapSession == nil):
		return errors.New("tls: ServerConfig needs both WrapSession and UnwrapSession, or neither")
	case c.WrapSession != nil && c.TicketKeys != nil:
		return errors.New("tls: ServerConfig has both TicketKeys and WrapSession")
	case c.MaxEarlyData > 0 && (c.AntiReplay == nil || !c.resumes()):
		return errors.New("tls: ServerConfig.MaxEarlyData needs AntiReplay, and TicketKeys or WrapSession")
	}
	return nil
}

// wrap makes the ticket of a session; nothing if there shall be none.
func (s *Server) wrap(session *ServerSession) ([]byte, error) {
	if s.cfg.WrapSession != nil {
		return s.cfg.WrapSession(s.ConnectionState(), session)
	}
	return s.cfg.TicketKeys.seal(session, s.cfg.random())
}

// unwrap returns the session of a ticket, or nil if it has none that could be
// resumed.
func (s *Server) unwrap(ticket []byte) (session *ServerSession, fault Fault) {
	if s.cfg.UnwrapSession == nil {
		session = s.cfg.TicketKeys.open(ticket)
	} else {
		// The ticket is a part of the transcript, and the session cleared in the end: so both sides have copies.
		theirs, err := s.cfg.UnwrapSession(bytes.Clone(ticket), s.ConnectionState())
		if err != nil {
			return nil, s.internal(err)
		}
		if theirs != nil {
			session = new(ServerSession)
			*session = *theirs
			session.secret = bytes.Clone(theirs.secret)
		}
	}
	if session == nil || !session.whole() {
		return nil, 0
	}
	return session, 0
}

// whole tells whether the session is one of TLS 1.3, with a secret that its
// suite makes (section 4.6.1). Other versions have another key schedule.
func (s *ServerSession) whole() bool {
	suite := suiteByID(s.CipherSuite)
	return s.Version == tls.VersionTLS13 && suite != nil && len(s.secret) == suite.hashLen
}
