package netlab

import (
	"fmt"
	"os"
	"syscall"
)

// Funcs are the functions that Host.Func can call, by name. Each runs in a process of its own, on a host, with the arguments
// that the caller gave.
type Funcs map[string]func(args []string) error

// Main must be the first call of a binary that uses a lab, in main or TestMain. In a process that the lab has started it
// plays that process's part and does not return; in any other it returns at once.
func Main(funcs Funcs) {
	if len(os.Args) < 2 || os.Args[0] != processName {
		return
	}
	role, args := os.Args[1], os.Args[2:]
	if role == roleFunc {
		os.Exit(call(funcs, args))
	}
	syscall.Exit(play(role, args)) // os.Exit would wait a second under the race detector
}

func call(funcs Funcs, args []string) int {
	if len(args) == 0 || funcs[args[0]] == nil {
		fmt.Fprintf(os.Stderr, "netlab: Main was given no function for %q\n", args)
		return 127
	}
	name := args[0]
	os.Args = args // what the function's process is called, should it print a usage text
	if err := funcs[name](args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return 1
	}
	return 0
}
