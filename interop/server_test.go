package interop

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

// port is where every server listens, in the lab.
const port = "443"

// server is a program that serves in the lab.
type server struct {
	t      *testing.T
	cmd    *exec.Cmd
	kill   func()
	output output
	ended  chan struct{}
}

// output collects what a program prints.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// serve starts a server, which command makes, and returns when it listens. It is stopped at the end of the test, or before by stop.
func serve(t *testing.T, lab *netlab.Lab, command func(context.Context) *exec.Cmd) *server {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background()) // outlives t.Context, so that the server can end by itself
	cmd := command(ctx)
	s := &server{t: t, cmd: cmd, kill: cancel, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &s.output, &s.output
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatalf("start %v: %v", cmd.Args, err)
	}
	go func() {
		defer close(s.ended)
		cmd.Wait()
	}()
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			t.Logf("the server said:\n%s", s.output.String())
		}
	})
	soon, cancelSoon := context.WithTimeout(ctx, 10*time.Second)
	defer cancelSoon()
	if out, err := lab.Server.Func(soon, "listening", port).CombinedOutput(); err != nil {
		t.Fatalf("the server does not listen: %v\n%s%s", err, out, s.output.String())
	}
	return s
}

// stop asks the server to end, and waits until it has.
func (s *server) stop() {
	s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(5 * time.Second):
		s.t.Errorf("the server did not end")
	}
	s.kill()
	<-s.ended
}

// listeningMain waits until something on this host listens on a port. It looks instead of connecting: no server sees it.
func listeningMain(args []string) error {
	number, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	for range 1000 {
		listens, err := listening(number)
		if listens || err != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("nothing listens on port %d", number)
}

func listening(number int) (bool, error) {
	const listen = "0A" // the state, as the kernel prints it
	for _, name := range []string{"/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"} {
		f, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) && strings.HasSuffix(name, "6") {
			continue // no IPv6
		}
		if err != nil {
			return false, err
		}
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			fields := strings.Fields(lines.Text())
			if len(fields) > 3 && fields[3] == listen && strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", number)) {
				return true, nil
			}
		}
	}
	return false, nil
}

// delivered is a request as the server's application saw it.
type delivered struct {
	Early    string `json:"early"`    // "1" if it came as early data
	Request  string `json:"request"`  // the request line
	Length   int    `json:"length"`   // bytes of the request
	Body     string `json:"body"`     // its body
	Reused   string `json:"reused"`   // "r" if the session was resumed
	Protocol string `json:"protocol"` // "TLSv1.3"
}

// checkDelivered compares what the application saw with what was sent: every request exactly once, every byte of it.
func checkDelivered(t *testing.T, log []delivered, sent []*answer) {
	t.Helper()
	for _, a := range sent {
		line := a.order.Method + " " + a.order.Path + " HTTP/1.1"
		of := slices.DeleteFunc(slices.Clone(log), func(d delivered) bool { return d.Request != line })
		if len(of) != 1 {
			t.Errorf("%s: %q reached the application %d times, want once: %+v", a.order.Way, line, len(of), of)
			continue
		}
		d, early := of[0], "0"
		if a.Early.Accepted {
			early = "1"
		}
		if d.Body != a.order.Body || a.order.Way != netHTTP && d.Length != len(a.order.request()) {
			t.Errorf("%s: the application got %d bytes with the body %q, want %d with %q", line, d.Length, d.Body, len(a.order.request()), a.order.Body)
		}
		if cmpEarly(d.Early) != early {
			t.Errorf("%s: early data according to the server %q, to the client %q", line, d.Early, early)
		}
		if a.order.Method != "GET" && cmpEarly(d.Early) != "0" {
			t.Errorf("%s was early", line)
		}
	}
	if len(log) != len(sent) {
		t.Errorf("the application saw %d requests, %d were made: %+v", len(log), len(sent), log)
	}
}

// cmpEarly maps what servers write for "no" to "0".
func cmpEarly(s string) string {
	if s == "" || s == "-" {
		return "0"
	}
	return s
}
