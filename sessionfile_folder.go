package tlstfo

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const (
	folderKeyName = "key"
	folderKeySize = 32
)

// openFolder opens a folder that belongs to this user alone, or makes it. What counts is checked on the open folder, and everything
// later goes through it, so it does not matter what becomes of the path meanwhile.
func openFolder(dir string) (*os.Root, error) {
	if dir == "" {
		return nil, errors.New("no path was given")
	}
	dir = filepath.Clean(dir) // no slash at the end: Lstat would follow a link in front of it
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	named, err := os.Lstat(dir)
	if err != nil {
		return nil, err
	}
	if !named.IsDir() {
		return nil, fmt.Errorf("%w (%v)", ErrSessionFolderType, named.Mode().Type())
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	if err := checkOpened(root, named); err != nil {
		_ = root.Close()
		return nil, err
	}
	return root, nil
}

// checkOpened makes sure that root is the folder that was named, not one that a symbolic link led to, and private.
func checkOpened(root *os.Root, named fs.FileInfo) error {
	d, err := root.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	fi, err := d.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(named, fi) {
		return fmt.Errorf("%w (it was exchanged just now)", ErrSessionFolderType)
	}
	return checkPrivate(fi)
}

// checkFolder makes sure that the open folder d is private.
func checkFolder(d *os.File) error {
	fi, err := d.Stat()
	if err != nil {
		return err
	}
	return checkPrivate(fi)
}

// folderKey returns the key of the folder, which the first process makes. Where two make one at once, one of them wins, and both
// use that.
func folderKey(root *os.Root, now stamp) ([]byte, error) {
	for range 3 { // the file may be removed between the two steps, but not for ever
		key, err := readKey(root)
		if !errors.Is(err, fs.ErrNotExist) {
			return key, err
		}
		key = make([]byte, folderKeySize)
		if _, err := rand.Read(key); err != nil {
			return nil, err
		}
		if err := writeWhole(root, folderKeyName, key, now, root.Link); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("its key file does not stay: %w", fs.ErrNotExist)
}

func readKey(root *os.Root) ([]byte, error) {
	fi, err := root.Lstat(folderKeyName)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() || fi.Size() != folderKeySize {
		return nil, ErrSessionFolderKey
	}
	if err := checkPrivate(fi); err != nil {
		return nil, fmt.Errorf("%s: %w", folderKeyName, err)
	}
	key, err := readRegular(root, folderKeyName, folderKeySize)
	if err == nil && len(key) != folderKeySize {
		err = ErrSessionFolderKey
	}
	return key, err
}

// readRegular reads a file of at most limit bytes. What is longer, or no regular file, matches ErrSessionCorrupt; it is not even
// opened, so a pipe does not block and a link is not followed.
func readRegular(root *os.Root, name string, limit int64) ([]byte, error) {
	fi, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() || fi.Size() > limit {
		return nil, fmt.Errorf("%w: %v, %d bytes", ErrSessionCorrupt, fi.Mode().Type(), fi.Size())
	}
	file, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var b bytes.Buffer
	b.Grow(int(fi.Size()) + 1)
	_, err = io.Copy(&b, io.LimitReader(file, limit))
	return b.Bytes(), err
}

// writeWhole gives the file name its contents in one step, so that nobody ever reads a part: they are written under a temporary
// name, which publish (Rename or Link) then makes the final one.
func writeWhole(root *os.Root, name string, contents []byte, now stamp, publish func(from, to string) error) (err error) {
	temp := tempName(now.wall)
	file, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(contents)
	if name == folderKeyName && err == nil {
		err = file.Sync() // a ticket that a power failure damages is dropped, but a key would be missed
	}
	err = errors.Join(err, file.Close())
	if err == nil {
		err = publish(temp, name)
	}
	if removed := root.Remove(temp); err == nil && !errors.Is(removed, fs.ErrNotExist) {
		err = removed
	}
	return err
}

const tempPrefix = "tmp."

// tempName is a name that no other process uses, and that says when it was given.
func tempName(now time.Time) string {
	return fmt.Sprintf("%s%s.%s", tempPrefix, hexMillis(now), rand.Text())
}

func parseTempName(name string) (written time.Time, ok bool) {
	if len(name) != len(tempPrefix)+hexMillisLen+1+len(rand.Text()) || name[:len(tempPrefix)] != tempPrefix {
		return time.Time{}, false
	}
	return parseHexMillis(name[len(tempPrefix):][:hexMillisLen])
}
