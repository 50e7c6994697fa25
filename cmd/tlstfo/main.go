// Tlstfo makes TLS 1.3 connections in the fewest round trips, and says what
// they took.
//
//	tlstfo get https://example.com/
//	tlstfo probe example.com
//	tlstfo demo
//
// See tlstfo -h.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

// userAgent is what the User-Agent field says. It is short, since it rides in
// the SYN.
const userAgent = "tlstfo"

// command is a subcommand. Its run returns an error that was not shown yet:
// usageError for a wrong command line, errShown for what is on stderr already.
type command struct {
	name, summary string
	run           func(ctx context.Context, args []string, std streams) error
}

func commands() []command {
	return []command{
		{"get", "request a URL, in one round trip where that can be", get},
		{"probe", "tell how many round trips a server takes, and what stands in the way of one", probe},
		{"demo", "show what it saves, packet by packet: needs no network and no privileges", demo},
	}
}

// streams are the standard streams of the process.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// usageError is a command line that makes no sense.
type usageError string

func (e usageError) Error() string { return string(e) }

// errShown makes the process fail without another word.
var errShown = errors.New("the errors were shown")

const (
	exitFailure = 1
	exitUsage   = 2
)

func main() {
	netlab.Main(labProcesses()) // in a process of the demonstration's lab: does not return
	log.SetOutput(io.Discard)   // where net/http tells of servers that say too much
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	os.Exit(run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
}

// run runs the subcommand that args name, and returns the exit code.
func run(ctx context.Context, args []string, std streams) int {
	if len(args) == 0 {
		fmt.Fprint(std.err, help())
		return exitUsage
	}
	switch args[0] {
	case "-h", "-help", "--help", "help":
		fmt.Fprint(std.out, help())
		return 0
	}
	all := commands()
	i := slices.IndexFunc(all, func(c command) bool { return c.name == args[0] })
	if i < 0 {
		fmt.Fprintf(std.err, "tlstfo: there is no command %q: see tlstfo -h\n", args[0])
		return exitUsage
	}
	err := all[i].run(ctx, args[1:], std)
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(std.err, "tlstfo %s: %v: see tlstfo %s -h\n", all[i].name, err, all[i].name)
		return exitUsage
	case !errors.Is(err, errShown):
		show(std.err, err)
	}
	return exitFailure
}

// show prints an error in one line.
func show(w io.Writer, err error) {
	fmt.Fprintln(w, "tlstfo: "+message(err))
}

// message is an error's text without the name that the library's have in front.
func message(err error) string { return strings.TrimPrefix(err.Error(), "tlstfo: ") }

func help() string {
	var b strings.Builder
	b.WriteString("usage: tlstfo COMMAND [flags] ...\n\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %-8s %s\n", c.name, c.summary)
	}
	b.WriteString("\ntlstfo COMMAND -h lists the flags of a command, and says what its output means.\n" +
		"The exit code is 0 if all went well, 1 if not, 2 if the command line is wrong.\n")
	return b.String()
}
