package utlshello_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"

	utls "github.com/refraction-networking/utls"

	"github.com/tlstfo/tlstfo"
	"github.com/tlstfo/tlstfo/handshake/utlshello"
	"github.com/tlstfo/tlstfo/internal/testpeer"
)

// A Dialer with the hello of Firefox. The second connection resumes, and its request, which is replayable, rides as early data.
func ExampleFingerprint() {
	ca, err := testpeer.NewAuthority()
	if err != nil {
		log.Fatal(err)
	}
	cert, err := ca.Issue("example.com")
	if err != nil {
		log.Fatal(err)
	}
	server, err := testpeer.New(cert)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	go server.Serve(listener, func(conn *testpeer.ServerConn) { io.Copy(conn, conn) }, nil)

	dialer := &tlstfo.Dialer{
		TLSConfig: &tls.Config{RootCAs: ca.Pool(), ServerName: "example.com"},
		Hello:     utlshello.Fingerprint(utls.HelloFirefox_Auto),
	}
	for range 2 {
		ctx := context.Background()
		conn, err := dialer.DialEarly(ctx, "tcp", listener.Addr().String(), []byte("hello"))
		if err != nil {
			log.Fatal(err)
		}
		answer := make([]byte, len("hello"))
		if _, err := io.ReadFull(conn, answer); err != nil {
			log.Fatal(err)
		}
		info := conn.Info()
		fmt.Printf("%s resumed: %v, early: %v\n", answer, info.Resumed, info.Early.Accepted)
		conn.Close()
		dialer.Flush(ctx) // the tickets of the first connection are for the second
	}
	// Output:
	// hello resumed: false, early: false
	// hello resumed: true, early: true
}
