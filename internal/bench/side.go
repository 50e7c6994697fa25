package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/tlstfo/tlstfo"
)

// conn is what a *tlstfo.Conn and a *tls.Conn have in common.
type conn interface {
	net.Conn
	Handshake() error
	ConnectionState() tls.ConnectionState
}

var (
	classical = []tls.CurveID{tls.X25519}
	hybrid    = []tls.CurveID{tls.X25519MLKEM768, tls.X25519} // as the default begins
)

// side is one side of a comparison. It makes TLS clients over transports, or
// dials. It may have a session to resume.
type side struct {
	servers *servers
	group   tls.CurveID
	resumes bool
	client  func(net.Conn) conn
	dial    func(at string) (net.Conn, error) // nil: client, over a plain dial
}

func config(s *servers, groups []tls.CurveID) *tls.Config {
	return &tls.Config{ServerName: serverName, RootCAs: s.roots, CurvePreferences: groups, MinVersion: tls.VersionTLS13}
}

func ours(s *servers, groups []tls.CurveID, resume bool) *side {
	d := &tlstfo.Dialer{TLSConfig: config(s, groups)}
	key := ""
	if resume {
		d.Sessions, key = new(lastSession), serverName
	}
	return &side{servers: s, group: groups[0], resumes: resume,
		client: func(c net.Conn) conn { return d.Client(c, key) }}
}

func theirs(s *servers, groups []tls.CurveID, resume bool) *side {
	cfg := config(s, groups)
	if resume {
		cfg.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	}
	return &side{servers: s, group: groups[0], resumes: resume,
		client: func(c net.Conn) conn { return tls.Client(c, cfg) }}
}

// oursDialled and theirsDialled use the dialers as they come, with sessions.
func oursDialled(s *servers) *side {
	d := &tlstfo.Dialer{TLSConfig: config(s, classical)}
	return &side{servers: s, group: classical[0], resumes: true,
		dial: func(at string) (net.Conn, error) { return d.Dial("tcp", at) }}
}

func theirsDialled(s *servers) *side {
	cfg := config(s, classical)
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	d := &tls.Dialer{Config: cfg}
	return &side{servers: s, group: classical[0], resumes: true,
		dial: func(at string) (net.Conn, error) { return d.Dial("tcp", at) }}
}

// lastSession is a SessionCache that gives its one session out again and
// again, as that of crypto/tls does, so that a round of resumptions needs no
// other connections.
type lastSession struct {
	mu      sync.Mutex
	session *tlstfo.Session
}

func (l *lastSession) Put(_ string, s *tlstfo.Session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.session = s
}

func (l *lastSession) Take(string) *tlstfo.Session {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.session
}

// open makes a connection to the crypto/tls server, and exchanges a few bytes
// over it.
func (s *side) open() (conn, error) {
	raw, err := s.connect(s.servers.std)
	if err != nil {
		return nil, err
	}
	c := raw.(conn)
	if err = s.servers.exchange(c); err == nil {
		err = s.servers.check(c, s.group)
	}
	if err != nil {
		raw.Close()
		return nil, err
	}
	return c, nil
}

func (s *side) connect(at string) (net.Conn, error) {
	if s.dial != nil {
		return s.dial(at)
	}
	raw, err := net.Dial("tcp", at)
	if err != nil {
		return nil, err
	}
	return s.client(raw), nil
}

// check checks that a connection is what the comparison needs: all have the
// same suite, and both sides of a row the same group.
func (s *servers) check(c net.Conn, group tls.CurveID) error {
	state := c.(conn).ConnectionState()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.suite == 0 {
		s.suite = state.CipherSuite
	}
	if state.CipherSuite != s.suite || state.CurveID != group {
		return fmt.Errorf("the connection has %s and %s, another one %s and %s", tls.CipherSuiteName(state.CipherSuite), state.CurveID,
			tls.CipherSuiteName(s.suite), group)
	}
	return nil
}

// exchange sends the small request and reads its answer, and the tickets that
// come before.
func (s *servers) exchange(c net.Conn) error {
	if _, err := c.Write(s.small); err != nil {
		return err
	}
	var answer [smallAnswer]byte
	_, err := io.ReadFull(c, answer[:])
	return err
}

const smallBody, smallAnswer = 192, 256
