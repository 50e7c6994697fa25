package tfogrpc

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/interop/grpc_testing"

	"github.com/tlstfo/tlstfo"
	"github.com/tlstfo/tlstfo/internal/netlab"
	"github.com/tlstfo/tlstfo/tfo"
)

// The processes of the lab: servers, and a client that makes connections on demand.

func TestMain(m *testing.M) {
	os.Setenv("GORACE", "atexit_sleep_ms=0") // for the child processes
	netlab.Main(netlab.Funcs{"client": clientMain, "std": stdMain, "early": earlyMain, "backend": backendMain, "listening": listeningMain})
	os.Exit(m.Run())
}

// files are a certificate for serverName, which the client trusts, and its key, in a folder.
type files string

func (f files) cert() string { return filepath.Join(string(f), "cert.pem") }
func (f files) key() string  { return filepath.Join(string(f), "key.pem") }

func newFiles(t *testing.T) files {
	t.Helper()
	f := files(t.TempDir())
	cert := issue(t, newAuthority(t), serverName)
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{
		f.cert(): {Type: "CERTIFICATE", Bytes: cert.Certificate[0]},
		f.key():  {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// stdMain is grpc-go's own server, with Fast Open.
func stdMain(args []string) error {
	f := files(args[0])
	creds, err := credentials.NewServerTLSFromFile(f.cert(), f.key())
	if err != nil {
		return err
	}
	return serveMain(creds, "tcp", ":443")
}

// earlyMain is grpc-go's server over a TLS that accepts early data, with Fast Open.
func earlyMain(args []string) error {
	f := files(args[0])
	cert, err := tls.LoadX509KeyPair(f.cert(), f.key())
	if err != nil {
		return err
	}
	creds, err := makeEarlyCreds(cert)
	if err != nil {
		return err
	}
	return serveMain(creds, "tcp", ":443")
}

// backendMain is a server behind a proxy that has done TLS.
func backendMain(args []string) error { return serveMain(nil, "unix", args[0]) }

// serveMain says when it listens, and serves until it is asked to end.
func serveMain(creds credentials.TransportCredentials, network, addr string) error {
	var l net.Listener
	var err error
	if network == "unix" {
		l, err = net.Listen(network, addr)
	} else {
		l, err = tfo.Listen(network, addr)
	}
	if err != nil {
		return err
	}
	var options []grpc.ServerOption
	if creds != nil {
		options = append(options, grpc.Creds(creds))
	}
	s := grpc.NewServer(options...)
	grpc_testing.RegisterTestServiceServer(s, service{})
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, s.Stop)
	os.Stdout.WriteString("listening\n")
	return s.Serve(l)
}

// serve starts a server on the server's host, and returns when it listens: when it says so.
func serve(t *testing.T, lab *netlab.Lab, name string, args ...string) {
	t.Helper()
	cmd, out := launch(t, lab.Server.Func(context.Background(), name, args...))
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("%v says %q, %v", cmd.Args, line, err)
	}
}

// launch starts a program, which ends with the test.
func launch(t *testing.T, cmd *exec.Cmd) (*exec.Cmd, io.Reader) {
	t.Helper()
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err := errors.Join(err, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(10*time.Second, func() { cmd.Process.Signal(syscall.SIGKILL) })
		defer kill.Stop()
		io.Copy(io.Discard, out)
		cmd.Wait()
	})
	return cmd, out
}

// A report is what became of one connection.
type report struct {
	Err      string
	Ready    time.Duration // from the start to READY, by the client's clock
	SynBytes int
	Resumed  bool

	Offered, Accepted  bool // early data
	EarlyBytes, Resent int
	Reason             string
}

// clientMain makes a connection for each line of its standard input, by this package or, for "std", by credentials.NewTLS. One
// call waits for READY.
func clientMain(args []string) error {
	f, addr := files(args[0]), args[1]
	pool := x509.NewCertPool()
	trusted, err := os.ReadFile(f.cert())
	if err != nil {
		return err
	}
	pool.AppendCertsFromPEM(trusted)
	config := &tls.Config{RootCAs: pool, ClientSessionCache: tls.NewLRUClientSessionCache(0)}
	d := &tlstfo.Dialer{TLSConfig: config}
	for _, without := range args[2:] {
		switch without {
		case "no fast open":
			d.NoFastOpen = true
		case "no tickets":
			config.SessionTicketsDisabled = true
		}
	}
	std := newSpy(credentials.NewTLS(config))
	out := json.NewEncoder(os.Stdout)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var r report
		if in.Text() == "std" {
			err = r.connect(std, addr, grpc.WithTransportCredentials(std), grpc.WithAuthority(serverName))
		} else {
			own := newSpy(NewCredentials(d))
			err = r.connect(own, addr, append(DialOptions(d), grpc.WithTransportCredentials(own), grpc.WithAuthority(serverName))...)
			err = errors.Join(err, d.Flush(context.Background()))
		}
		if err != nil {
			r.Err = err.Error()
		}
		if err := out.Encode(&r); err != nil {
			return err
		}
	}
	return nil
}

// responseSize is more than any record of a server's handshake has.
const responseSize = 3000

// connect makes a connection, and one call on it that waits for it.
func (r *report) connect(s *spy, addr string, options ...grpc.DialOption) error {
	cc, err := grpc.NewClient(addr, options...)
	if err != nil {
		return err
	}
	defer cc.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	start := time.Now()
	called := make(chan error, 1)
	go func() {
		_, err := grpc_testing.NewTestServiceClient(cc).UnaryCall(ctx, &grpc_testing.SimpleRequest{ResponseSize: responseSize}, grpc.WaitForReady(true))
		called <- err
	}()
	for state := cc.GetState(); state != connectivity.Ready && ctx.Err() == nil; state = cc.GetState() {
		cc.WaitForStateChange(ctx, state)
	}
	r.Ready = time.Since(start)
	err = <-called
	if info, ok := (<-s.infos).(credentials.TLSInfo); ok {
		r.Resumed = info.State.DidResume
	}
	select {
	case c := <-s.conns:
		info := c.Info()
		r.SynBytes, r.Reason = info.FastOpen.SynBytes, info.Early.Reason.String()
		r.Offered, r.Accepted, r.EarlyBytes, r.Resent = info.Early.Offered, info.Early.Accepted, info.Early.Bytes, info.Early.Resent
	default:
	}
	return err
}
