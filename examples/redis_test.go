package examples

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/tlstfo/tlstfo"
	"github.com/tlstfo/tlstfo/internal/testpeer"
)

// A Redis client dials through tlstfo. The ClientHello rides in the SYN; no command is ever early, for nobody said that one may be replayed. A second INCR would
// count twice, and an AUTH is a secret that early data protects less well.
func Example_redis() {
	s := serve(redisServer)
	defer s.stop()
	dialer := &tlstfo.Dialer{TLSConfig: s.roots}
	ctx := context.Background()

	for range 2 { // on the second connection there is a ticket that would allow early data
		db := redis.NewClient(&redis.Options{Addr: s.addr, Dialer: deferred(dialer), Protocol: 2, DisableIdentity: true, Password: "secret"})
		hits, err := db.Incr(ctx, "hits").Result()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("hits:", hits)
		db.Close()
		dialer.Flush(ctx)
	}
	fmt.Println(strings.Join(s.noted(), ", "))
	// Output:
	// hits: 1
	// hits: 2
	// HELLO AUTH, INCR, HELLO AUTH, INCR
}

// With a classifier, what changes nothing may be early. This client says HELLO before all else and waits for the answer, so that it is the HELLO which saves a round
// trip. One that carries a password waits for the handshake, and so does everything after it.
func Example_redisEarly() {
	s := serve(redisServer)
	defer s.stop()
	dialer := &tlstfo.Dialer{TLSConfig: s.roots, Early: replayableRedis}
	ctx := context.Background()

	for _, password := range []string{"", "", "secret"} {
		db := redis.NewClient(&redis.Options{Addr: s.addr, Dialer: deferred(dialer), Protocol: 2, DisableIdentity: true, Password: password})
		if err := db.Incr(ctx, "hits").Err(); err != nil {
			log.Fatal(err)
		}
		db.Close()
		dialer.Flush(ctx)
	}
	fmt.Println(strings.Join(s.noted(), ", "))
	// Output: HELLO, INCR, HELLO (early), INCR, HELLO AUTH, INCR
}

// The server of these examples would see a part of a command that came early: a classifier that is wrong shows.
func TestPartlyEarly(t *testing.T) {
	s := serve(redisServer)
	defer s.stop()
	dialer := &tlstfo.Dialer{TLSConfig: s.roots, Early: func(first []byte) int { return len(first) - 3 }}
	for range 2 {
		db := redis.NewClient(&redis.Options{Addr: s.addr, Dialer: deferred(dialer), Protocol: 2, DisableIdentity: true})
		if err := db.Incr(t.Context(), "hits").Err(); err != nil {
			t.Fatal(err)
		}
		db.Close()
		dialer.Flush(t.Context())
	}
	if got, want := strings.Join(s.noted(), ", "), "HELLO, INCR, HELLO (partly early), INCR"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// replayableRedis returns how many of the first bytes are whole commands that change nothing. RESP has every command as an array of bulk strings:
// "*2\r\n$3\r\nGET\r\n$4\r\nhits\r\n". All or nothing: what is not understood is not early.
func replayableRedis(first []byte) int {
	for rest := first; len(rest) > 0; {
		name, n := redisCommand(rest)
		switch name {
		case "HELLO", "GET", "MGET", "EXISTS", "TTL", "PING":
			rest = rest[n:]
		default:
			return 0
		}
	}
	return len(first)
}

// redisCommand returns the name of the command that data begins with, and its length; "" if it is not whole.
func redisCommand(data []byte) (name string, length int) {
	r := bufio.NewReader(bytes.NewReader(data))
	args, length, err := readRedis(r)
	if err != nil || len(args) == 0 {
		return "", 0
	}
	return commandName(args), length
}

// commandName tells a HELLO that logs in from others.
func commandName(args []string) string {
	name := strings.ToUpper(args[0])
	if name == "HELLO" && slices.ContainsFunc(args, func(arg string) bool { return strings.EqualFold(arg, "AUTH") }) {
		return "HELLO AUTH"
	}
	return name
}

func TestReplayableRedis(t *testing.T) {
	const get, incr = "*2\r\n$3\r\nGET\r\n$4\r\nhits\r\n", "*2\r\n$4\r\nINCR\r\n$4\r\nhits\r\n"
	for first, want := range map[string]int{
		get: len(get), get + get: 2 * len(get), strings.ToLower(get): len(get),
		incr: 0, get + incr: 0, get[:len(get)-1]: 0, get + "*": 0, "GET hits\r\n": 0, "": 0, "*0\r\n": 0, "*-1\r\n": 0, "*1\r\n$99999999\r\n": 0,
		"*4\r\n$5\r\nHELLO\r\n$1\r\n2\r\n$4\r\nauth\r\n$1\r\nx\r\n": 0,
	} {
		if n := replayableRedis([]byte(first)); n != want {
			t.Errorf("%q: %d bytes, want %d", first, n, want)
		}
	}
}

// readRedis reads a command, and tells its length.
func readRedis(r *bufio.Reader) (args []string, length int, err error) {
	number := func(mark byte) (int, error) {
		line, err := r.ReadString('\n')
		if err != nil {
			return 0, err
		}
		length += len(line)
		if line[0] != mark || !strings.HasSuffix(line, "\r\n") {
			return 0, fmt.Errorf("%q is no %c line", line, mark)
		}
		n, err := strconv.Atoi(line[1 : len(line)-2])
		if err == nil && (n < 0 || n > 1<<16) {
			err = fmt.Errorf("%d is out of range", n)
		}
		return n, err
	}
	n, err := number('*')
	for ; err == nil && n > 0; n-- {
		size, err := number('$')
		if err != nil {
			return nil, length, err
		}
		text := make([]byte, size+2)
		if _, err := io.ReadFull(r, text); err != nil {
			return nil, length, err
		}
		length += len(text)
		args = append(args, string(text[:size]))
	}
	return args, length, err
}

// redisServer knows one counter.
func redisServer(s *server, conn *testpeer.ServerConn) {
	r := bufio.NewReader(conn)
	for end := 0; ; {
		args, n, err := readRedis(r)
		if err != nil || len(args) == 0 {
			return
		}
		end += n
		s.note(conn, commandName(args), int64(end))
		switch strings.ToUpper(args[0]) {
		case "HELLO":
			fmt.Fprint(conn, "*2\r\n$5\r\nproto\r\n:2\r\n")
		case "GET":
			fmt.Fprint(conn, "$1\r\n0\r\n")
		case "INCR":
			s.mu.Lock()
			s.hits++
			fmt.Fprintf(conn, ":%d\r\n", s.hits)
			s.mu.Unlock()
		default:
			fmt.Fprint(conn, "+OK\r\n")
		}
	}
}
