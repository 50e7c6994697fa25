//go:build linux

package netlab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// try makes a lab, closes it, and says what happened.
func try([]string) error {
	lab, err := New(Config{})
	var forbidden *ForbiddenError
	switch {
	case err == nil:
		fmt.Println("works")
		return lab.Close()
	case errors.As(err, &forbidden):
		fmt.Println("forbidden:", err)
		return nil
	}
	return err
}

// forbid is try where no namespace may be made: by nobody's CAP_SYS_ADMIN, nor through a user namespace. It needs to be the
// first process of a user namespace, whose limit it sets.
func forbid([]string) error {
	if err := os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0); err != nil {
		return err
	}
	runtime.LockOSThread() // capabilities are a thread's, and the one that calls exec passes on its own
	if err := unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_SYS_ADMIN, 0, 0, 0); err != nil {
		return err
	}
	return syscall.Exec(selfExe, []string{processName, roleFunc, "try"}, os.Environ())
}

func TestForbidden(t *testing.T) {
	Start(t, Config{}) // skips where there are no user namespaces
	ids := func(id int) []syscall.SysProcIDMap {
		return []syscall.SysProcIDMap{{ContainerID: 0, HostID: id, Size: 1}}
	}
	cmd := &exec.Cmd{Path: selfExe, Args: []string{processName, roleFunc, "forbid"}, SysProcAttr: &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER, UidMappings: ids(os.Geteuid()), GidMappings: ids(os.Getegid()),
	}}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, os.ErrPermission) {
		Missing(t, "permission to create a user namespace: "+err.Error())
	}
	got := string(out)
	if err != nil || !strings.HasPrefix(got, "forbidden: netlab: no permission to create namespaces") ||
		!strings.Contains(got, "user.max_user_namespaces=0") || !strings.Contains(got, "run as root") {
		t.Errorf("%v: %s", err, got)
	}
}

// A binary that forgets to call Main must not start itself for ever.
func TestWithoutMain(t *testing.T) {
	args := os.Args
	defer func() { os.Args = args }()
	os.Args = []string{processName, roleLab}
	if lab, err := New(Config{}); err == nil {
		lab.Close()
		t.Error("a lab process made a lab")
	} else if !strings.Contains(err.Error(), "netlab.Main") {
		t.Error(err)
	}
}

// TestOrdinaryUser runs the tests that need a lab once more as a user without privileges.
func TestOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("already an ordinary user: the other tests have shown it")
		return
	}
	const nobody = 65534
	as := func(args ...string) *exec.Cmd {
		cmd := &exec.Cmd{Path: selfExe, Args: args, Dir: "/", SysProcAttr: &syscall.SysProcAttr{
			Credential: &syscall.Credential{Uid: nobody, Gid: nobody},
		}}
		cmd.Env = append(os.Environ(), RequireVariable+"=1")
		return cmd
	}
	out, err := as(processName, roleFunc, "try").CombinedOutput()
	if err != nil {
		t.Fatalf("a lab for user %d: %v: %s", nobody, err, out)
	}
	if reason, ok := strings.CutPrefix(string(out), "forbidden: "); ok {
		Missing(t, "user namespaces for ordinary users: "+reason)
	}
	const tests = "^(TestFastOpen|TestCommand|TestHostsAreApart|TestClose|TestCancel|TestOwnerKilled|TestForbidden|TestSysctl|TestForget|TestFaults)$"
	out, err = as("netlab.test", "-test.v", "-test.timeout=60s", "-test.run="+tests).CombinedOutput()
	if err != nil || strings.Count(string(out), "\n--- PASS") != strings.Count(tests, "|")+1 {
		t.Errorf("as user %d: %v:\n%s", nobody, err, out)
	}
}
