package examples

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"

	"github.com/coder/websocket"

	"github.com/tlstfo/tlstfo"
	"github.com/tlstfo/tlstfo/internal/testpeer"
)

// http.Transport takes connections from DialTLSContext, and speaks HTTP/1.1 over them. A GET is early, a POST never is. (Package tfohttp does the same with HTTP/2, 425 and more.)
func Example_httpTransport() {
	s := serve(httpServer)
	defer s.stop()
	dialer := &tlstfo.Dialer{TLSConfig: s.roots, Early: tlstfo.ReplayableHTTP1}
	client := once(dialer)

	for _, method := range []string{"GET", "GET", "POST", "HEAD", "DELETE"} {
		var body io.Reader
		if method == "POST" {
			body = strings.NewReader("a body")
		}
		req, err := http.NewRequest(method, "https://"+s.addr+"/", body)
		if err != nil {
			log.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			log.Fatal(err)
		}
		resp.Body.Close()
		dialer.Flush(context.Background())
	}
	fmt.Println(strings.Join(s.noted(), ", "))
	// Output: GET, GET (early), POST, HEAD (early), DELETE
}

// A WebSocket begins with a GET. It asks for another protocol, so that it is no request that may be replayed, and it is not early although other GETs are.
func Example_webSocket() {
	s := serve(httpServer)
	defer s.stop()
	dialer := &tlstfo.Dialer{TLSConfig: s.roots, Early: tlstfo.ReplayableHTTP1}
	client := once(dialer)
	ctx := context.Background()

	for range 2 {
		conn, _, err := websocket.Dial(ctx, "wss://"+s.addr+"/", &websocket.DialOptions{HTTPClient: client})
		if err != nil {
			log.Fatal(err)
		}
		if err := conn.Write(ctx, websocket.MessageText, []byte("hello")); err != nil {
			log.Fatal(err)
		}
		_, echo, err := conn.Read(ctx)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", echo)
		conn.CloseNow()
		dialer.Flush(ctx)
	}
	fmt.Println(strings.Join(s.noted(), ", "))
	// Output:
	// hello
	// hello
	// GET websocket, GET websocket
}

// httpServer answers requests, and echoes the messages of WebSockets.
func httpServer(s *server, conn *testpeer.ServerConn) {
	count := &counter{Reader: conn}
	r := bufio.NewReader(count)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		io.Copy(io.Discard, req.Body)
		s.note(conn, strings.TrimSpace(req.Method+" "+req.Header.Get("Upgrade")), count.n-int64(r.Buffered()))
		if req.Header.Get("Upgrade") == "" {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			continue
		}
		ws, err := websocket.Accept(&response{header: make(http.Header), conn: conn, rw: bufio.NewReadWriter(r, bufio.NewWriter(conn))}, req, nil)
		if err != nil {
			return
		}
		for {
			kind, message, err := ws.Read(req.Context())
			if err != nil || ws.Write(req.Context(), kind, message) != nil {
				return
			}
		}
	}
}

// response lets websocket.Accept answer on a connection.
type response struct {
	header http.Header
	conn   net.Conn
	rw     *bufio.ReadWriter
}

func (r *response) Header() http.Header                          { return r.header }
func (r *response) Write(p []byte) (int, error)                  { return r.rw.Write(p) }
func (r *response) Hijack() (net.Conn, *bufio.ReadWriter, error) { return r.conn, r.rw, nil }

func (r *response) WriteHeader(status int) {
	fmt.Fprintf(r.rw, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	r.header.Write(r.rw)
	io.WriteString(r.rw, "\r\n")
	r.rw.Flush()
}
