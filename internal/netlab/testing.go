package netlab

import (
	"errors"
	"os"
)

// RequireVariable names the environment variable that, set to 1, makes Start and Missing fail a test where they would skip it. A machine that
// is meant to run the lab's tests sets it, so that none goes missing unseen.
const RequireVariable = "TLSTFO_REQUIRE"

// Missing skips a test for the lack of something that it names, or fails it if TLSTFO_REQUIRE is 1.
func Missing(t TB, what string) {
	t.Helper()
	if os.Getenv(RequireVariable) == "1" {
		t.Fatalf("missing: %s (and %s=1: no test may be skipped)", what, RequireVariable)
	}
	t.Skipf("skipped, missing: %s", what)
}

// mostPrinted is how many packets Start prints of a failed test.
const mostPrinted = 500

// TB is what Start needs of a *testing.T or *testing.B.
type TB interface {
	Helper()
	Cleanup(func())
	Failed() bool
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// Start returns a new lab that is closed when the test ends; of a failed test the packet log is printed. Where this machine
// cannot have a lab, the test is skipped, or fails if TLSTFO_REQUIRE is 1.
func Start(t TB, cfg Config) *Lab {
	t.Helper()
	lab, err := New(cfg)
	var forbidden *ForbiddenError
	switch {
	case errors.As(err, &forbidden) || errors.Is(err, errors.ErrUnsupported):
		Missing(t, err.Error())
	case err != nil:
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			packets, err := lab.Packets()
			t.Logf("packet log, the last of %d (%v):\n%v", len(packets), err, packets[max(0, len(packets)-mostPrinted):])
		}
		if err := lab.Close(); err != nil {
			t.Errorf("close the lab: %v", err)
		}
	})
	return lab
}
