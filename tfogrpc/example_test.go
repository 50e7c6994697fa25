package tfogrpc_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"

	"github.com/tlstfo/tlstfo"
	"github.com/tlstfo/tlstfo/internal/testpeer"
	"github.com/tlstfo/tlstfo/tfogrpc"
)

// One Dialer serves every ClientConn of the program: a second one to the same server resumes a session of the first.
func Example() {
	addr, roots, stop := startServer()
	defer stop()

	d := &tlstfo.Dialer{TLSConfig: &tls.Config{RootCAs: roots}}
	for range 2 {
		conn, err := grpc.NewClient(addr, tfogrpc.DialOptions(d)...)
		if err != nil {
			log.Fatal(err)
		}
		var p peer.Peer
		resp, err := grpc_health_v1.NewHealthClient(conn).Check(context.Background(), &grpc_health_v1.HealthCheckRequest{}, grpc.Peer(&p))
		if err != nil {
			log.Fatal(err)
		}
		state := p.AuthInfo.(credentials.TLSInfo).State
		fmt.Printf("%v over %s and %s, resumed: %v\n", resp.Status, tls.VersionName(state.Version), state.NegotiatedProtocol, state.DidResume)
		conn.Close()
	}
	// Output:
	// SERVING over TLS 1.3 and h2, resumed: false
	// SERVING over TLS 1.3 and h2, resumed: true
}

// startServer starts a server of grpc-go on loopback.
func startServer() (addr string, roots *x509.CertPool, stop func()) {
	ca, err := testpeer.NewAuthority()
	if err != nil {
		log.Fatal(err)
	}
	cert, err := ca.Issue("127.0.0.1")
	if err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	s := grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(&cert)))
	grpc_health_v1.RegisterHealthServer(s, health.NewServer())
	go s.Serve(l)
	return l.Addr().String(), ca.Pool(), s.Stop
}
