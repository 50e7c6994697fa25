//go:build !plan9

package tlstfo

import (
	"errors"
	"syscall"
)

// isReset tells whether the peer, or somebody who forges its packets, reset the connection.
func isReset(err error) bool { return errors.Is(err, syscall.ECONNRESET) }
