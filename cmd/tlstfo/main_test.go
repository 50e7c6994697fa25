package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

// The test binary is the command, if this variable is set.
const asCommand = "TLSTFO_TEST_COMMAND"

// The same, where namespaces are forbidden.
const asForbidden = "TLSTFO_TEST_FORBIDDEN"

func TestMain(m *testing.M) {
	if os.Getenv(asForbidden) != "" {
		fmt.Fprintln(os.Stderr, forbidNamespaces())
		os.Exit(1)
	}
	if os.Getenv(asCommand) != "" {
		main()
	}
	netlab.Main(nil)
	os.Exit(m.Run())
}

// result is what a run of the command came to.
type result struct {
	code     int
	out, err string
}

// tlstfoCommand prepares a run of the command, which is killed when it takes
// longer than a test should.
func tlstfoCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), asCommand+"=1", "GORACE=atexit_sleep_ms=0")
	return cmd
}

// runCommand runs the command in a process of its own.
func runCommand(t *testing.T, args ...string) result {
	t.Helper()
	cmd := tlstfoCommand(t, args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

// mustRun is runCommand for what has to work.
func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	r := runCommand(t, args...)
	if r.code != 0 || r.err != "" {
		t.Fatalf("tlstfo %q: exit code %d, stderr %q", args, r.code, r.err)
	}
	return r.out
}

// mustFail is runCommand for what has to fail with a message that has all of
// the words in it.
func mustFail(t *testing.T, code int, words []string, args ...string) {
	t.Helper()
	r := runCommand(t, args...)
	if r.code != code || r.out != "" || strings.Count(r.err, "\n") != 1 || !strings.HasPrefix(r.err, "tlstfo") {
		t.Errorf("tlstfo %q: exit code %d, stdout %q, stderr %q; want exit code %d and one line", args, r.code, r.out, r.err, code)
	}
	for _, word := range words {
		if !strings.Contains(r.err, word) {
			t.Errorf("tlstfo %q: stderr %q lacks %q", args, r.err, word)
		}
	}
}

// authority issues the certificates of a test.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	file        string // PEM
}

const testName = "server.test"

func newAuthority(t *testing.T) *authority {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, file: filepath.Join(t.TempDir(), "ca.pem")}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	writePEM(t, a.file, "CERTIFICATE", der)
	return a
}

// issue makes a certificate for testName and the loopback addresses, and for
// clients.
func (a *authority) issue(t *testing.T) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: testName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{testName}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := pem.Encode(f, &pem.Block{Type: kind, Bytes: der}); err != nil {
		t.Fatal(err)
	}
}

// server is net/http over crypto/tls: it resumes sessions and has no early
// data.
type server struct {
	*authority
	*httptest.Server
	addr string
}

func newServer(t *testing.T, handler http.HandlerFunc, change func(*authority, *httptest.Server)) *server {
	t.Helper()
	s := &server{authority: newAuthority(t), Server: httptest.NewUnstartedServer(handler)}
	s.TLS = &tls.Config{Certificates: []tls.Certificate{s.issue(t)}}
	s.Config.ErrorLog = discardLog()
	if change != nil {
		change(s.authority, s.Server)
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	s.addr = s.Listener.Addr().String()
	return s
}

// args are the arguments of a get from the server, by its name.
func (s *server) args(more ...string) []string {
	return append([]string{"get", "-cacert", s.file, "-connect", s.addr}, more...)
}
