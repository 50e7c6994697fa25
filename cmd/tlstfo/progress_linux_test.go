package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

// openTerminal returns the two ends of a terminal.
func openTerminal(t *testing.T) (screen, tty *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		netlab.Missing(t, "a pseudo-terminal: "+err.Error())
	}
	t.Cleanup(func() { screen.Close() })
	fd := int(screen.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		netlab.Missing(t, "a pseudo-terminal: "+err.Error())
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		netlab.Missing(t, "a pseudo-terminal: "+err.Error())
	}
	t.Cleanup(func() { tty.Close() })
	return screen, tty
}

// TestGetProgress: who looks on at a terminal is told what takes so long, before the response and, where the body goes elsewhere, while it comes.
func TestGetProgress(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			io.WriteString(w, "some")
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
	}, nil)
	for path, want := range map[string]string{"/": "request 1 of 1: waiting for ", "/body": "request 1 of 1: receiving from "} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			screen, tty := openTerminal(t)
			cmd := tlstfoCommand(t, s.args("-timeout", "3s", "https://server.test"+path)...)
			cmd.Stdout, cmd.Stderr = new(bytes.Buffer), tty
			cmd.Run()
			tty.Close()
			shown, _ := io.ReadAll(screen) // EIO: nobody has the terminal any more
			if !strings.Contains(string(shown), want) || !strings.Contains(string(shown), "within 3s") {
				t.Errorf("shown was %q, want %q in it, and the error", shown, want)
			}
		})
	}
}
