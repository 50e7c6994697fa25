package tlstfo

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// testFolder is a store in a new folder whose clock stands at now, and the errors that it reports.
func testFolder(t testing.TB, o FileSessionsOptions, now *stamp) (*FileSessions, *reportedErrors) {
	t.Helper()
	return openTestFolder(t, filepath.Join(t.TempDir(), "sessions"), o, now)
}

func openTestFolder(t testing.TB, dir string, o FileSessionsOptions, now *stamp) (*FileSessions, *reportedErrors) {
	t.Helper()
	var r reportedErrors
	o.OnError = r.add
	o.clock = func() stamp { return *now }
	f, err := OpenFileSessions(dir, &o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, &r
}

type reportedErrors struct {
	mu   sync.Mutex
	errs []error
}

func (r *reportedErrors) add(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errs = append(r.errs, err)
}

// want checks that exactly one error was reported, of our type and matching target, and forgets it. A nil target: none was.
func (r *reportedErrors) want(t *testing.T, target error) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var typed *SessionFileError
	switch {
	case target == nil && len(r.errs) == 0:
	case target != nil && len(r.errs) == 1 && errors.Is(r.errs[0], target) && errors.As(r.errs[0], &typed) && typed.Op != "" && typed.Path != "":
	default:
		t.Errorf("reported %v, want %v", r.errs, target)
	}
	r.errs = nil
}

// ticketFiles are the names of the sealed tickets in the folder.
func ticketFiles(t testing.TB, f *FileSessions) (names []string) {
	t.Helper()
	for _, name := range folderFiles(t, f) {
		if _, ok := parseSessionName(name); ok {
			names = append(names, name)
		}
	}
	return names
}

func folderFiles(t testing.TB, f *FileSessions) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(f.root.Name())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestFileSessionsSingleUse(t *testing.T) {
	now := at(0)
	f, errs := testFolder(t, FileSessionsOptions{}, &now)
	f.Put("a", testSession(t, "1", at(-2*time.Second)))
	f.Put("a", testSession(t, "3", at(0)))
	f.Put("a", testSession(t, "2", at(-time.Second)))
	f.Put("b", testSession(t, "b", at(0)))
	f.Put("a", nil)
	again, errs2 := openTestFolder(t, f.root.Name(), FileSessionsOptions{}, &now) // as the next process does
	if again.Len("a") != 3 || again.Len("b") != 1 || again.Len("c") != 0 {
		t.Fatalf("Len %d %d %d, want 3 1 0", again.Len("a"), again.Len("b"), again.Len("c"))
	}
	for i, want := range []string{"3", "2", "1", ""} {
		store := []*FileSessions{f, again}[i%2]
		before := ticketFiles(t, f)
		if got := ticketOf(store.Peek("a")); got != want {
			t.Errorf("Peek gave %q, want %q", got, want)
		}
		if after := ticketFiles(t, f); !slices.Equal(before, after) {
			t.Errorf("after Peek there is %q, before there was %q", after, before)
		}
		if got := ticketOf(store.Take("a")); got != want {
			t.Errorf("Take gave %q, want %q", got, want)
		}
	}
	s := again.Take("b")
	if age, trusted := s.age(at(time.Minute)); age != time.Minute || !trusted {
		t.Errorf("age %v trusted %v: the clocks did not come back", age, trusted)
	}
	again.Put("b", s) // back, and twice
	again.Put("b", s)
	if got := ticketOf(f.Take("b")); got != "b" || f.Take("b") != nil {
		t.Errorf("what was put back twice comes out as %q, or twice", got)
	}
	errs.want(t, nil)
	errs2.want(t, nil)
}

// Neither the host, nor its certificate, nor a secret can be found in a name or in the contents of a file.
func TestFileSessionsShowNothing(t *testing.T) {
	now := at(0)
	s := testSession(t, "ticket-not-to-be-seen", at(0))
	needles := map[string][]byte{"host": []byte(sessionTestHost), "secret": s.hs.Secret, "ticket": s.hs.Ticket, "ALPN": []byte("http/1.1")}
	der := s.hs.PeerCertificates[0].Raw
	for i := 0; i+16 <= len(der); i += 16 {
		needles[fmt.Sprintf("certificate at %d", i)] = der[i : i+16]
	}
	for _, key := range [][]byte{nil, bytes.Repeat([]byte{7}, 32)} {
		f, _ := testFolder(t, FileSessionsOptions{Key: key}, &now)
		s.hs.ALPN = "http/1.1"
		f.Put(sessionTestHost+":443/http/1.1", s)
		tickets := 0
		for _, name := range folderFiles(t, f) {
			contents, err := os.ReadFile(filepath.Join(f.root.Name(), name))
			if err != nil {
				t.Fatal(err)
			}
			tickets += len(contents) / len(der) // the certificate is in one of them, sealed
			for what, needle := range needles {
				for _, hay := range [][]byte{[]byte(name), contents} {
					lower := bytes.ToLower(hay)
					if bytes.Contains(hay, needle) || bytes.Contains(lower, []byte(hex.EncodeToString(needle))) {
						t.Errorf("%s found in file %s", what, name)
					}
				}
			}
		}
		if tickets == 0 {
			t.Error("no file can hold the certificate: nothing was tested")
		}
		if key != nil && len(folderFiles(t, f)) != 1 {
			t.Errorf("with the caller's key the folder holds %q, want the ticket alone", folderFiles(t, f))
		}
	}
}

