//go:build !linux

package tfo

import (
	"errors"
	"fmt"
	"syscall"
)

func enableFastOpen(rawConn, int) Reason { return ReasonUnsupported }

func connInfo(syscall.Conn) (AcceptInfo, error) {
	return AcceptInfo{}, fmt.Errorf("tfo: SYN data of an accepted connection: %w", errors.ErrUnsupported)
}
