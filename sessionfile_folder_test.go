//go:build unix && !aix && !solaris

package tlstfo

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// refused checks that the folder is refused for the given reason, and that nothing was put into it.
func refused(t *testing.T, dir string, reason error) {
	t.Helper()
	f, err := OpenFileSessions(dir, nil)
	var typed *SessionFileError
	if f != nil || !errors.Is(err, reason) || !errors.Is(err, ErrSessionFolder) || !errors.As(err, &typed) || typed.Op != "open" {
		t.Errorf("%s: store %v, error %v, want %v", dir, f, err, reason)
	}
	if typed != nil && (typed.Path != dir || dir != "" && !strings.Contains(err.Error(), dir)) {
		t.Errorf("the error does not name the folder: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, folderKeyName)); dir != "" && err == nil && !errors.Is(reason, ErrSessionFolderKey) {
		t.Errorf("%s was refused, but holds a key now", dir)
	}
}

func mkdir(t *testing.T, mode fs.FileMode) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "sessions")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, mode)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(dir, 0o700) })
	return dir
}

func TestFileSessionsMakeFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	f, err := OpenFileSessions(dir+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for path, want := range map[string]fs.FileMode{
		dir: fs.ModeDir | 0o700, filepath.Dir(dir): fs.ModeDir | 0o700, filepath.Join(dir, folderKeyName): 0o600,
	} {
		if fi, err := os.Stat(path); err != nil || fi.Mode() != want {
			t.Errorf("%s: mode %v, error %v, want %v", path, fi.Mode(), err, want)
		}
	}
	if files := folderFiles(t, f); len(files) != 1 {
		t.Errorf("a new folder holds %q", files)
	}
	f.Put("a", testSession(t, "1", f.clock.now()))
	for _, name := range ticketFiles(t, f) {
		if fi, err := os.Stat(filepath.Join(dir, name)); err != nil || fi.Mode() != 0o600 {
			t.Errorf("%s: mode %v, error %v", name, fi.Mode(), err)
		}
	}
}

func TestFileSessionsFolderMode(t *testing.T) {
	for _, mode := range []fs.FileMode{0o720, 0o702, 0o740, 0o704, 0o710, 0o701, 0o777, 0o777 | fs.ModeSticky} {
		refused(t, mkdir(t, mode), ErrSessionFolderMode)
	}
	f, err := OpenFileSessions(mkdir(t, 0o700), nil)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

// A folder that is opened to others while the store is in use serves no ticket and takes none.
func TestFileSessionsFolderModeChanges(t *testing.T) {
	now := at(0)
	f, errs := testFolder(t, FileSessionsOptions{}, &now)
	f.Put("a", testSession(t, "1", at(0)))
	if err := os.Chmod(f.root.Name(), 0o770); err != nil {
		t.Fatal(err)
	}
	if f.Take("a") != nil {
		t.Error("a ticket came out of a folder that is open to others")
	}
	errs.want(t, ErrSessionFolderMode)
	f.Put("a", testSession(t, "2", at(0)))
	errs.want(t, ErrSessionFolderMode)
	if files := ticketFiles(t, f); len(files) != 1 {
		t.Errorf("files %q, want the old one alone", files)
	}
}

func TestFileSessionsFolderOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		refused(t, "/usr", ErrSessionFolderOwner) // root's
		return
	}
	dir := mkdir(t, 0o700)
	if err := os.Chown(dir, 65534, -1); err != nil {
		t.Skip(err)
	}
	refused(t, dir, ErrSessionFolderOwner)
}

