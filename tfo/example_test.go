package tfo_test

import (
	"context"
	"fmt"
	"io"
	"log"

	"github.com/tlstfo/tlstfo/tfo"
)

func Example() {
	l, err := tfo.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			io.Copy(conn, conn)
			conn.Close()
		}
	}()

	// The callback runs just before the SYN, and learns how much fits into it.
	first := func(_ context.Context, a *tfo.Attempt) (tfo.Flight, error) {
		return tfo.Flight{Data: []byte("hello")}, nil
	}
	dialer := new(tfo.Dialer)
	conn, info, err := dialer.DialContext(context.Background(), "tcp", l.Addr().String(), first)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	conn.CloseWrite()
	answer, err := io.ReadAll(conn)
	fmt.Printf("%s %v\n", answer, err)
	fmt.Println(info.SynBytes == 0 || info.SynBytes == len("hello")) // 5 from the second dial on, where Fast Open is on
	// Output:
	// hello <nil>
	// true
}
