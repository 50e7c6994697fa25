package interop

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os/exec"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo"
	"github.com/tlstfo/tlstfo/handshake/utlshello"
	"github.com/tlstfo/tlstfo/internal/netlab"
)

// startGnuTLS runs gnutls-serv on loopback, which echoes, and returns its address.
func startGnuTLS(t *testing.T, args ...string) (addr string, cred *credentials) {
	t.Helper()
	if _, err := exec.LookPath("gnutls-serv"); err != nil {
		netlab.Missing(t, "gnutls-serv (install the package gnutls-bin)")
	}
	return startLocal(t, "gnutls-serv", func(port string, cred *credentials) []string {
		return append([]string{"--echo", "--port", port, "--x509certfile", cred.cert, "--x509keyfile", cred.key}, args...)
	})
}

// sizeConn notes the longest protected record that is written, and the longest one read.
type sizeConn struct {
	net.Conn
	in, out   []byte
	read, put int
}

func longest(buf *[]byte, p []byte, most *int) {
	*buf = append(*buf, p...)
	for len(*buf) >= 5 {
		n := int((*buf)[3])<<8 | int((*buf)[4])
		if len(*buf) < 5+n {
			return
		}
		if (*buf)[0] == 23 {
			*most = max(*most, n)
		}
		*buf = (*buf)[5+n:]
	}
}

func (c *sizeConn) Write(p []byte) (int, error) {
	longest(&c.out, p, &c.put)
	return c.Conn.Write(p)
}

func (c *sizeConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	longest(&c.in, p[:n], &c.read)
	return n, err
}

// TestGnuTLSRecordLimit: GnuTLS answers record_size_limit, and would end the connection at a longer record.
func TestGnuTLSRecordLimit(t *testing.T) {
	const limit = 600
	addr, cred := startGnuTLS(t, "--recordsize", fmt.Sprint(limit))
	for name, id := range fingerprints {
		if name == "randomized" {
			continue
		}
		raw, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		sizes := &sizeConn{Conn: raw}
		d := &tlstfo.Dialer{TLSConfig: localConfig(t, cred), Hello: utlshello.Fingerprint(id)}
		conn := d.Client(sizes, "")
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		line := append(bytes.Repeat([]byte("x"), 5000), '\n')
		if _, err := conn.Write(line); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(line))
		if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, line) {
			t.Errorf("%s: %v", name, err)
		}
		conn.Close()
		// RFC 8449, section 4: the limit has the type in it; the tag comes on top.
		if want := limit + 1 + 16; (name == "firefox") != (sizes.put <= want) {
			t.Errorf("%s: a record of %d bytes was sent; only Firefox offers the limit of %d", name, sizes.put, want)
		}
	}
}
