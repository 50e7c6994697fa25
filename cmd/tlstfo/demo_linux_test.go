package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/internal/netlab"
	"golang.org/x/sys/unix"
)

// selfExe is the test binary for processes that may not enter its folder.
const selfExe = "/proc/self/exe"

// TestDemoInterrupt: Ctrl-C ends the demonstration and every process of its
// lab, at any moment, whether the terminal tells all of them or only it.
func TestDemoInterrupt(t *testing.T) {
	needLab(t)
	for _, group := range []bool{true, false} {
		for _, after := range []time.Duration{20 * time.Millisecond, 150 * time.Millisecond, time.Second} {
			t.Run(fmt.Sprintf("group=%v after %v", group, after), func(t *testing.T) {
				mark := fmt.Sprintf("TLSTFO_TEST_MARK=%d-%v-%v", os.Getpid(), group, after)
				cmd := tlstfoCommand(t, "demo", "-wire", "lab", "-rtt", "500ms")
				cmd.Env = append(cmd.Env, mark)
				cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
				var out, errOut bytes.Buffer
				cmd.Stdout, cmd.Stderr = &out, &errOut
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				waitFor(t, "the process", func() bool { return len(marked(t, mark)) > 0 })
				time.Sleep(after)
				target := cmd.Process.Pid
				if group {
					target = -target
				}
				unix.Kill(target, unix.SIGINT)
				cmd.Wait()
				began := after >= time.Second // before that a busy machine may not have got to main
				if began && (cmd.ProcessState.ExitCode() != exitFailure || !strings.Contains(errOut.String(), "interrupt")) {
					t.Errorf("exit code %d, stderr %q", cmd.ProcessState.ExitCode(), errOut.String())
				}
				if out.Len() > 0 || strings.Contains(errOut.String(), "netlab") {
					t.Errorf("stdout %q, stderr %q", out.String(), errOut.String())
				}
				waitFor(t, "the end of every process", func() bool { return len(marked(t, mark)) == 0 })
			})
		}
	}
}

// waitFor waits for what is to be so in a moment.
func waitFor(t *testing.T, what string, so func() bool) {
	t.Helper()
	for range 5000 {
		if so() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("waited in vain for %s", what)
}

// marked returns the processes that have a variable in their environment.
// Namespaces end with the last process in them.
func marked(t *testing.T, variable string) (pids []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if b, err := os.ReadFile(file); err == nil && bytes.Contains(b, []byte(variable)) {
			pids = append(pids, filepath.Base(filepath.Dir(file)))
		}
	}
	return pids
}

// TestDemoOrdinaryUser: without privileges the demonstration is the same.
func TestDemoOrdinaryUser(t *testing.T) {
	needLab(t)
	if os.Geteuid() != 0 {
		t.Log("already an ordinary user: the other tests have shown it")
		return
	}
	const nobody = 65534
	cmd := selfCommand(t, "demo", "-wire", "lab", "-rtt", "20ms")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), "no permission to create namespaces") {
		netlab.Missing(t, "user namespaces for ordinary users: "+string(out))
	}
	if err != nil || !strings.Contains(string(out), "1 round trip, ") {
		t.Errorf("as user %d: %v:\n%s", nobody, err, out)
	}
}

// selfCommand is tlstfoCommand for another user or in other namespaces.
func selfCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, selfExe, args...)
	cmd.Env = append(os.Environ(), asCommand+"=1", "GORACE=atexit_sleep_ms=0")
	return cmd
}

// forbidNamespaces makes the process one that may make no namespaces, neither
// with its own privileges nor through a user namespace, and starts the command
// in it. It needs to be the first process of a user namespace, whose limit it
// sets.
func forbidNamespaces() error {
	if err := os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0); err != nil {
		return err
	}
	runtime.LockOSThread() // capabilities are a thread's, and the one that calls exec passes on its own
	if err := unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_SYS_ADMIN, 0, 0, 0); err != nil {
		return err
	}
	os.Unsetenv(asForbidden)
	return syscall.Exec(selfExe, os.Args, append(os.Environ(), asCommand+"=1"))
}

// TestDemoForbidden: where namespaces are not allowed, the demonstration says
// so and runs over loopback; if it is to have its lab or a fault, it fails.
func TestDemoForbidden(t *testing.T) {
	needLab(t)
	forbidden := func(args ...string) (string, error) {
		cmd := selfCommand(t, args...)
		cmd.Env = append(os.Environ(), asForbidden+"=1", "GORACE=atexit_sleep_ms=0")
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
		}
		out, err := cmd.CombinedOutput()
		return strings.Join(strings.Fields(string(out)), " "), err
	}
	out, err := forbidden("demo", "-rtt", "10ms")
	if err != nil || !strings.Contains(out, "no permission to create namespaces") || !strings.Contains(out, "This is loopback") || !strings.Contains(out, "2 round trips") {
		t.Errorf("%v: %s", err, out)
	}
	for _, args := range [][]string{{"demo", "-wire", "lab"}, {"demo", "-fault", netlab.StripTFO}} {
		if out, err := forbidden(args...); err == nil || !strings.Contains(out, "no permission to create namespaces") {
			t.Errorf("%q: %v: %s", args, err, out)
		}
	}
}
