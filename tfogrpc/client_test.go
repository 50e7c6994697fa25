package tfogrpc

import (
	"context"
	"crypto/tls"
	"net"
	"runtime"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/peer"

	"github.com/tlstfo/tlstfo"
	"github.com/tlstfo/tlstfo/internal/testpeer"
)

// noLeak fails the test if it leaves goroutines behind.
func noLeak(t *testing.T) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		for range 250 {
			if runtime.NumGoroutine() <= before {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		buf := make([]byte, 1<<16)
		t.Errorf("goroutines: %d before, %d after\n%s", before, runtime.NumGoroutine(), buf[:runtime.Stack(buf, true)])
	})
}

// newDialer returns a Dialer that trusts the authority.
func newDialer(ca *testpeer.Authority) *tlstfo.Dialer {
	return &tlstfo.Dialer{TLSConfig: &tls.Config{RootCAs: ca.Pool()}}
}

// spy are credentials that keep the connections they made.
type spy struct {
	credentials.TransportCredentials
	conns chan *conn
	infos chan credentials.AuthInfo
	errs  chan error
}

func newSpy(creds credentials.TransportCredentials) *spy {
	const many = 1000
	return &spy{creds, make(chan *conn, many), make(chan credentials.AuthInfo, many), make(chan error, many)}
}

func (s *spy) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c, info, err := s.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil {
		s.errs <- err
		return nil, nil, err
	}
	if own, ok := c.(*conn); ok {
		s.conns <- own
	}
	s.infos <- info
	return c, info, nil
}

// A client is a ClientConn with what is needed to look at it.
type client struct {
	*grpc.ClientConn
	grpc_testing.TestServiceClient
	t   *testing.T
	spy *spy
}

// newClient returns a client by d, for serverName unless an option says otherwise. It has not dialled.
func newClient(t *testing.T, d *tlstfo.Dialer, addr string, options ...grpc.DialOption) *client {
	t.Helper()
	return clientWith(t, d, newSpy(NewCredentials(d)), addr, options...)
}

func clientWith(t *testing.T, d *tlstfo.Dialer, s *spy, addr string, options ...grpc.DialOption) *client {
	t.Helper()
	base := []grpc.DialOption{grpc.WithTransportCredentials(s), grpc.WithContextDialer(ContextDialer(d)), grpc.WithAuthority(serverName)}
	cc, err := grpc.NewClient(addr, append(base, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return &client{cc, grpc_testing.NewTestServiceClient(cc), t, s}
}

// soon is a context for what takes milliseconds.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// ready waits until the ClientConn is READY.
func (c *client) ready() {
	c.t.Helper()
	c.wait(connectivity.Ready)
}

func (c *client) wait(want connectivity.State) {
	c.t.Helper()
	c.Connect()
	for state := c.GetState(); state != want; state = c.GetState() {
		if !c.WaitForStateChange(soon(c.t), state) {
			c.t.Fatalf("the ClientConn stays %v, want %v", state, want)
		}
	}
}

// call makes a unary call, and returns what the server and the client saw.
func (c *client) call(options ...grpc.CallOption) (*grpc_testing.SimpleResponse, *peer.Peer) {
	c.t.Helper()
	var p peer.Peer
	const size = 100
	payload := &grpc_testing.Payload{Body: []byte("hello")}
	resp, err := c.UnaryCall(soon(c.t), &grpc_testing.SimpleRequest{Payload: payload, ResponseSize: size}, append(options, grpc.Peer(&p), grpc.WaitForReady(true))...)
	if err != nil {
		c.t.Fatalf("unary call: %v", err)
	}
	if len(resp.Payload.GetBody()) != size {
		c.t.Errorf("unary call: %d bytes", len(resp.Payload.GetBody()))
	}
	return resp, &p
}

// chat makes a streaming call.
func (c *client) chat() {
	c.t.Helper()
	stream, err := c.FullDuplexCall(soon(c.t), grpc.WaitForReady(true))
	if err != nil {
		c.t.Fatalf("streaming call: %v", err)
	}
	for _, text := range []string{"a", "b", string(make([]byte, 100<<10))} {
		if err := stream.Send(&grpc_testing.StreamingOutputCallRequest{Payload: &grpc_testing.Payload{Body: []byte(text)}}); err != nil {
			c.t.Fatalf("Send: %v", err)
		}
		if got, err := stream.Recv(); err != nil || string(got.Payload.GetBody()) != text {
			c.t.Fatalf("Recv: %d bytes, %v", len(got.GetPayload().GetBody()), err)
		}
	}
	stream.CloseSend()
	if _, err := stream.Recv(); err == nil {
		c.t.Error("the stream goes on")
	}
}

// info is what became of the newest connection.
func (c *client) info() tlstfo.ConnInfo {
	c.t.Helper()
	select {
	case conn := <-c.spy.conns:
		return conn.Info()
	default:
		c.t.Fatal("no connection")
		panic("unreachable")
	}
}
