//go:build linux

package netlab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	os.Setenv("GORACE", "atexit_sleep_ms=0") // for child processes: the race detector need not wait a second at the end of each
	Main(Funcs{
		"echo":   echo,
		"dial":   dial,
		"own":    own,
		"try":    try,
		"forbid": forbid,
		"ping":   ping,
		"pong":   pong,
		"flood":  flood,
		"fail":   func(args []string) error { return fmt.Errorf("failing with %q", args) },
	})
	os.Exit(m.Run())
}

// echo sends back what it receives, once per connection, at the address args[0], with TCP Fast Open.
func echo(args []string) error {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		ctlErr := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_FASTOPEN, 16) })
		return errors.Join(ctlErr, err)
	}}
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(context.Background(), "tcp", args[0])
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		buf := make([]byte, 4096)
		n, err := c.Read(buf)
		if err == nil {
			c.Write(buf[:n])
		}
		c.Close()
	}
}

// dial sends args[1] to the address args[0] with TCP Fast Open and prints what comes back.
func dial(args []string) error {
	d := net.Dialer{Timeout: 5 * time.Second, Control: func(_, _ string, c syscall.RawConn) (err error) {
		ctlErr := c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_FASTOPEN_CONNECT, 1)
		})
		return errors.Join(ctlErr, err)
	}}
	c, err := d.Dial("tcp", args[0])
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := io.WriteString(c, args[1]); err != nil {
		return err
	}
	_, err = io.Copy(os.Stdout, c)
	return err
}

// startEcho runs the echo server until the test ends and returns when it listens.
func startEcho(t *testing.T, h *Host, addr string) {
	t.Helper()
	cmd := h.Func(t.Context(), "echo", addr)
	startReady(t, cmd)
	t.Cleanup(func() { cmd.Wait() }) // the context has ended it
}

func mustDial(t *testing.T, h *Host, addr, text string) {
	t.Helper()
	out, err := h.Func(t.Context(), "dial", addr, text).CombinedOutput()
	if err != nil || string(out) != text {
		t.Fatalf("dial %s: %v: got %q, want %q", addr, err, out, text)
	}
}

func mustPackets(t *testing.T, l *Lab) Packets {
	t.Helper()
	ps, err := l.Packets()
	if err != nil {
		t.Fatal(err)
	}
	return ps
}

func TestFastOpen(t *testing.T) {
	const rtt = 40 * time.Millisecond
	for _, version := range []int{4, 6} {
		t.Run(fmt.Sprintf("IPv%d", version), func(t *testing.T) {
			lab := Start(t, Config{RTT: rtt})
			ip := lab.Server.IPv4
			if version == 6 {
				ip = lab.Server.IPv6
			}
			if !ip.IsValid() {
				t.Skip("skipped: this kernel has no IPv6")
			}
			addr := net.JoinHostPort(ip.String(), "7000")
			startEcho(t, lab.Server, addr)
			for range 2 {
				mustDial(t, lab.Client, addr, "hello")
			}
			conns := mustPackets(t, lab).Conns()
			if len(conns) != 2 {
				t.Fatalf("%d connections, want 2", len(conns))
			}
			cold, warm := conns[0], conns[1]
			if syn, _ := cold.SYN(); !syn.TFO.Asks() || syn.Len != 0 || syn.IPVersion() != version {
				t.Errorf("first contact: SYN asks for a cookie: %v, %d bytes, IPv%d: %v", syn.TFO.Asks(), syn.Len, syn.IPVersion(), syn)
			}
			if syn, _ := warm.SYN(); !syn.TFO.HasCookie() || string(syn.Payload) != "hello" {
				t.Errorf("second contact: SYN with cookie: %v, payload %q", syn.TFO.HasCookie(), syn.Payload)
			}
			for i, c := range conns {
				want := 2 - i
				if n := c.Turns(nil); n != want {
					t.Errorf("contact %d took %d round trips, want %d", i+1, n, want)
				}
				if n := c.RoundTrips(rtt); n < float64(want) { // how much more is TestDelay's business
					t.Errorf("contact %d took %.2f round trips: packets were early", i+1, n)
				}
			}
			if sent := warm.BeforeResponse(); len(sent) != 1 {
				t.Errorf("second contact: %d packets with payload before the response, want the SYN alone:\n%v", len(sent), sent)
			}
			counters, err := lab.Client.Netstat()
			if err != nil {
				t.Fatal(err)
			}
			if n := counters["TcpExtTCPFastOpenActive"]; n != 1 {
				t.Errorf("TcpExtTCPFastOpenActive = %d, want 1", n)
			}
		})
	}
}

