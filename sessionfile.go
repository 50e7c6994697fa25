package tlstfo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	defaultSessionFiles = 1024
	leftoverAge         = time.Minute // a temporary file of this age belongs to a process that died
)

// The reasons for which a session folder is refused. Test for them with errors.Is; each matches ErrSessionFolder too.
var (
	// ErrSessionFolder says that a folder cannot keep sessions, or cannot keep them safely.
	ErrSessionFolder = errors.New("the session folder cannot be used")
	// ErrSessionFolderOwner says that the folder, or the key in it, belongs to another user.
	ErrSessionFolderOwner = fmt.Errorf("%w: it belongs to another user", ErrSessionFolder)
	// ErrSessionFolderMode says that other users may read or write the folder, or the key in it.
	ErrSessionFolderMode = fmt.Errorf("%w: it is open to other users", ErrSessionFolder)
	// ErrSessionFolderType says that the path leads to a symbolic link or to something that is no folder.
	ErrSessionFolderType = fmt.Errorf("%w: it is a symbolic link or no folder", ErrSessionFolder)
	// ErrSessionFolderKey says that the folder's key file is damaged. Once it is removed a new one is made; the sessions
	// that were sealed with the old one are lost.
	ErrSessionFolderKey = fmt.Errorf("%w: its key file is damaged, remove it", ErrSessionFolder)
)

// A SessionFileError tells what could not be done with the sessions in a folder. It wraps the cause: ErrSessionFolder and its
// kinds, ErrSessionCorrupt, or an error of the file system.
type SessionFileError struct {
	Op   string // "open", "put", "take" or "peek"
	Path string // the folder, or a file in it
	Err  error
}

// Error names what failed, where and why.
func (e *SessionFileError) Error() string {
	return fmt.Sprintf("tlstfo: %s sessions: %s: %v", e.Op, e.Path, e.Err)
}

// Unwrap returns the cause.
func (e *SessionFileError) Unwrap() error { return e.Err }

// FileSessionsOptions are the settings of [FileSessions]. The zero value is the default of each.
type FileSessionsOptions struct {
	// Key seals the sessions in place of a key that is made for the folder and kept in it. It is at least 32 bytes from a
	// random generator, not a password. With it, a copy of the folder is worth nothing to who lacks the key. A file system
	// without hard links needs it: no key can be put there in one step.
	Key []byte

	// MaxFiles is how many tickets the folder may hold, 1024 if not positive; the oldest make room for new ones.
	MaxFiles int

	// MaxPerKey is how many tickets are kept for one key, 8 if not positive.
	MaxPerKey int

	// OnError, if not nil, is told what went wrong with the sessions in the folder: a *[SessionFileError]. No dial ever
	// fails for it, it only lacks a ticket. It may be called by several goroutines at once.
	OnError func(error)

	clock func() stamp // what tests put in place of the system's clocks
}

// FileSessions is a [SessionCache] in a folder, for programs that run often and not for long. Any number of processes of one user
// may share the folder: a ticket is taken by one of them only.
//
// Whoever can read the folder can impersonate every server whose tickets are in it, to this user, for as long as the tickets
// live (7 days at most), and can read the early data that was sent with them. So the folder must belong to the user that the
// process runs as and be closed to everybody else (mode 0700). That is checked on the open folder, at the start and at each use.
// Names of hosts and certificates are not to be seen in the folder: file names are keyed hashes, contents are sealed. But the key
// lies in the folder too, unless [FileSessionsOptions].Key is given: the seal protects what is left on a disk without its key,
// not a folder that somebody can read.
//
// On Windows, Go does not tell who may open a folder, so it is on the caller to choose one beneath the user's profile, whose
// access list keeps others out. Systems with neither Unix owners nor Windows are refused.
type FileSessions struct {
	clock     clock
	root      *os.Root
	seal      *sessionSeal
	maxFiles  int
	maxPerKey int
	onError   func(error)
}

// OpenFileSessions opens a folder of sessions, or makes it, with mode 0700. A nil o is the same as a zero one. The errors are of type
// *[SessionFileError] and match [ErrSessionFolder].
func OpenFileSessions(dir string, o *FileSessionsOptions) (*FileSessions, error) {
	if o == nil {
		o = new(FileSessionsOptions)
	}
	f := &FileSessions{maxFiles: o.MaxFiles, maxPerKey: o.MaxPerKey, onError: o.OnError}
	f.clock.read = o.clock
	if f.maxFiles <= 0 {
		f.maxFiles = defaultSessionFiles
	}
	if f.maxPerKey <= 0 {
		f.maxPerKey = ticketsPerKey
	}
	if err := f.open(dir, o.Key); err != nil {
		if !errors.Is(err, ErrSessionFolder) {
			err = fmt.Errorf("%w: %w", ErrSessionFolder, err)
		}
		return nil, &SessionFileError{Op: "open", Path: dir, Err: err}
	}
	return f, nil
}

func (f *FileSessions) open(dir string, key []byte) (err error) {
	if f.root, err = openFolder(dir); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.root.Close()
		}
	}()
	if key == nil {
		key, err = folderKey(f.root, f.clock.now())
	} else if len(key) < folderKeySize {
		err = fmt.Errorf("the key that was given has %d bytes, fewer than %d", len(key), folderKeySize)
	}
	if err != nil {
		return err
	}
	if f.seal, err = newSessionSeal(key); err != nil {
		return err
	}
	_, err = f.sweep()
	return err
}

