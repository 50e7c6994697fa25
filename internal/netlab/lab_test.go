//go:build linux

package netlab

import (
	"bytes"
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
	Main(Funcs{
		"echo": echo,
		"dial": dial,
		"fail": func(args []string) error { return fmt.Errorf("failing with %q", args) },
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
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make([]byte, 6)
	if _, err := io.ReadFull(out, ready); err != nil {
		cmd.Wait()
		t.Fatalf("server: %v: %s", err, &stderr)
	}
	t.Cleanup(func() {
		cmd.Wait()
	})
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
			if n := cold.RoundTrips(rtt); n < 2 || n > 2.5 {
				t.Errorf("first contact took %.2f round trips, want 2", n)
			}
			if n := warm.RoundTrips(rtt); n < 1 || n > 1.5 {
				t.Errorf("second contact took %.2f round trips, want 1", n)
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

func TestCommand(t *testing.T) {
	lab := Start(t, Config{})
	cmd := lab.Client.Command(t.Context(), "sh", "-c", "cat; echo to stderr >&2; exit 3")
	cmd.Stdin = strings.NewReader("from stdin")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if cmd.ProcessState.ExitCode() != 3 || stdout.String() != "from stdin" || stderr.String() != "to stderr\n" {
		t.Errorf("got %v, stdout %q, stderr %q", err, &stdout, &stderr)
	}
}