func TestSysctl(t *testing.T) {
	lab := Start(t, Config{})
	get := func(h *Host) string {
		t.Helper()
		out, err := h.Command(t.Context(), "cat", "/proc/sys/net/ipv4/tcp_fastopen").Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	if c, s := get(lab.Client), get(lab.Server); c != "1" || s != "3" {
		t.Errorf("tcp_fastopen is %s on the client, want 1, and %s on the server, want 3", c, s)
	}
	if err := lab.Client.Sysctl("net.ipv4.tcp_fastopen", "0"); err != nil {
		t.Fatal(err)
	}
	if c, s := get(lab.Client), get(lab.Server); c != "0" || s != "3" {
		t.Errorf("after a change on the client: %s there, %s on the server", c, s)
	}
	if err := lab.Client.Sysctl("net.ipv4.no_such_thing", "1"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("unknown sysctl: %v, want os.ErrNotExist", err)
	}
	for _, name := range []string{"kernel.hostname", "net/../kernel/hostname", "net...kernel", "", "net"} {
		if err := lab.Client.Sysctl(name, "x"); err == nil {
			t.Errorf("sysctl %q was set", name)
		}
	}
}

func TestForget(t *testing.T) {
	lab := Start(t, Config{})
	addr := net.JoinHostPort(lab.Server.IPv4.String(), "7000")
	startEcho(t, lab.Server, addr)
	mustDial(t, lab.Client, addr, "first")
	mustDial(t, lab.Client, addr, "second")
	err := lab.Client.Forget()
	if os.Geteuid() != 0 && errors.Is(err, os.ErrPermission) {
		return // as documented
	}
	if err != nil {
		t.Fatal(err)
	}
	mustDial(t, lab.Client, addr, "third")
	for i, c := range mustPackets(t, lab).Conns() {
		if syn, _ := c.SYN(); syn.TFO.HasCookie() != (i == 1) || syn.TFO.Kind != optTFO {
			t.Errorf("connection %d: %v", i+1, syn)
		}
	}
}

func TestFaults(t *testing.T) {
	lab := Start(t, Config{RTT: 10 * time.Millisecond})
	addr := net.JoinHostPort(lab.Server.IPv4.String(), "7000")
	startEcho(t, lab.Server, addr)
	mustDial(t, lab.Client, addr, "for a cookie")
	for _, name := range []string{DropSYNData, StripPayload} {
		if err := lab.SetFaults(Fault{Name: name, From: ClientSide, Times: 1}); err != nil {
			t.Fatal(err)
		}
		if err := lab.ResetLog(); err != nil {
			t.Fatal(err)
		}
		mustDial(t, lab.Client, addr, "through the fault")
		c := mustPackets(t, lab).Conns()[0]
		if syn, _ := c.SYN(); syn.Len == 0 || syn.Fault != name || syn.Fate == Delivered {
			t.Errorf("%s: the SYN: %v", name, syn)
		}
		if got := c.Packets[1]; name == StripPayload && (got.Len != 0 || got.Fault != name || got.Fate != Delivered) {
			t.Errorf("%s: the SYN that was delivered: %v", name, got)
		}
	}
	if err := lab.SetFaults(); err != nil {
		t.Fatal(err)
	}
	if err := lab.ResetLog(); err != nil {
		t.Fatal(err)
	}
	mustDial(t, lab.Client, addr, "no fault")
	if syn, _ := mustPackets(t, lab).Conns()[0].SYN(); syn.Fault != "" || syn.Fate != Delivered || syn.Len == 0 {
		t.Errorf("without faults: %v", syn)
	}
	if err := lab.SetFaults(Fault{Name: "nonsense"}); err == nil {
		t.Error("an unknown fault was accepted")
	}
}

func TestConfigErrors(t *testing.T) {
	for _, cfg := range []Config{{RTT: -1}, {MTU: 1279}, {MTU: 65536}, {MTU: -1}} {
		if lab, err := New(cfg); err == nil {
			lab.Close()
			t.Errorf("%+v: no error", cfg)
		}
	}
}
