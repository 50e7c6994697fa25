// Command bogo is a shim that lets BoGo, the TLS test suite of BoringSSL,
// judge the engines of package handshake. BoGo's runner starts it once for each
// test, with flags that say what to do and what to expect; README.md tells how.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/tlstfo/tlstfo/handshake"
)

// The exit codes that the runner knows.
const (
	exitFailure       = 1
	exitUnimplemented = 89 // a flag that this shim does not have: the test is skipped
	exitWrong         = 90 // the shim's own judgement: fails a test that expects a failure too
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	sets, err := parseFlags(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		if errors.Is(err, errUnimplemented) {
			return exitUnimplemented
		}
		return exitWrong
	}
	if sets.initial.IsHandshakerSupported {
		fmt.Println("No") // the split handshake of BoringSSL's servers
		return 0
	}
	if err := connections(sets); err != nil {
		fmt.Fprintln(os.Stderr, strings.Join(tokens(err), " "), err)
		if errors.As(err, new(*wrongError)) {
			return exitWrong
		}
		return exitFailure
	}
	return 0
}

// connections makes the first connection and those that resume its sessions.
func connections(sets *optionSets) error {
	now := time.Now() // stands still but for -resumption-delay
	shared, err := newShared(sets, now)
	if err != nil {
		return err
	}
	var session *handshake.Session
	for i := range sets.initial.ResumeCount + 1 {
		c := &connection{sets: sets, shared: shared, resuming: i > 0, now: now, offered: session, selected: defaultCredential}
		if c.resuming && !sets.initial.Server && session == nil {
			return errors.New("no session to offer")
		}
		if err := c.run(); err != nil {
			return fmt.Errorf("connection %d: %w", i+1, err)
		}
		session = c.newest
		now = now.Add(time.Duration(c.options().ResumptionDelay) * time.Second)
	}
	return nil
}
