package tfogrpc

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/tlstfo/tlstfo/handshake"
	"github.com/tlstfo/tlstfo/internal/testpeer"
)

const serverName = "server.test"

// newAuthority returns an authority for certificates.
func newAuthority(t *testing.T) *testpeer.Authority {
	t.Helper()
	ca, err := testpeer.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func issue(t *testing.T, ca *testpeer.Authority, names ...string) tls.Certificate {
	t.Helper()
	cert, err := ca.Issue(names...)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// startGRPC serves the test service with some credentials, on a new address or an old one, until the test ends.
func startGRPC(t *testing.T, creds credentials.TransportCredentials, addr string) *grpc.Server {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return serveGRPC(t, creds, l)
}

func serveGRPC(t *testing.T, creds credentials.TransportCredentials, l net.Listener) *grpc.Server {
	s := grpc.NewServer(grpc.Creds(creds))
	grpc_testing.RegisterTestServiceServer(s, service{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(l)
	}()
	t.Cleanup(func() {
		s.Stop()
		<-done
	})
	return s
}

// freeAddr is an address on loopback that nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// service tells callers what it saw of them.
type service struct {
	grpc_testing.UnimplementedTestServiceServer
}

func (service) UnaryCall(ctx context.Context, r *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	p, _ := peer.FromContext(ctx)
	resp := &grpc_testing.SimpleResponse{Payload: r.GetPayload()}
	if n := int(r.GetResponseSize()); n > 0 {
		resp.Payload = &grpc_testing.Payload{Body: make([]byte, n)}
	}
	if a := md.Get(":authority"); len(a) > 0 {
		resp.Hostname = a[0]
	}
	if a := md.Get("authorization"); len(a) > 0 {
		resp.Username = a[0]
	}
	if info, ok := p.AuthInfo.(credentials.TLSInfo); ok {
		resp.ServerId = info.State.ServerName
	}
	return resp, nil
}

func (service) FullDuplexCall(stream grpc.BidiStreamingServer[grpc_testing.StreamingOutputCallRequest, grpc_testing.StreamingOutputCallResponse]) error {
	for {
		r, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(&grpc_testing.StreamingOutputCallResponse{Payload: r.Payload}); err != nil {
			return err
		}
	}
}

// earlyCreds are server credentials whose tickets allow early data, and which write down what they read.
type earlyCreds struct {
	*testpeer.Server
	mu    sync.Mutex
	conns []*recorded
}

func newEarlyCreds(t *testing.T, cert tls.Certificate) *earlyCreds {
	t.Helper()
	creds, err := makeEarlyCreds(cert)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { creds.Close() })
	return creds
}

func makeEarlyCreds(cert tls.Certificate) (*earlyCreds, error) {
	s, err := testpeer.New(cert)
	if err != nil {
		return nil, err
	}
	s.Update(func(c *handshake.ServerConfig) { c.NextProtos = []string{h2} })
	return &earlyCreds{Server: s}, nil
}

// recorded is a connection, and the first of what it read.
type recorded struct {
	*testpeer.ServerConn
	end   func()
	mu    sync.Mutex
	first []byte
}

func (r *recorded) Read(p []byte) (int, error) {
	n, err := r.ServerConn.Read(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.first) < 1<<16 {
		r.first = append(r.first, p[:n]...)
	}
	return n, err
}

func (r *recorded) Close() error {
	r.end()
	return r.ServerConn.Close()
}

// early returns what came early, and what followed.
func (r *recorded) early() (early, rest []byte) {
	n := r.EarlyBytes()
	r.mu.Lock()
	defer r.mu.Unlock()
	n = min(n, len(r.first))
	return r.first[:n], r.first[n:]
}

// ServerHandshake hands over the connection as soon as early data came.
func (e *earlyCreds) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	got, failed, ended := make(chan *testpeer.ServerConn, 1), make(chan error, 1), make(chan struct{})
	go func() {
		failed <- e.ServeConn(raw, func(c *testpeer.ServerConn) {
			got <- c
			<-ended
		})
	}()
	select {
	case c := <-got:
		r := &recorded{ServerConn: c, end: sync.OnceFunc(func() { close(ended) })}
		e.mu.Lock()
		defer e.mu.Unlock()
		e.conns = append(e.conns, r)
		return r, credentials.TLSInfo{State: c.ConnectionState(),
			CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}}, nil
	case err := <-failed:
		return nil, nil, err
	}
}

// last is the connection that came last.
func (e *earlyCreds) last(t *testing.T) *recorded {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.conns) == 0 {
		t.Fatal("no connection")
	}
	return e.conns[len(e.conns)-1]
}

func (*earlyCreds) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.ErrUnsupported
}
func (*earlyCreds) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}
func (e *earlyCreds) Clone() credentials.TransportCredentials { return e }
func (*earlyCreds) OverrideServerName(string) error           { return errors.ErrUnsupported }
