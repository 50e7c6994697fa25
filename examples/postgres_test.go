package examples

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"log"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tlstfo/tlstfo"
	"github.com/tlstfo/tlstfo/handshake"
	"github.com/tlstfo/tlstfo/internal/testpeer"
)

// A PostgreSQL client dials through tlstfo, to a server that takes TLS from the first byte (from version 17 on, by ALPN "postgresql"). No INSERT, password
// or SELECT is ever early: nobody said that one may be replayed.
func Example_postgres() {
	s := servePostgres()
	defer s.stop()
	dialer := &tlstfo.Dialer{TLSConfig: s.roots}
	for range 2 { // on the second connection there is a ticket that would allow early data
		insert(s, dialer)
	}
	fmt.Println(strings.Join(s.noted(), ", "))
	// Output: startup, password, INSERT, SELECT, startup, password, INSERT, SELECT
}

// With a classifier, the startup message may be early: it names the user and the database, and the server asks for the password before it does anything. What
// comes then waits for the server's word, and so for the handshake.
func Example_postgresEarly() {
	s := servePostgres()
	defer s.stop()
	dialer := &tlstfo.Dialer{TLSConfig: s.roots, Early: replayablePostgres}
	for range 2 {
		insert(s, dialer)
	}
	fmt.Println(strings.Join(s.noted(), ", "))
	// Output: startup, password, INSERT, SELECT, startup (early), password, INSERT, SELECT
}

// insert makes a connection and two statements.
func insert(s *server, dialer *tlstfo.Dialer) {
	ctx := context.Background()
	config, err := pgx.ParseConfig("postgres://user:secret@" + s.addr + "/db?sslmode=disable") // pgx's own TLS, that is
	if err != nil {
		log.Fatal(err)
	}
	config.DialFunc = deferred(dialer)
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	db, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		log.Fatal(err)
	}
	for _, statement := range []string{"INSERT INTO visits VALUES (now())", "SELECT * FROM visits"} {
		if _, err := db.Exec(ctx, statement); err != nil {
			log.Fatal(err)
		}
	}
	db.Close(ctx)
	dialer.Flush(ctx)
}

// replayablePostgres returns how many of the first bytes are a startup message of protocol version 3, and nothing else: "length, version, parameters".
func replayablePostgres(first []byte) int {
	if len(first) < 8 || binary.BigEndian.Uint32(first) != uint32(len(first)) || binary.BigEndian.Uint16(first[4:]) != 3 {
		return 0
	}
	return len(first)
}

func TestReplayablePostgres(t *testing.T) {
	startup, err := (&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "user"}}).Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	query, err := (&pgproto3.Query{String: "INSERT INTO visits VALUES (now())"}).Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	password, err := (&pgproto3.PasswordMessage{Password: "secret"}).Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	for first, want := range map[string]int{
		string(startup): len(startup), string(startup[:len(startup)-1]): 0, string(startup) + string(query): 0,
		string(query): 0, string(password): 0, "": 0, "\x00\x00\x00\x08\x04\xd2\x16\x2f": 0, // a request for TLS
	} {
		if n := replayablePostgres([]byte(first)); n != want {
			t.Errorf("%q: %d bytes, want %d", first, n, want)
		}
	}
}

func servePostgres() *server {
	s := serve(postgresServer)
	s.peer.Update(func(c *handshake.ServerConfig) { c.NextProtos = []string{"postgresql"} })
	s.roots = &tls.Config{ServerName: s.roots.ServerName, RootCAs: s.roots.RootCAs, NextProtos: []string{"postgresql"}}
	return s
}

// postgresServer asks for a password, and then says yes to everything.
func postgresServer(s *server, conn *testpeer.ServerConn) {
	backend := pgproto3.NewBackend(conn, conn)
	end := 0
	note := func(what string, message pgproto3.FrontendMessage) bool {
		b, err := message.Encode(nil)
		end += len(b)
		s.note(conn, what, int64(end))
		return err == nil
	}
	startup, err := backend.ReceiveStartupMessage()
	if err != nil || !note("startup", startup) {
		return
	}
	backend.Send(&pgproto3.AuthenticationCleartextPassword{})
	if backend.Flush() != nil || backend.SetAuthType(pgproto3.AuthTypeCleartextPassword) != nil {
		return
	}
	for {
		message, err := backend.Receive()
		if err != nil {
			return
		}
		switch m := message.(type) {
		case *pgproto3.PasswordMessage:
			note("password", m)
			backend.Send(&pgproto3.AuthenticationOk{})
		case *pgproto3.Query:
			word, _, _ := strings.Cut(m.String, " ")
			note(word, m)
			backend.Send(&pgproto3.CommandComplete{CommandTag: []byte(word + " 0")})
		default: // Terminate
			return
		}
		backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		if backend.Flush() != nil {
			return
		}
	}
}
