//go:build !unix && !windows

package tlstfo

import (
	"errors"
	"fmt"
	"io/fs"
)

// checkPrivate refuses every folder: nothing is known here about who may open one.
func checkPrivate(fs.FileInfo) error {
	return fmt.Errorf("%w: its owner is unknown: %w", ErrSessionFolder, errors.ErrUnsupported)
}
