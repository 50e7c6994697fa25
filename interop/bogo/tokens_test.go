package main

import (
	"errors"
	"testing"

	"github.com/tlstfo/tlstfo/handshake"
)

// A test passes on any of the tokens that the shim prints, so they are few
// whatever went wrong.
func TestTokensAreFew(t *testing.T) {
	causes := []error{nil, errors.New("a cause")}
	for extension := range 64 {
		causes = append(causes, handshake.ExtensionError(extension))
	}
	for fault := range 256 {
		for state := range 20 {
			for _, cause := range causes {
				for _, info := range []string{"", "detail"} {
					err := &handshake.LocalError{Fault: handshake.Fault(fault), State: handshake.State(state), Err: cause, Info: info}
					if names := tokens(err); len(names) > 2 {
						t.Fatalf("%v: %v", err, names)
					}
				}
			}
		}
	}
}
