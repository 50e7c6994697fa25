package interop

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	utls "github.com/refraction-networking/utls"

	"github.com/tlstfo/tlstfo"
	"github.com/tlstfo/tlstfo/handshake"
	"github.com/tlstfo/tlstfo/handshake/utlshello"
)

// startLocal runs a server on loopback, until the test ends, and returns its address.
func startLocal(t *testing.T, program string, args func(port string, cred *credentials) []string) (addr string, cred *credentials) {
	t.Helper()
	addr, cred, _ = startLocalPrinting(t, program, args)
	return addr, cred
}

// startLocalPrinting is startLocal, with what the server prints.
func startLocalPrinting(t *testing.T, program string, args func(port string, cred *credentials) []string) (addr string, cred *credentials, printed *output) {
	t.Helper()
	cred = newCredentials(t)
	l, err := net.Listen("tcp", "127.0.0.1:0") // for a port that is free
	if err != nil {
		t.Fatal(err)
	}
	addr = l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(addr)
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, args(port, cred)...)
	printed = new(output)
	cmd.Stdout, cmd.Stderr = printed, printed
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	if _, err := cmd.StdinPipe(); err != nil { // its end would end some servers
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", program, printed.String())
		}
	})
	for range 500 {
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			return addr, cred, printed
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s does not listen", program)
	panic("unreachable")
}

// startOpenSSL runs s_server on loopback. It gives tickets that may be used for early data more than once.
func startOpenSSL(t *testing.T, args ...string) (addr string, cred *credentials, printed *output) {
	t.Helper()
	need(t, "openssl")
	return startLocalPrinting(t, "openssl", func(port string, cred *credentials) []string {
		return append([]string{"s_server", "-accept", port, "-cert", cred.cert, "-key", cred.key, "-early_data", "-no_anti_replay", "-quiet"}, args...)
	})
}

