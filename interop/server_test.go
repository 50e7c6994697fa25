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
	soon, cancelSoon := context.WithTimeout(ctx, patience)
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
	case <-time.After(patience):
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
