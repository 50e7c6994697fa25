package netlab

import (
	"errors"
	"os"
)

// RequireVariable names the environment variable that, set to 1, makes Start fail a test where it would skip it. A machine that
// is meant to run the lab's tests sets it, so that none goes missing unseen.
const RequireVariable = "TLSTFO_REQUIRE"

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
		if os.Getenv(RequireVariable) == "1" {
			t.Fatalf("%v (%s=1: this test must not be skipped)", err, RequireVariable)
		}
		t.Skipf("skipped: %v", err)
	case err != nil:
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			packets, err := lab.Packets()
			t.Logf("packet log (%v):\n%v", err, packets)
		}
		if err := lab.Close(); err != nil {
			t.Errorf("close the lab: %v", err)
		}
	})
	return lab
}
