//go:build linux

package netlab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestCommand(t *testing.T) {
	lab := Start(t, Config{})
	cmd := lab.Client.Command(t.Context(), "sh", "-c", "cat; pwd; echo $NETLAB_TEST; echo to fd 3 >&3; echo to stderr >&2; exit 3")
	cmd.Stdin = strings.NewReader("from stdin\n")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	r, w := pipe(t)
	cmd.ExtraFiles = []*os.File{w}
	cmd.Env = []string{"NETLAB_TEST=the environment", "PATH=" + os.Getenv("PATH")}
	cmd.Dir = "/"
	err := cmd.Run()
	w.Close()
	extra, _ := io.ReadAll(r)
	if got, want := stdout.String(), "from stdin\n/\nthe environment\n"; got != want {
		t.Errorf("stdout %q, want %q", got, want)
	}
	if stderr.String() != "to stderr\n" || string(extra) != "to fd 3\n" || cmd.ProcessState.ExitCode() != 3 {
		t.Errorf("%v, stderr %q, fd 3 %q", err, &stderr, extra)
	}
}

func TestHostsAreApart(t *testing.T) {
	lab := Start(t, Config{})
	seen := make(map[string]string)
	for name, h := range map[string]*Host{"client": lab.Client, "server": lab.Server} {
		out, err := h.Command(t.Context(), "readlink", "/proc/self/ns/net").Output()
		if err != nil {
			t.Fatal(err)
		}
		seen[string(out)] = name
	}
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	seen[own+"\n"] = "the test"
	if len(seen) != 3 {
		t.Errorf("client, server and test share network namespaces: %v", seen)
	}
}

func TestFailingCommands(t *testing.T) {
	lab := Start(t, Config{})
	if err := lab.Client.Command(t.Context(), "no-such-program-anywhere").Run(); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("unknown program: %v, want exec.ErrNotFound", err)
	}
	file := filepath.Join(t.TempDir(), "not-a-program")
	if err := os.WriteFile(file, []byte("\x00"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		cmd  *exec.Cmd
		code int
		text string
	}{
		{lab.Client.Command(t.Context(), file), 127, "exec format error"},
		{lab.Client.Func(t.Context(), "fail", "a", "b"), 1, `fail: failing with ["a" "b"]`},
		{lab.Client.Func(t.Context(), "no such function"), 127, "no function"},
	} {
		out, err := test.cmd.CombinedOutput()
		if test.cmd.ProcessState.ExitCode() != test.code || !strings.Contains(string(out), test.text) {
			t.Errorf("%v: %v, %q; want exit code %d and %q", test.cmd, err, out, test.code, test.text)
		}
	}
}

func TestSignals(t *testing.T) {
	lab := Start(t, Config{})
	cmd := lab.Client.Command(t.Context(), "sh", "-c", "trap 'echo caught; exit 7' TERM; echo ready; while :; do sleep 0.01; done")
	out := startReady(t, cmd)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(out)
	if err := cmd.Wait(); string(rest) != "caught\n" || cmd.ProcessState.ExitCode() != 7 {
		t.Errorf("after SIGTERM: %q, %v", rest, err)
	}
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		cmd := lab.Client.Command(t.Context(), "sh", "-c", fmt.Sprintf("kill -%d $$", signal))
		err := cmd.Run()
		if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != signal {
			t.Errorf("a program that dies of %v: %v", signal, err)
		}
	}
}

// Cancelling kills the program and its process group, and Wait returns only when the program is gone.
func TestCancel(t *testing.T) {
	lab := Start(t, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := lab.Server.Command(ctx, "sh", "-c", "trap '' TERM; sleep 300 & echo ready; wait")
	r, w := pipe(t)
	cmd.ExtraFiles = []*os.File{w} // open as long as one of them lives
	startReady(t, cmd)
	w.Close()
	cancel()
	err := cmd.Wait()
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGKILL {
		t.Errorf("Wait: %v, want a program killed", err)
	}
	mustEnd(t, r)
}

func TestKill(t *testing.T) {
	lab := Start(t, Config{})
	cmd := lab.Server.Command(t.Context(), "sleep", "300")
	r, w := pipe(t)
	cmd.ExtraFiles = []*os.File{w}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	mustEnd(t, r)
}

// What runs when the lab is closed ends, daemons included, and its commands' Waits return.
func TestClose(t *testing.T) {
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	for range 3 {
		lab := Start(t, Config{})
		cmd := lab.Server.Command(t.Context(), "sh", "-c", "setsid sleep 300 & echo ready; exec sleep 300")
		r, w := pipe(t)
		cmd.ExtraFiles = []*os.File{w}
		startReady(t, cmd)
		w.Close()
		if err := lab.Close(); err != nil {
			t.Fatal(err)
		}
		mustEnd(t, r)
		r.Close()
		if err := cmd.Wait(); err == nil {
			t.Error("the command of a closed lab succeeded")
		}
		if err := lab.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
		if _, err := lab.Packets(); !errors.Is(err, ErrClosed) {
			t.Errorf("Packets after Close: %v, want ErrClosed", err)
		}
		out, err := lab.Client.Command(t.Context(), "true").CombinedOutput()
		if err == nil || !strings.Contains(string(out), ErrClosed.Error()) {
			t.Errorf("Command after Close: %v, %q", err, out)
		}
	}
	eventually(t, "goroutines or files leak", func() bool {
		return runtime.NumGoroutine() <= goroutines && openFiles(t) <= files
	})
}

// When the owner of a lab dies without closing it, everything in the lab dies and the namespaces go.
func TestOwnerKilled(t *testing.T) {
	Start(t, Config{}).Close() // skips where there is no lab
	r, w := pipe(t)
	owner := &exec.Cmd{Path: selfExe, Args: []string{processName, roleFunc, "own"}, ExtraFiles: []*os.File{w}, Stderr: os.Stderr}
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	namespace := make([]byte, 100)
	n, err := out.Read(namespace)
	if err != nil {
		t.Fatal(err)
	}
	owner.Process.Kill()
	owner.Wait()
	mustEnd(t, r)
	name := strings.TrimSpace(string(namespace[:n]))
	eventually(t, name+" is still there", func() bool {
		threads, _ := filepath.Glob("/proc/[0-9]*/task/*/ns/net")
		for _, thread := range threads {
			if ns, _ := os.Readlink(thread); ns == name {
				return false
			}
		}
		return true
	})
}

// own makes a lab, starts a daemon that holds file 3 open, prints the name of its network namespace, and waits to be killed.
func own([]string) error {
	lab, err := New(Config{})
	if err != nil {
		return err
	}
	cmd := lab.Server.Command(context.Background(), "setsid", "sh", "-c", "readlink /proc/self/ns/net; exec sleep 300")
	cmd.Stdout, cmd.ExtraFiles = os.Stdout, []*os.File{os.NewFile(3, "pipe")}
	if err := cmd.Start(); err != nil {
		return err
	}
	select {}
}

// startReady starts a command that prints "ready" and returns the rest of its output.
func startReady(t *testing.T, cmd *exec.Cmd) io.Reader {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
		cmd.Wait()
		t.Fatalf("%v: %v: %s", cmd, err, &stderr)
	}
	return out
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Close()
		w.Close()
	})
	return r, w
}

// mustEnd waits until nobody holds the other end of a pipe open.
func mustEnd(t *testing.T, r *os.File) {
	t.Helper()
	if err := r.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("a process survived: %v", err)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// eventually waits, at most 10 s, for what the kernel or another process is about to do.
func eventually(t *testing.T, failure string, ok func() bool) {
	t.Helper()
	for range 1000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error(failure)
}