// Close lets go of the folder. Calls of Put and Take do nothing afterwards but report fs.ErrClosed.
func (f *FileSessions) Close() error {
	if f.root == nil {
		return nil
	}
	return f.root.Close()
}

// Put seals a ticket into a file of its own. The same ticket, put twice, is there once.
func (f *FileSessions) Put(key string, s *Session) {
	if s == nil || s.expired(f.clock.now()) {
		return
	}
	if err := f.put(key, s); err != nil {
		f.report("put", "", err)
	}
}

func (f *FileSessions) put(key string, s *Session) error {
	files, err := f.sweep()
	if err != nil {
		return err
	}
	name := f.seal.name(key, s)
	sealed, err := f.seal.close(name, s)
	if err != nil {
		return err
	}
	if err := writeWhole(f.root, name.String(), sealed, f.clock.now(), f.root.Rename); err != nil {
		return err
	}
	f.makeRoom(name, files)
	return nil
}

// makeRoom removes the oldest of files where they are too many beside added. It comes after the writing, so that a ticket that could
// not be written costs no other one.
func (f *FileSessions) makeRoom(added sessionName, files []sessionName) {
	newestFirst(files)
	all, ofKey := 1, 1
	for _, n := range files {
		switch {
		case n == added:
		case all >= f.maxFiles, n.key == added.key && ofKey >= f.maxPerKey:
			_ = f.root.Remove(n.String()) // another process may have been quicker
		default:
			all++
			if n.key == added.key {
				ofKey++
			}
		}
	}
}

// Take removes the newest ticket of key from the folder and returns it. Of all the processes that reach for a file, the one that
// unlinks it has it.
func (f *FileSessions) Take(key string) *Session { return f.newest("take", key, f.claim) }

// Peek returns the newest ticket of key and leaves it in the folder. It is not to be used: Take may give it to somebody else.
func (f *FileSessions) Peek(key string) *Session { return f.newest("peek", key, f.read) }

// newest returns the newest ticket of key that get gets.
func (f *FileSessions) newest(op, key string, get func(sessionName) (*Session, error)) *Session {
	files, err := f.ofKey(key)
	if err != nil {
		f.report(op, "", err)
		return nil
	}
	newestFirst(files)
	now := f.clock.now()
	for _, n := range files {
		s, err := get(n)
		if errors.Is(err, fs.ErrNotExist) {
			continue // another process took it
		}
		if err != nil {
			f.report(op, n.String(), err)
			continue
		}
		if !s.expired(now) {
			return s
		}
	}
	return nil
}

// read reads a ticket.
func (f *FileSessions) read(n sessionName) (*Session, error) {
	sealed, err := readRegular(f.root, n.String(), maxSealedSize)
	if err != nil {
		return nil, err
	}
	return f.seal.open(n, sealed)
}

// claim reads a ticket and then removes its file; only who removes it may use it. A file that is damaged is removed as well.
func (f *FileSessions) claim(n sessionName) (*Session, error) {
	sealed, unread := readRegular(f.root, n.String(), maxSealedSize)
	if unread != nil && !errors.Is(unread, ErrSessionCorrupt) {
		return nil, unread
	}
	if err := f.root.Remove(n.String()); err != nil {
		return nil, err
	}
	if unread != nil {
		return nil, unread
	}
	return f.seal.open(n, sealed)
}

// Len is the number of tickets at hand for key.
func (f *FileSessions) Len(key string) int {
	files, err := f.ofKey(key)
	if err != nil {
		return 0
	}
	now := f.clock.now()
	return len(slices.DeleteFunc(files, func(n sessionName) bool { return n.expired(now) }))
}

// ofKey returns the names of the tickets of key.
func (f *FileSessions) ofKey(key string) ([]sessionName, error) {
	files, err := f.list(nil)
	if err != nil {
		return nil, err
	}
	hash := f.seal.key(key)
	return slices.DeleteFunc(files, func(n sessionName) bool { return n.key != hash }), nil
}

// list returns the names of all tickets, having checked that the folder is still closed to other users. Names of other kinds go to
// other.
func (f *FileSessions) list(other func(name string)) ([]sessionName, error) {
	if f.root == nil {
		return nil, fmt.Errorf("%w: it was not opened by OpenFileSessions", ErrSessionFolder)
	}
	d, err := f.root.Open(".")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	if err := checkFolder(d); err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var files []sessionName
	for _, name := range names {
		if n, ok := parseSessionName(name); ok {
			files = append(files, n)
		} else if other != nil {
			other(name)
		}
	}
	return files, nil
}

// sweep removes the expired tickets and what processes that died left behind, and returns the names of the others. What it does
// not know it leaves alone.
func (f *FileSessions) sweep() ([]sessionName, error) {
	now := f.clock.now()
	files, err := f.list(func(name string) {
		if written, ok := parseTempName(name); ok && wallSince(written, now).Abs() > leftoverAge {
			_ = f.root.Remove(name)
		}
	})
	files = slices.DeleteFunc(files, func(n sessionName) bool {
		expired := n.expired(now)
		if expired {
			_ = f.root.Remove(n.String())
		}
		return expired
	})
	return files, err
}

func (f *FileSessions) report(op, file string, err error) {
	if f.onError == nil {
		return
	}
	path := "(no folder)"
	if f.root != nil {
		path = filepath.Join(f.root.Name(), file)
	}
	f.onError(&SessionFileError{Op: op, Path: path, Err: err})
}
