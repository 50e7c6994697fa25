package interop

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	utls "github.com/refraction-networking/utls"

	"github.com/tlstfo/tlstfo"
	"github.com/tlstfo/tlstfo/handshake"
	"github.com/tlstfo/tlstfo/handshake/utlshello"
	"github.com/tlstfo/tlstfo/internal/netlab"
)

// startGnuTLS runs gnutls-serv on loopback, which echoes, and returns its address and what it prints.
func startGnuTLS(t *testing.T, args ...string) (addr string, cred *credentials, printed *output) {
	t.Helper()
	if _, err := exec.LookPath("gnutls-serv"); err != nil {
		netlab.Missing(t, "gnutls-serv (install the package gnutls-bin)")
	}
	cred = newCredentials(t)
	l, err := net.Listen("tcp", "127.0.0.1:0") // for a port that is free
	if err != nil {
		t.Fatal(err)
	}
	addr = l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(addr)
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "gnutls-serv", append([]string{"--echo", "--port", port, "--x509certfile", cred.cert, "--x509keyfile", cred.key}, args...)...)
	printed = new(output)
	cmd.Stdout, cmd.Stderr = printed, printed
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		cmd.Wait()
		if t.Failed() {
			t.Logf("gnutls-serv said:\n%s", printed.String())
		}
	})
	for range 500 {
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			return addr, cred, printed
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("gnutls-serv does not listen")
	panic("unreachable")
}

// counted counts how often a Builder's decompressors are asked.
type counted struct {
	handshake.Builder
	n *atomic.Int32
}

func (c counted) BuildHello(cfg *handshake.Config, rand io.Reader) (*handshake.Hello, error) {
	h, err := c.Builder.BuildHello(cfg, rand)
	if err != nil {
		return nil, err
	}
	all := make(map[uint16]func(io.Reader) (io.Reader, error))
	for id, f := range h.Decompressors {
		all[id] = func(r io.Reader) (io.Reader, error) { c.n.Add(1); return f(r) }
	}
	h.Decompressors = all
	return h, nil
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
	addr, cred, _ := startGnuTLS(t, "--recordsize", fmt.Sprint(limit))
	for name, id := range fingerprints {
		if name == "randomized" {
			continue
		}
		raw, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		sizes := &sizeConn{Conn: raw}
		d := &tlstfo.Dialer{TLSConfig: gnutlsConfig(t, cred), Hello: utlshello.Fingerprint(id)}
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

// TestGnuTLSCompression: certificates that GnuTLS compresses, by the algorithm that each fingerprint offers.
func TestGnuTLSCompression(t *testing.T) {
	for method, names := range map[string][]string{"BROTLI": {"chrome", "edge"}, "ZLIB": {"safari"}, "ZSTD": nil} {
		t.Run(method, func(t *testing.T) {
			addr, cred, printed := startGnuTLS(t, "--compress-cert", method)
			for range 100 { // it says so when the first connection comes, which was startGnuTLS's
				if strings.Contains(printed.String(), "Unknown compression method") {
					t.Skip("this build of GnuTLS compresses no certificates")
				}
				time.Sleep(time.Millisecond)
			}
			for _, name := range names {
				var n atomic.Int32
				d := &tlstfo.Dialer{TLSConfig: gnutlsConfig(t, cred), Hello: counted{utlshello.Fingerprint(fingerprints[name]), &n}}
				echoLine(t, d, addr)
				if n.Load() != 1 {
					t.Errorf("%s: %d certificates were compressed", name, n.Load())
				}
			}
			// All three, by a spec.
			spec, err := utls.UTLSIdToSpec(utls.HelloSafari_Auto)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range spec.Extensions {
				if c, ok := e.(*utls.UtlsCompressCertExtension); ok {
					c.Algorithms = []utls.CertCompressionAlgo{utls.CertCompressionZlib, utls.CertCompressionBrotli, utls.CertCompressionZstd}
				}
			}
			var n atomic.Int32
			echoLine(t, &tlstfo.Dialer{TLSConfig: gnutlsConfig(t, cred), Hello: counted{utlshello.Spec(&spec), &n}}, addr)
			if n.Load() != 1 {
				t.Errorf("all algorithms: %d certificates were compressed", n.Load())
			}
		})
	}
}

func gnutlsConfig(t *testing.T, cred *credentials) *tls.Config {
	t.Helper()
	config, err := profile{CA: cred.ca}.config()
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// echoLine dials and has a line echoed.
func echoLine(t *testing.T, d *tlstfo.Dialer, addr string) {
	t.Helper()
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, "line\n"); err != nil {
		t.Error(err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "line\n" {
		t.Errorf("%q, %v", got, err)
	}
}
