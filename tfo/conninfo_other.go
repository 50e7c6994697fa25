//go:build !(linux || darwin)

package tfo

import (
	"errors"
	"fmt"
	"syscall"
)

func connInfo(syscall.Conn) (AcceptInfo, error) {
	return AcceptInfo{}, fmt.Errorf("tfo: SYN data of an accepted connection: %w", errors.ErrUnsupported)
}
