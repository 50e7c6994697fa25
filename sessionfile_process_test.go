//go:build unix

package tlstfo

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sessionChildEnv makes the test binary, run again, a process beside the test: its value is the command, a space, the folder.
const sessionChildEnv = "TLSTFO_TEST_SESSION_CHILD"

// TestFileSessionsChild is not a test but that other process. Its answers are lines on stdout that begin with "child:".
func TestFileSessionsChild(t *testing.T) {
	command, dir, ok := strings.Cut(os.Getenv(sessionChildEnv), " ")
	if !ok {
		t.Skip("runs only as a child of another test")
	}
	f, err := OpenFileSessions(dir, &FileSessionsOptions{OnError: func(err error) { fmt.Println("child: reported", errorNames(err)) }})
	if err != nil {
		fmt.Println("child: refused", errorNames(err))
		return
	}
	fmt.Println("child: open")
	switch command {
	case "take": // one ticket for each line that comes in
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			fmt.Println("child: took", ticketOf(f.Take("key")))
		}
	case "read-only":
		f.Put("key", testSession(t, "1", f.clock.now()))
		if err := os.Chmod(dir, 0o500); err != nil {
			t.Fatal(err)
		}
		fmt.Println("child: took", ticketOf(f.Take("key")))
		f.Put("key", testSession(t, "2", f.clock.now()))
		fmt.Println("child: len", f.Len("key"))
	}
}

// errorNames says which of the errors that a test looks for err matches.
func errorNames(err error) string {
	var names []string
	for name, target := range map[string]error{"folder": ErrSessionFolder, "owner": ErrSessionFolderOwner, "permission": fs.ErrPermission} {
		if errors.Is(err, target) {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

// sessionChild is such a process; uid, if not negative, is the user it runs as.
func sessionChild(t *testing.T, command, dir string, uid int) (in io.WriteCloser, out *bufio.Scanner) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if uid >= 0 {
		exe = copyForAll(t, exe)
	}
	cmd := exec.Command(exe, "-test.run=^TestFileSessionsChild$", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), sessionChildEnv+"="+command+" "+dir, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	cmd.Dir = "/"
	if uid >= 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	if in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		stop := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
		defer stop.Stop()
		io.Copy(io.Discard, stdout)
		if err := cmd.Wait(); err != nil {
			t.Errorf("child: %v", err)
		}
	})
	return in, bufio.NewScanner(stdout)
}

// copyForAll copies the test binary, which lies in a folder closed to others, to where every user can run it.
func copyForAll(t *testing.T, exe string) string {
	t.Helper()
	dir := openToAll(t)
	b, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "tlstfo.test")
	if err := os.WriteFile(path, b, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// openToAll is a new folder whose parents every user may pass.
func openToAll(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tlstfo-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// answer is the child's next line.
func answer(t *testing.T, out *bufio.Scanner) string {
	t.Helper()
	for out.Scan() {
		if line, ok := strings.CutPrefix(out.Text(), "child: "); ok {
			return strings.TrimSpace(line)
		}
	}
	t.Fatalf("the child says no more (%v)", out.Err())
	return ""
}

// In each of a thousand rounds two processes reach for one ticket at once, and exactly one of them gets it.
func TestFileSessionsTwoProcesses(t *testing.T) {
	f, err := OpenFileSessions(filepath.Join(t.TempDir(), "sessions"), &FileSessionsOptions{OnError: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var in [2]io.WriteCloser
	var out [2]*bufio.Scanner
	for i := range in {
		in[i], out[i] = sessionChild(t, "take", f.root.Name(), -1)
		if got := answer(t, out[i]); got != "open" {
			t.Fatalf("child %d: %s", i, got)
		}
	}
	var won [2]int
	template := testSession(t, "", f.clock.now())
	for round := range 1000 {
		ticket := fmt.Sprint("ticket-", round)
		hs := *template.hs
		hs.Ticket = []byte(ticket)
		f.Put("key", newSession(&hs, f.clock.now()))
		for i := range in {
			if _, err := io.WriteString(in[(round+i)%2], "take\n"); err != nil {
				t.Fatal(err)
			}
		}
		winners := 0
		for i := range out {
			switch got := answer(t, out[i]); got {
			case "took " + ticket:
				winners++
				won[i]++
			case "took":
			default:
				t.Fatalf("round %d: child %d %s", round, i, got)
			}
		}
		if winners != 1 {
			t.Fatalf("round %d: %d processes took the ticket", round, winners)
		}
	}
	t.Logf("won: %d and %d", won[0], won[1])
	if f.Len("key") != 0 {
		t.Errorf("%d tickets are left", f.Len("key"))
	}
}

// needRoot skips where the test cannot start a process of another user.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can run a process as another user")
	}
}

const otherUser = 65534

func TestFileSessionsOtherUser(t *testing.T) {
	needRoot(t)
	for name, tt := range map[string]struct {
		owner int
		mode  fs.FileMode
		want  string
	}{
		"another user's, open to all": {0, 0o755, "refused folder owner"},
		"another user's, closed":      {0, 0o700, "refused folder permission"},
		"own, unreadable":             {otherUser, 0o300, "refused folder permission"},
		"own, without any right":      {otherUser, 0, "refused folder permission"},
		"own, not writable":           {otherUser, 0o500, "refused folder permission"},
		"own":                         {otherUser, 0o700, "open"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(openToAll(t), "sessions")
			if err := errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, tt.mode), os.Chown(dir, tt.owner, tt.owner)); err != nil {
				t.Fatal(err)
			}
			_, out := sessionChild(t, "open", dir, otherUser)
			got := strings.Fields(answer(t, out))
			for _, word := range strings.Fields(tt.want) {
				if !strings.Contains(strings.Join(got, " "), word) {
					t.Errorf("child: %q, want %q", got, tt.want)
				}
			}
		})
	}
}

// A ticket whose file cannot be removed is not taken: another process could take it as well.
func TestFileSessionsReadOnlyFolder(t *testing.T) {
	needRoot(t)
	dir := filepath.Join(openToAll(t), "sessions")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, otherUser, otherUser)); err != nil {
		t.Fatal(err)
	}
	_, out := sessionChild(t, "read-only", dir, otherUser)
	for _, want := range []string{"open", "reported permission", "took", "reported permission", "len 1"} {
		if got := answer(t, out); got != want {
			t.Errorf("child: %q, want %q", got, want)
		}
	}
}
