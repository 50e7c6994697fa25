//go:build !linux && !darwin && !freebsd

package tlstfo

import "time"

// bootID is "": no start of the machine is told from another here, so an age is trusted only within one process.
func bootID() string { return "" }

func bootTime() (time.Duration, bool) { return 0, false }
