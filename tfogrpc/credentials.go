package tfogrpc

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync"

	"google.golang.org/grpc/credentials"

	"github.com/tlstfo/tlstfo"
)

// h2 is HTTP/2's name in ALPN (RFC 9113, section 3.2).
const h2 = "h2"

// NewCredentials returns client credentials that do what credentials.NewTLS(d.TLSConfig)
// does, by d. Over a connection of [ContextDialer]'s they dial, with the ClientHello in the SYN where the
// path allows; over any other they begin with the handshake. The AuthInfo is a
// credentials.TLSInfo of the complete handshake.
//
// As there, the server name is the authority's host, and d.TLSConfig.ServerName is the channel's
// authority unless grpc.WithAuthority sets one. The one protocol on offer is h2, whatever TLSConfig.NextProtos
// says. d.Early is not used: what may be early is fixed (see the package documentation).
//
// Sessions are d's, so that credentials may be made anew for each ClientConn. But where d.TLSConfig has GetClientCertificate,
// VerifyPeerCertificate or InsecureSkipVerify they may not be shared (see tlstfo.Dialer.Partition): then the same credentials,
// or the same result of DialOptions, had better serve all ClientConns.
func NewCredentials(d *tlstfo.Dialer) credentials.TransportCredentials {
	config := d.TLSConfig.Clone()
	if config == nil {
		config = &tls.Config{}
	}
	config.NextProtos = []string{h2}
	config.VerifyConnection = wantH2(config.VerifyConnection)
	return &transportCredentials{config.ServerName, &servers{dialer: d, config: config}}
}

var errNoH2 = errors.New("the server did not choose HTTP/2 (" + h2 + ") by ALPN, which gRPC needs: let it offer that")

// wantH2 returns a VerifyConnection that fails where the server did not choose h2, before
// anything is sent to it, and then asks another one, which may be nil.
func wantH2(other func(tls.ConnectionState) error) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		if state.NegotiatedProtocol != h2 {
			return errNoH2
		}
		if other != nil {
			return other(state)
		}
		return nil
	}
}

// transportCredentials are credentials.TransportCredentials. Clones differ at most in the name.
type transportCredentials struct {
	serverName string
	*servers
}

// ClientHandshake returns a connection whose handshake with the authority is complete. What is early in it is
// *replayable*: opening, and nothing else.
func (t *transportCredentials) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c, info, err := t.get(hostOf(authority)).handshake(ctx, authority, raw)
	if err != nil {
		return nil, nil, &handshakeError{err}
	}
	return c, info, nil
}

// ServerHandshake returns an error.
func (*transportCredentials) ServerHandshake(net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("tfogrpc: these credentials are for clients: use credentials.NewTLS on the server")
}

// Info says what that of credentials.NewTLS does: grpc-go makes ServerName the channel's authority.
func (t *transportCredentials) Info() credentials.ProtocolInfo {
	//lint:ignore SA1019 deprecated for users, and still obeyed
	return credentials.ProtocolInfo{SecurityProtocol: "tls", ServerName: t.serverName}
}

// Clone returns credentials that have their sessions in common with t, and a server name of their own.
func (t *transportCredentials) Clone() credentials.TransportCredentials {
	clone := *t
	return &clone
}

// OverrideServerName sets the authority of channels that are made with t, unless they have one.
func (t *transportCredentials) OverrideServerName(name string) error {
	t.serverName = name
	return nil
}

// hostOf returns the host of an authority (RFC 3986, section 3.2).
func hostOf(authority string) string {
	host, _, err := net.SplitHostPort(authority)
	if err != nil {
		host = authority // no port
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		host = strings.TrimSuffix(inner, "]")
	}
	return host
}

// maxServers bounds what is remembered: a resolver may name servers without end.
const maxServers = 1024

// servers are what is known of the servers that were dialled.
type servers struct {
	dialer *tlstfo.Dialer
	config *tls.Config

	mu     sync.Mutex
	byName map[string]*server
}

// get returns the server of a name.
func (s *servers) get(name string) *server {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.byName[name]; known != nil {
		return known
	}
	if s.byName == nil {
		s.byName = make(map[string]*server)
	}
	if len(s.byName) >= maxServers {
		for other := range s.byName {
			delete(s.byName, other)
			break
		}
	}
	added := newServer(s.dialer, s.config, name)
	s.byName[name] = added
	return added
}
