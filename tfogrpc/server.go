package tfogrpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"

	"google.golang.org/grpc/credentials"

	"github.com/tlstfo/tlstfo"
)

// opening is how every HTTP/2 connection of a client may open (RFC 9113, section 3.4): the preface, and a SETTINGS frame
// that changes nothing. It is *replayable*: it opens no stream.
const (
	preface       = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	emptySettings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00" // no payload, type SETTINGS, no flags, stream 0 (RFC 9113, section 6.5)
	opening       = preface + emptySettings
)

// server is one that is known by a name.
type server struct {
	dialer *tlstfo.Dialer
	older  atomic.Bool // it spoke no TLS 1.3 over a connection that could not be dialled again
}

func newServer(d *tlstfo.Dialer, config *tls.Config, name string) *server {
	config = config.Clone()
	config.ServerName = name
	s := &server{dialer: d.WithTLSConfig(config)}
	s.dialer.FailOnReject = false // it is for requests, and there is none
	s.dialer.Cork = -1            // opening is all there is to wait for
	s.dialer.Early = func(first []byte) int {
		if string(first) != opening {
			return 0 // fail closed: nothing else is ever early
		}
		return len(opening)
	}
	return s
}

// handshake completes a handshake with the server, over raw or, where that is a pending, over a
// connection of its own. What is early in it is *replayable*: opening.
func (s *server) handshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	var c *tlstfo.Conn
	p, dials := raw.(*pending)
	switch {
	case dials:
		var err error
		if c, err = s.dialer.DialDeferred(ctx, p.network, p.addr); err != nil {
			return nil, nil, err
		}
	case s.older.Load():
		return s.std(ctx, authority, raw)
	default: // RemoteAddr may be a proxy's, or one of many with this authority
		c = s.dialer.Client(raw, fmt.Sprint("grpc ", authority, " over ", raw.RemoteAddr()))
	}
	_, err := c.Write([]byte(opening)) // begins, and does not wait
	if err == nil {
		err = c.HandshakeContext(ctx)
	}
	if err != nil {
		c.Close()
		if !dials && errors.Is(err, tlstfo.ErrNotTLS13) {
			s.older.Store(true)
		}
		return nil, nil, err
	}
	state := c.ConnectionState()
	return &conn{Conn: c, rest: preface}, credentials.TLSInfo{
		State:          state,
		CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity},
		SPIFFEID:       spiffeID(state),
	}, nil
}

// std completes a handshake through crypto/tls.
func (s *server) std(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c, info, err := credentials.NewTLS(s.dialer.TLSConfig).ClientHandshake(ctx, authority, raw)
	if tlsInfo, ok := info.(credentials.TLSInfo); ok && tlsInfo.State.Version >= tls.VersionTLS13 {
		s.older.Store(false) // it was forged, or is over
	}
	return c, info, err
}

// conn is what grpc-go gets: it writes the preface first, which has left already.
type conn struct {
	*tlstfo.Conn

	mu   sync.Mutex
	rest string // of the preface: still to be taken out of what is written
}

var errNoPreface = errors.New("tfogrpc: what was written first is not the preface of HTTP/2")

// Write writes what comes after the preface. Nothing of it is ever early: the handshake is complete.
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.takePreface(p)
	if err != nil || n == len(p) {
		return n, err
	}
	m, err := c.Conn.Write(p[n:])
	return n + m, err
}

// takePreface returns how many of the bytes are the preface's.
func (c *conn) takePreface(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(len(p), len(c.rest))
	if string(p[:n]) != c.rest[:n] {
		return 0, errNoPreface
	}
	c.rest = c.rest[n:]
	return n, nil
}

// SyscallConn is the transport's, for channelz.
func (c *conn) SyscallConn() (syscall.RawConn, error) {
	if raw, ok := c.NetConn().(syscall.Conn); ok {
		return raw.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}