func TestFileSessionsCallersKey(t *testing.T) {
	now := at(0)
	key, other := bytes.Repeat([]byte{7}, 32), bytes.Repeat([]byte{8}, 32)
	f, errs := testFolder(t, FileSessionsOptions{Key: key}, &now)
	f.Put("a", testSession(t, "1", at(0)))
	wrong, errs2 := openTestFolder(t, f.root.Name(), FileSessionsOptions{Key: other}, &now)
	if s := wrong.Take("a"); s != nil {
		t.Error("taken with another key")
	}
	right, _ := openTestFolder(t, f.root.Name(), FileSessionsOptions{Key: key}, &now)
	if got := ticketOf(right.Take("a")); got != "1" {
		t.Errorf("Take gave %q", got)
	}
	errs.want(t, nil)
	errs2.want(t, nil)
	if _, err := OpenFileSessions(f.root.Name(), &FileSessionsOptions{Key: key[:31]}); !errors.Is(err, ErrSessionFolder) {
		t.Errorf("a key of 31 bytes: error %v", err)
	}
}

// A damaged file costs its ticket and is reported; the next one serves.
func TestFileSessionsDamage(t *testing.T) {
	now := at(0)
	damage := func(change func(path string, b []byte)) func(string) {
		return func(path string) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			change(path, b)
		}
	}
	write := func(path string, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, spoil := range map[string]func(path string){
		"first byte":    damage(func(path string, b []byte) { b[0] ^= 1; write(path, b) }),
		"nonce":         damage(func(path string, b []byte) { b[1] ^= 1; write(path, b) }),
		"last byte":     damage(func(path string, b []byte) { b[len(b)-1] ^= 1; write(path, b) }),
		"cut by one":    damage(func(path string, b []byte) { write(path, b[:len(b)-1]) }),
		"cut to header": damage(func(path string, b []byte) { write(path, b[:25]) }),
		"empty":         damage(func(path string, b []byte) { write(path, nil) }),
		"too long":      damage(func(path string, b []byte) { write(path, append(b, make([]byte, maxSealedSize)...)) }),
		"symbolic link": func(path string) {
			if err := errors.Join(os.Rename(path, path+"-moved"), os.Symlink(path+"-moved", path)); err != nil {
				t.Skip(err)
			}
		},
		"folder": func(path string) {
			if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, errs := testFolder(t, FileSessionsOptions{}, &now)
			f.Put("a", testSession(t, "newer", at(0)))
			newer := ticketFiles(t, f)[0]
			f.Put("a", testSession(t, "older", at(-time.Second)))
			spoil(filepath.Join(f.root.Name(), newer))
			if got := ticketOf(f.Peek("a")); got != "older" {
				t.Errorf("Peek gave %q, want the one that is whole", got)
			}
			errs.want(t, ErrSessionCorrupt)
			if got := ticketOf(f.Take("a")); got != "older" {
				t.Errorf("Take gave %q, want the one that is whole", got)
			}
			errs.want(t, ErrSessionCorrupt)
			if left := ticketFiles(t, f); len(left) != 0 {
				t.Errorf("the damaged file stays: %q", left)
			}
			if f.Take("a") != nil {
				t.Error("something is left to take")
			}
			errs.want(t, nil)
		})
	}
}

// The name of a file is sealed with it: nobody can pass a ticket off as another host's, or as one that lives on.
func TestFileSessionsNameIsBound(t *testing.T) {
	now := at(0)
	f, errs := testFolder(t, FileSessionsOptions{}, &now)
	f.Put("a", testSession(t, "1", at(0)))
	n, _ := parseSessionName(ticketFiles(t, f)[0])
	moved := n
	moved.key = f.seal.key("b")
	if err := f.root.Rename(n.String(), moved.String()); err != nil {
		t.Fatal(err)
	}
	if s := f.Take("b"); s != nil {
		t.Errorf("the ticket of another key was taken: %q", ticketOf(s))
	}
	errs.want(t, ErrSessionCorrupt)
}