func TestFileSessionsFolderType(t *testing.T) {
	dir := mkdir(t, 0o700)
	link := filepath.Join(t.TempDir(), "link")
	file := filepath.Join(t.TempDir(), "file")
	if err := errors.Join(os.Symlink(dir, link), os.WriteFile(file, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	refused(t, link, ErrSessionFolderType)
	refused(t, link+"/", ErrSessionFolderType)
	refused(t, link+"/.", ErrSessionFolderType)
	refused(t, file, ErrSessionFolderType)
	refused(t, file+"/below", syscall.ENOTDIR)
	refused(t, "", ErrSessionFolder)
	if err := errors.Join(os.Remove(link), os.Symlink(filepath.Join(dir, "missing"), link)); err != nil {
		t.Fatal(err)
	}
	refused(t, link, ErrSessionFolderType)
}

// What was opened must be what was named, not what took its place in between.
func TestFileSessionsFolderExchanged(t *testing.T) {
	named, err := os.Lstat(mkdir(t, 0o700))
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(mkdir(t, 0o700))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := checkOpened(root, named); !errors.Is(err, ErrSessionFolderType) {
		t.Errorf("error %v, want ErrSessionFolderType", err)
	}
}

func TestFileSessionsKeyFile(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil  func(path string) error
		reason error
	}{
		"short":      {func(p string) error { return os.Truncate(p, 31) }, ErrSessionFolderKey},
		"long":       {func(p string) error { return os.Truncate(p, 33) }, ErrSessionFolderKey},
		"a link":     {func(p string) error { return errors.Join(os.Rename(p, p+"2"), os.Symlink("key2", p)) }, ErrSessionFolderKey},
		"a pipe":     {func(p string) error { return errors.Join(os.Remove(p), syscall.Mkfifo(p, 0o600)) }, ErrSessionFolderKey},
		"readable":   {func(p string) error { return os.Chmod(p, 0o640) }, ErrSessionFolderMode},
		"other user": {func(p string) error { return os.Chown(p, os.Geteuid()+1, -1) }, ErrSessionFolderOwner},
	} {
		t.Run(name, func(t *testing.T) {
			now := at(0)
			f, _ := testFolder(t, FileSessionsOptions{}, &now)
			if err := tt.spoil(filepath.Join(f.root.Name(), folderKeyName)); err != nil {
				t.Skip(err) // chown, without the right to it
			}
			_, err := OpenFileSessions(f.root.Name(), nil)
			if !errors.Is(err, tt.reason) || !errors.Is(err, ErrSessionFolder) {
				t.Errorf("error %v, want %v", err, tt.reason)
			}
			if err := os.Remove(filepath.Join(f.root.Name(), folderKeyName)); err != nil {
				t.Fatal(err)
			}
			again, _ := openTestFolder(t, f.root.Name(), FileSessionsOptions{}, &now)
			again.Put("a", testSession(t, "1", at(0)))
			if got := ticketOf(again.Take("a")); got != "1" {
				t.Errorf("with a new key Take gave %q", got)
			}
		})
	}
}

// Stores that open a new folder at once agree on one key.
func TestFileSessionsKeyRace(t *testing.T) {
	for range 20 {
		dir := filepath.Join(t.TempDir(), "sessions")
		stores := make([]*FileSessions, 8)
		var wg sync.WaitGroup
		for i := range stores {
			wg.Go(func() {
				f, err := OpenFileSessions(dir, nil)
				if err != nil {
					t.Error(err)
					return
				}
				stores[i] = f
			})
		}
		wg.Wait()
		if t.Failed() {
			return
		}
		for _, f := range stores {
			if f.seal.key("a") != stores[0].seal.key("a") {
				t.Error("two keys for one folder")
			}
		}
		if files := folderFiles(t, stores[0]); len(files) != 1 {
			t.Errorf("the folder holds %q, want the key alone", files)
		}
		for _, f := range stores {
			f.Close()
		}
	}
}

// A pipe in the place of a ticket does not block.
func TestFileSessionsPipe(t *testing.T) {
	now := at(0)
	f, errs := testFolder(t, FileSessionsOptions{}, &now)
	f.Put("a", testSession(t, "1", at(0)))
	path := filepath.Join(f.root.Name(), ticketFiles(t, f)[0])
	if err := errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)); err != nil {
		t.Skip(err)
	}
	done := make(chan *Session)
	go func() { done <- f.Take("a") }()
	select {
	case s := <-done:
		if s != nil {
			t.Error("a ticket came out of a pipe")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Take hangs")
	}
	errs.want(t, ErrSessionCorrupt)
}
