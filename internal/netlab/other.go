//go:build !linux

package netlab

import (
	"errors"
	"fmt"
	"os"
	"runtime"
)

func start(Config) (*Lab, error) {
	return nil, fmt.Errorf("netlab: network namespaces are Linux's; this is %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

func play(role string, args []string) int {
	fmt.Fprintf(os.Stderr, "netlab: no %s process on %s\n", role, runtime.GOOS)
	return 125
}
