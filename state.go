package tlstfo

import (
	"crypto/tls"
	"errors"
	"math"
	"net"
)

// ConnectionState returns what is known of the connection; it never blocks.
// Once the handshake is complete it has the same fields as that of *tls.Conn. A
// renegotiation (TLS 1.2), in which the server's certificate must stay the same, changes nothing in it.
// Before that HandshakeComplete is false; with early data under way the rest is what
// the ticket predicts. The value's own ExportKeyingMaterial method returns an
// error: use Conn.ExportKeyingMaterial.
func (c *Conn) ConnectionState() tls.ConnectionState {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state.Version == 0 {
		return emptyState()
	}
	return c.state
}

// emptyState returns a state whose ExportKeyingMaterial returns an error; that of
// a zero tls.ConnectionState panics.
func emptyState() tls.ConnectionState {
	state := tls.Client(nil, &tls.Config{Renegotiation: tls.RenegotiateOnceAsClient}).ConnectionState()
	state.TLSUnique = nil
	return state
}

var errNotComplete = errors.New("tlstfo: the handshake is not complete")

// ExportKeyingMaterial returns length bytes of exported key material (RFC 8446, section
// 7.5; RFC 5705). The handshake must be complete. A nil context is the empty one.
func (c *Conn) ExportKeyingMaterial(label string, context []byte, length int) ([]byte, error) {
	if !c.established() {
		return nil, errNotComplete
	}
	if c.std != nil {
		state := c.ConnectionState()
		return state.ExportKeyingMaterial(label, context, length)
	}
	return c.exporter.ExportKeyingMaterial(label, context, length)
}

// VerifyHostname checks that the server's certificate is valid for a name, as
// that of *tls.Conn does. The handshake must be complete.
func (c *Conn) VerifyHostname(host string) error {
	if !c.established() {
		return errNotComplete
	}
	state := c.ConnectionState()
	if len(state.VerifiedChains) == 0 {
		return errors.New("tlstfo: the server's certificate was not verified (InsecureSkipVerify)")
	}
	return state.PeerCertificates[0].VerifyHostname(host)
}

// OCSPResponse returns the stapled OCSP response, or nil.
func (c *Conn) OCSPResponse() []byte { return c.ConnectionState().OCSPResponse }

// Info says what happened on the connection so far. It never blocks.
func (c *Conn) Info() ConnInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.info
}

// NetConn returns the transport, or nil before the dial. Writing to it or
// reading from it breaks the connection.
func (c *Conn) NetConn() net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bare(c.raw)
}

// LocalAddr returns the local address; before the dial, a *net.TCPAddr without an
// address. It is never nil.
func (c *Conn) LocalAddr() net.Addr {
	if raw := c.NetConn(); raw != nil {
		if a := raw.LocalAddr(); a != nil {
			return a
		}
	}
	return &net.TCPAddr{}
}

// RemoteAddr returns the remote address; before the dial, what was dialled. It
// is never nil.
func (c *Conn) RemoteAddr() net.Addr {
	if raw := c.NetConn(); raw != nil {
		if a := raw.RemoteAddr(); a != nil {
			return a
		}
	}
	return dialledAddr{c.network, c.addr}
}

// dialledAddr is an address that is not resolved yet.
type dialledAddr struct{ network, addr string }

func (a dialledAddr) Network() string { return a.network }
func (a dialledAddr) String() string  { return a.addr }

// SetLinger is net.TCPConn's, in every phase of the Conn's life. After
// SetLinger(0) Close drops at once what was not delivered, and never waits.
func (c *Conn) SetLinger(sec int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lingerSec = int32(min(max(sec, -1), math.MaxInt32))
	if c.raw == nil {
		return nil // setTransport applies it
	}
	return setLinger(c.raw, sec)
}

func setLinger(conn net.Conn, sec int) error {
	if l, ok := bare(conn).(interface{ SetLinger(sec int) error }); ok {
		return l.SetLinger(sec)
	}
	return nil
}

// dropsAll tells whether SetLinger(0) was called.
func (c *Conn) dropsAll() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lingerSec == 0
}

// isClosing tells whether Close was called.
func (c *Conn) isClosing() bool {
	select {
	case <-c.closing:
		return true
	default:
		return false
	}
}