func localConfig(t *testing.T, cred *credentials) *tls.Config {
	t.Helper()
	config, err := profile{CA: cred.ca}.config()
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// visit dials, with early as early data, and hangs up when it has a ticket.
func visit(t *testing.T, d *tlstfo.Dialer, addr, early string) (info tlstfo.ConnInfo, state tls.ConnectionState, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stored := make(chan struct{}, 10)
	ctx = tlstfo.WithTrace(ctx, &tlstfo.Trace{TicketStored: func(tlstfo.TraceTicket) { stored <- struct{}{} }})
	var conn *tlstfo.Conn
	if early == "" {
		var c net.Conn
		if c, err = d.DialContext(ctx, "tcp", addr); err == nil {
			conn = c.(*tlstfo.Conn)
		}
	} else {
		conn, err = d.DialEarly(ctx, "tcp", addr, []byte(early))
	}
	if err != nil {
		return info, state, err
	}
	if err = conn.HandshakeContext(ctx); err == nil {
		go io.Copy(io.Discard, conn) // tickets are read like data
		select {
		case <-stored:
		case <-ctx.Done():
			t.Error("no ticket came")
		}
	}
	conn.Close()
	return conn.Info(), conn.ConnectionState(), err
}

// TestFingerprintModes: OpenSSL, which checks every share, takes presets and randomized hellos: at first, resumed, with early data, and
// after a HelloRetryRequest with and without a session.
func TestFingerprintModes(t *testing.T) {
	ids := randomizedIDs(t, 100)
	for _, id := range fingerprints {
		if id.Client != fingerprints["randomized"].Client {
			ids = append(ids, id)
		}
	}
	for _, group := range []tls.CurveID{0, tls.CurveP384} {
		var args []string
		if group != 0 {
			args = []string{"-groups", "P-384"}
		}
		addr, cred, _ := startOpenSSL(t, args...)
		for _, id := range ids {
			d := &tlstfo.Dialer{TLSConfig: localConfig(t, cred), Hello: utlshello.Fingerprint(id), NoFastOpen: true}
			name := id.Str()
			if id.Seed != nil {
				name += " " + string(rune('0'+id.Seed[0]))
			}
			for i, early := range []string{"", "", "early\n"} {
				info, state, err := visit(t, d, addr, early)
				if err != nil {
					t.Errorf("%s, group %v, visit %d: %v", name, group, i, err)
					break
				}
				if info.Resumed != (i > 0) || info.Redials != 0 || info.CryptoTLS != "" || group != 0 && (state.CurveID != group || !info.HelloRetryRequest && id.Seed == nil) {
					t.Errorf("%s, group %v, visit %d: %+v", name, group, i, info)
				}
				// HelloRetryRequest rejects early data (RFC 8446, section 4.2.10).
				if info.Early.Offered != (early != "") || info.Early.Accepted != (early != "" && !info.HelloRetryRequest) {
					t.Errorf("%s, group %v, visit %d: early data %+v", name, group, i, info.Early)
				}
			}
			d.Close()
		}
	}
}

// randomizedIDs returns those of n randomized ids that have TLS 1.3.
func randomizedIDs(t *testing.T, n uint32) (ids []utls.ClientHelloID) {
	t.Helper()
	for i := range n {
		id := utls.HelloRandomizedALPN
		if i%3 == 1 {
			id = utls.HelloRandomizedNoALPN
		}
		id.Seed = new(utls.PRNGSeed)
		binary.BigEndian.PutUint32(id.Seed[4:], i)
		spec, err := utls.UTLSIdToSpec(id)
		if err != nil {
			t.Fatal(err)
		}
		if spec.TLSVersMax == utls.VersionTLS13 {
			ids = append(ids, id)
		}
	}
	if len(ids) < int(n)/4 {
		t.Fatalf("only %d of %d have TLS 1.3", len(ids), n)
	}
	return ids
}

// unscoped has no SessionScope, so that sessions of other hellos are used under it.
type unscoped struct{ handshake.Builder }

// TestFingerprintSuiteOrder: these servers resume with another suite of the same hash where the hello prefers that, and accept the
// early data, which they must not (RFC 8446, section 4.2.10). So none is offered, and nothing is executed twice.
func TestFingerprintSuiteOrder(t *testing.T) {
	order := func(first ...uint16) handshake.Builder {
		spec, err := utls.UTLSIdToSpec(utls.HelloFirefox_Auto)
		if err != nil {
			t.Fatal(err)
		}
		rest := slices.DeleteFunc(slices.Clone(spec.CipherSuites), func(id uint16) bool { return id>>8 == 0x13 })
		spec.CipherSuites = slices.Concat(first, rest)
		return unscoped{utlshello.Spec(&spec)}
	}
	orders := []handshake.Builder{order(0x1301, 0x1302, 0x1303), order(0x1303, 0x1301, 0x1302), order(0x1302, 0x1301, 0x1303), order(0x1303, 0x1301)}
	t.Run("OpenSSL", func(t *testing.T) {
		addr, cred, printed := startOpenSSL(t)
		crossed(t, orders, addr, cred)
		for i := range orders {
			for j := range orders {
				if n := strings.Count(printed.String(), request(i, j)); n > 1 {
					t.Errorf("%q was received %d times", request(i, j), n)
				}
			}
		}
	})
	t.Run("GnuTLS", func(t *testing.T) {
		addr, cred := startGnuTLS(t, "--earlydata", "--maxearlydata", "16384")
		crossed(t, orders, addr, cred)
	})
}

func request(i, j int) string {
	return "from " + string(rune('a'+i)) + " to " + string(rune('a'+j)) + "\n"
}

// crossed uses sessions of each hello under each other.
func crossed(t *testing.T, orders []handshake.Builder, addr string, cred *credentials) {
	t.Helper()
	for i, from := range orders {
		for j, to := range orders {
			cache := tlstfo.NewSessionCache(0)
			d := &tlstfo.Dialer{TLSConfig: localConfig(t, cred), Hello: from, Sessions: cache, NoFastOpen: true}
			if _, _, err := visit(t, d, addr, ""); err != nil {
				t.Fatal(err)
			}
			d.Close()
			d = &tlstfo.Dialer{TLSConfig: localConfig(t, cred), Hello: to, Sessions: cache, NoFastOpen: true}
			info, _, err := visit(t, d, addr, request(i, j))
			if err != nil || info.Redials != 0 || i == j && !info.Early.Accepted {
				t.Errorf("%d to %d: %v, %+v", i, j, err, info)
			}
			d.Close()
		}
	}
}
