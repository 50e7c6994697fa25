package main

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"

	"github.com/tlstfo/tlstfo/internal/testpeer"
	"github.com/tlstfo/tlstfo/tfo"
)

// The servers run in a child process, which is this program again. It gets its
// credentials on standard input, answers with its addresses on standard
// output, and ends when standard input does.

const serverVariable = "TLSTFO_BENCH_SERVER"

// serverName is what the certificate is for.
const serverName = "bench.test"

func isServer() bool { return os.Getenv(serverVariable) != "" }

// servers is the parent's view of the child process.
type servers struct {
	std, peer string // addresses of crypto/tls and of internal/testpeer
	roots     *x509.CertPool
	small     []byte // a request with a small body, for a small answer
	stop      func()

	mu    sync.Mutex
	suite uint16 // what all connections have; 0: none yet
}

type credentials struct{ Certificate, Key []byte }
type addresses struct{ Std, Peer string }

func startServers() (*servers, error) {
	authority, err := testpeer.NewAuthority()
	if err != nil {
		return nil, err
	}
	cert, err := authority.Issue(serverName)
	if err != nil {
		return nil, err
	}
	key, err := cert.PrivateKey.(*ecdsa.PrivateKey).Bytes()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), serverVariable+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop := func() { in.Close(); cmd.Wait() }
	var at addresses
	err = json.NewEncoder(in).Encode(credentials{cert.Certificate[0], key})
	if err == nil {
		err = json.NewDecoder(out).Decode(&at)
	}
	if err != nil {
		stop()
		return nil, fmt.Errorf("the server process: %w", err)
	}
	return &servers{std: at.Std, peer: at.Peer, roots: authority.Pool(), stop: stop,
		small: append(request(smallBody, smallAnswer), make([]byte, smallBody)...)}, nil
}

// serve is the child process.
func serve() {
	if err := serveUntilEOF(); err != nil {
		fmt.Fprintln(os.Stderr, "bench server:", err)
		os.Exit(1)
	}
}

func serveUntilEOF() error {
	var c credentials
	in := json.NewDecoder(os.Stdin)
	if err := in.Decode(&c); err != nil {
		return err
	}
	leaf, err := x509.ParseCertificate(c.Certificate)
	if err != nil {
		return err
	}
	curve := leaf.PublicKey.(*ecdsa.PublicKey).Curve
	key, err := ecdsa.ParseRawPrivateKey(curve, c.Key)
	if err != nil {
		return err
	}
	cert := tls.Certificate{Certificate: [][]byte{c.Certificate}, PrivateKey: key, Leaf: leaf}

	var at addresses
	std, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		return err
	}
	at.Std = std.Addr().String()
	go func() {
		for {
			conn, err := std.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				answer(conn)
			}()
		}
	}()
	peer, err := testpeer.New(cert)
	if err != nil {
		return err
	}
	listener, err := tfo.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	at.Peer = listener.Addr().String()
	go peer.Serve(listener, func(c *testpeer.ServerConn) { answer(c) }, nil)

	if err := json.NewEncoder(os.Stdout).Encode(at); err != nil {
		return err
	}
	io.Copy(io.Discard, os.Stdin)
	return nil
}

// A request is the length of the body that follows and the length of the
// answer that is wanted, in four bytes each.
func request(body, answer int) []byte {
	head := binary.BigEndian.AppendUint32(nil, uint32(body))
	return binary.BigEndian.AppendUint32(head, uint32(answer))
}

// answer answers requests until the client goes.
func answer(conn net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		if _, err := io.ReadFull(conn, buf[:8]); err != nil {
			return
		}
		body, wanted := int(binary.BigEndian.Uint32(buf)), int(binary.BigEndian.Uint32(buf[4:]))
		for body > 0 {
			n, err := conn.Read(buf[:min(body, len(buf))])
			if err != nil {
				return
			}
			body -= n
		}
		for wanted > 0 {
			n, err := conn.Write(buf[:min(wanted, len(buf))])
			if err != nil {
				return
			}
			wanted -= n
		}
	}
}
