package netlab

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// playRelay has a program run on a host and ends as it ends.
func playRelay(args []string) int {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH, cancelSignal)
	fds := inheritedFiles() // before this process opens files itself
	conn, err := handOver(args, fds)
	if err != nil {
		fmt.Fprintln(os.Stderr, "netlab:", err)
		return 125
	}
	if err := letGo(fds); err != nil {
		fmt.Fprintln(os.Stderr, "netlab:", err)
		return 125
	}
	go func() {
		out := json.NewEncoder(conn)
		for s := range signals {
			out.Encode(s)
		}
	}()
	result := runResult{Code: 128 + int(unix.SIGKILL), Signal: unix.SIGKILL} // unless told otherwise: killed with the lab
	json.NewDecoder(conn).Decode(&result)
	switch result.Signal {
	case unix.SIGKILL, unix.SIGTERM, unix.SIGINT, unix.SIGHUP: // the others' defaults are the Go runtime's here
		signal.Reset()
		unix.Kill(os.Getpid(), result.Signal)
		select {}
	}
	return result.Code
}

func handOver(args []string, fds []int) (*net.UnixConn, error) {
	if len(args) < 4 {
		return nil, fmt.Errorf("relay: %d arguments, want at least 4", len(args))
	}
	side, err := strconv.ParseUint(args[1], 10, 8)
	if err != nil {
		return nil, fmt.Errorf("relay: host: %w", err)
	}
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: args[0], Net: "unix"})
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil, errors.New(strings.TrimPrefix(ErrClosed.Error(), "netlab: "))
	}
	if err != nil {
		return nil, err
	}
	if err := sendFiles(conn, fds); err != nil {
		return nil, fmt.Errorf("hand over open files: %w", err)
	}
	req := runRequest{Side: Side(side), Path: args[2], Args: args[3:], Env: os.Environ(), Dir: dir}
	if err := json.NewEncoder(conn).Encode(req); err != nil {
		return nil, fmt.Errorf("hand over %s: %w", args[2], err)
	}
	return conn, nil
}

// inheritedFiles returns the standard streams and what ExtraFiles put behind them: numbers without a gap, none to be closed on
// exec, as those are that the Go runtime opens.
func inheritedFiles() []int {
	fds := []int{0, 1, 2}
	for fd := 3; ; fd++ {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC != 0 {
			return fds
		}
		fds = append(fds, fd)
	}
}

// letGo closes files that have been handed over: from here on they are the program's alone, and who waits for the end of a pipe
// waits for the program.
func letGo(fds []int) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	for _, fd := range fds {
		if fd > 2 {
			unix.Close(fd)
		} else if err := unix.Dup3(int(null.Fd()), fd, 0); err != nil {
			return os.NewSyscallError("dup3", err)
		}
	}
	return nil
}
