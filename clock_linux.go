package tlstfo

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// bootID names this start of the machine, or is "" where /proc is not to be had.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// bootTime is the time since the machine started, suspends included. A time namespace may shift it under an unchanged boot
// id; then it disagrees with the wall clock, and stamp.age does not trust it.
func bootTime() (time.Duration, bool) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0, false
	}
	return time.Duration(ts.Nano()), true
}
