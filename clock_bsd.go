//go:build darwin || freebsd

package tlstfo

import (
	"encoding/hex"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// bootID names this start of the machine, or is "" where the system does not say (FreeBSD before 14).
func bootID() string {
	if runtime.GOOS == "freebsd" {
		id, err := unix.SysctlRaw("kern.boot_id") // 16 random bytes
		if err != nil {
			return ""
		}
		return hex.EncodeToString(id)
	}
	id, err := unix.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return ""
	}
	return id
}

// bootTime is the time since the machine started. CLOCK_MONOTONIC counts sleep on macOS; where it does not, it disagrees
// with the wall clock after a sleep, and stamp.age does not trust it.
func bootTime() (time.Duration, bool) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0, false
	}
	return time.Duration(ts.Nano()), true
}