func TestFileSessionsSweep(t *testing.T) {
	now := at(0)
	f, errs := testFolder(t, FileSessionsOptions{}, &now)
	f.Put("a", testSession(t, "1", at(0)))
	dir := f.root.Name()
	mine := filepath.Join(dir, "notes.txt")
	fresh, old := tempName(at(59*time.Minute+30*time.Second).wall), tempName(at(0).wall)
	for _, path := range []string{mine, filepath.Join(dir, fresh), filepath.Join(dir, old)} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	now = at(time.Hour)
	if f.Len("a") != 0 || f.Take("a") != nil {
		t.Error("an expired ticket is at hand")
	}
	f.Put("b", testSession(t, "expired", at(0)))
	f.Put("b", testSession(t, "b", at(time.Hour)))
	files := strings.Join(folderFiles(t, f), " ")
	if tickets := ticketFiles(t, f); len(tickets) != 1 || strings.Contains(files, old) ||
		!strings.Contains(files, fresh) || !strings.Contains(files, "notes.txt") {
		t.Errorf("swept: %s", files)
	}
	errs.want(t, nil)
}

func TestFileSessionsBounds(t *testing.T) {
	now := at(0)
	f, errs := testFolder(t, FileSessionsOptions{MaxFiles: 6, MaxPerKey: 3}, &now)
	put := func(key string, i int) {
		f.Put(key, testSession(t, fmt.Sprint(key, i), at(time.Duration(i)*time.Millisecond)))
	}
	for i := range 5 {
		put("a", i)
	}
	if f.Len("a") != 3 {
		t.Errorf("Len a %d, want 3", f.Len("a"))
	}
	for i := 10; i < 15; i++ {
		put("b", i)
	}
	if f.Len("a") != 3 || f.Len("b") != 3 {
		t.Errorf("Len a %d b %d, want 3 3", f.Len("a"), f.Len("b"))
	}
	put("c", 20)
	if f.Len("a") != 2 || f.Len("b") != 3 || f.Len("c") != 1 {
		t.Errorf("Len a %d b %d c %d, want 2 3 1", f.Len("a"), f.Len("b"), f.Len("c"))
	}
	if got := ticketOf(f.Take("a")); got != "a4" {
		t.Errorf("Take a gave %q, want the newest", got)
	}
	put("b", 14) // is there already: nothing has to go
	if f.Len("a") != 1 || f.Len("b") != 3 {
		t.Errorf("Len a %d b %d, want 1 3", f.Len("a"), f.Len("b"))
	}
	errs.want(t, nil)
}

func TestFileSessionsConcurrent(t *testing.T) {
	var errs reportedErrors
	f, err := OpenFileSessions(filepath.Join(t.TempDir(), "sessions"), &FileSessionsOptions{OnError: errs.add})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	takeEachOnce(t, f, 8, 4)
	errs.want(t, nil)
}

func TestFileSessionsClosed(t *testing.T) {
	now := at(0)
	f, errs := testFolder(t, FileSessionsOptions{}, &now)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f.Put("a", testSession(t, "1", at(0)))
	errs.want(t, fs.ErrClosed)
	if f.Take("a") != nil || f.Len("a") != 0 {
		t.Error("a closed store has tickets")
	}
	errs.want(t, fs.ErrClosed)
	if f.Peek("a") != nil {
		t.Error("a closed store shows a ticket")
	}
	errs.want(t, fs.ErrClosed)

	var zero FileSessions
	zero.onError = errs.add
	zero.Put("a", testSession(t, "1", zero.clock.now()))
	errs.want(t, ErrSessionFolder)
	if zero.Take("a") != nil || zero.Len("a") != 0 || zero.Close() != nil {
		t.Error("a store that was never opened has tickets")
	}
}

func FuzzSessionFile(f *testing.F) {
	seal, err := newSessionSeal(make([]byte, folderKeySize))
	if err != nil {
		f.Fatal(err)
	}
	s := testSession(f, "ticket", at(0))
	n := seal.name("key", s)
	sealed, err := seal.close(n, s)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(n.String(), sealed)
	f.Add(n.String(), sealed[:30])
	f.Add(tempName(testEpoch), []byte{})
	f.Fuzz(func(t *testing.T, name string, b []byte) {
		if written, ok := parseTempName(name); ok && hexMillis(written) != name[len(tempPrefix):][:hexMillisLen] {
			t.Fatalf("temporary name %q", name)
		}
		parsed, ok := parseSessionName(name)
		if !ok {
			return
		}
		if parsed.String() != name {
			t.Fatalf("name %q came back as %q", name, parsed)
		}
		parsed.expired(at(0))
		opened, err := seal.open(parsed, b)
		if err == nil && (parsed != n || ticketOf(opened) != ticketOf(s)) {
			t.Fatalf("%v opened under the name %v", opened, parsed)
		}
		if err != nil && !errors.Is(err, ErrSessionCorrupt) {
			t.Fatal(err)
		}
	})
}
