package tfogrpc

import (
	"context"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpproxy"
	"google.golang.org/grpc"

	"github.com/tlstfo/tlstfo"
)

// DialOptions returns what makes a grpc.ClientConn dial by d: [NewCredentials] and, unless
// the environment names a proxy for HTTPS at the time of the call, [ContextDialer]. They stand in place of
// grpc.WithTransportCredentials. One d may serve many ClientConns at once.
func DialOptions(d *tlstfo.Dialer) []grpc.DialOption {
	options := []grpc.DialOption{grpc.WithTransportCredentials(NewCredentials(d))}
	if httpproxy.FromEnvironment().HTTPSProxy == "" {
		options = append(options, grpc.WithContextDialer(ContextDialer(d)))
	}
	return options
}

// ContextDialer returns a function for grpc.WithContextDialer whose connections are dialled in the handshake
// of [NewCredentials]. With other credentials they are dialled by d.NetDialer when they are first
// used, as ordinary TCP connections: nothing rides in the SYN.
func ContextDialer(d *tlstfo.Dialer) func(ctx context.Context, addr string) (net.Conn, error) {
	return func(ctx context.Context, addr string) (net.Conn, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // Close cancels it
		p := &pending{ctx: ctx, cancel: cancel, dialer: d.NetDialer}
		if p.dialer == nil {
			p.dialer = new(net.Dialer)
		}
		p.network, p.addr = parseAddr(addr)
		return p, nil
	}
}

// parseAddr tells Unix sockets, as grpc-go names them to dial functions, from addresses of TCP.
func parseAddr(addr string) (network, address string) {
	if strings.HasPrefix(addr, "\x00") { // in the abstract name space
		return "unix", addr
	}
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		return "unix", strings.TrimPrefix(path, "//")
	}
	return "tcp", addr
}

// pending is a connection that is not dialled. NewCredentials's handshake only takes from it where to.
// For any other user it is a net.Conn, dialled when a method needs that.
type pending struct {
	network, addr string
	dialer        *net.Dialer
	ctx           context.Context // the dial's
	cancel        context.CancelFunc

	once sync.Once
	conn net.Conn
	err  error
}

// dial returns the connection, dialling it first where nobody did.
func (p *pending) dial() (net.Conn, error) {
	p.once.Do(func() { p.conn, p.err = p.dialer.DialContext(p.ctx, p.network, p.addr) })
	return p.conn, p.err
}

func (p *pending) Read(b []byte) (int, error) {
	c, err := p.dial()
	if err != nil {
		return 0, err
	}
	return c.Read(b)
}

func (p *pending) Write(b []byte) (int, error) {
	c, err := p.dial()
	if err != nil {
		return 0, err
	}
	return c.Write(b)
}

// Close ends a dial as well, and forestalls one.
func (p *pending) Close() error {
	p.cancel()
	p.once.Do(func() { p.err = net.ErrClosed })
	if p.conn == nil {
		return nil
	}
	return p.conn.Close()
}

func (p *pending) LocalAddr() net.Addr {
	if c, err := p.dial(); err == nil {
		return c.LocalAddr()
	}
	return &net.TCPAddr{}
}

func (p *pending) RemoteAddr() net.Addr {
	if c, err := p.dial(); err == nil {
		return c.RemoteAddr()
	}
	return pendingAddr{p.network, p.addr}
}

func (p *pending) SetDeadline(t time.Time) error {
	c, err := p.dial()
	if err != nil {
		return err
	}
	return c.SetDeadline(t)
}

func (p *pending) SetReadDeadline(t time.Time) error {
	c, err := p.dial()
	if err != nil {
		return err
	}
	return c.SetReadDeadline(t)
}

func (p *pending) SetWriteDeadline(t time.Time) error {
	c, err := p.dial()
	if err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// pendingAddr is where a pending goes to.
type pendingAddr struct{ network, addr string }

func (a pendingAddr) Network() string { return a.network }
func (a pendingAddr) String() string  { return a.addr }
