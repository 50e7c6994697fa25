//go:build unix

package tlstfo

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// checkPrivate makes sure that a folder or file belongs to the user that this process runs as and is closed to everybody else.
// Where access lists are kept POSIX's way, the bits of the group are their mask, so this covers them.
func checkPrivate(fi fs.FileInfo) error {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%w: its owner is unknown", ErrSessionFolder)
	}
	if euid := os.Geteuid(); int(st.Uid) != euid {
		return fmt.Errorf("%w (user id %d, and this process runs as %d)", ErrSessionFolderOwner, st.Uid, euid)
	}
	if mode := fi.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%w (mode %04o: run chmod go= on it)", ErrSessionFolderMode, mode)
	}
	return nil
}
