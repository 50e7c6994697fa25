package examples

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net/smtp"
	"strings"

	"github.com/tlstfo/tlstfo"
	"github.com/tlstfo/tlstfo/internal/testpeer"
)

// In SMTP over TLS (RFC 8314) the server speaks first. The client reads before it writes: after Dialer.ReadGrace the ClientHello leaves alone, and the greeting
// comes with the handshake. AUTH and the mail are never early.
func Example_smtp() {
	s := serve(smtpServer)
	defer s.stop()
	dialer := &tlstfo.Dialer{TLSConfig: s.roots, ReadGrace: -1} // a client of such a protocol never writes first: no wait
	ctx := context.Background()

	for range 2 {
		conn, err := dialer.DialDeferred(ctx, "tcp", s.addr)
		if err != nil {
			log.Fatal(err)
		}
		client, err := smtp.NewClient(conn, "service.example")
		if err != nil {
			log.Fatal(err)
		}
		must(client.Hello("client.example"))
		must(client.Auth(smtp.CRAMMD5Auth("user", "secret")))
		must(client.Mail("user@client.example"))
		must(client.Rcpt("friend@service.example"))
		w, err := client.Data()
		must(err)
		io.WriteString(w, "hello\r\n")
		must(w.Close())
		must(client.Quit())
		fmt.Println("resumed:", conn.ConnectionState().DidResume)
		dialer.Flush(ctx)
	}
	fmt.Println(strings.Join(s.noted(), ", "))
	// Output:
	// resumed: false
	// resumed: true
	// EHLO, AUTH, MAIL, RCPT, DATA, QUIT, EHLO, AUTH, MAIL, RCPT, DATA, QUIT
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// smtpServer takes any mail.
func smtpServer(s *server, conn *testpeer.ServerConn) {
	count := &counter{Reader: conn}
	r := bufio.NewReader(count)
	io.WriteString(conn, "220 service.example\r\n")
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		command := strings.ToUpper(strings.Fields(line + " -")[0])
		s.note(conn, command, count.n-int64(r.Buffered()))
		answer := "250 OK"
		switch command {
		case "EHLO":
			answer = "250-service.example\r\n250 AUTH CRAM-MD5"
		case "AUTH":
			io.WriteString(conn, "334 PDE+\r\n")
			r.ReadString('\n')
			answer = "235 welcome"
		case "DATA":
			io.WriteString(conn, "354 go on\r\n")
			for line != ".\r\n" && err == nil {
				line, err = r.ReadString('\n')
			}
		case "QUIT":
			answer = "221 bye"
		}
		io.WriteString(conn, answer+"\r\n")
	}
}
