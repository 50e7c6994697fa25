package netlab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// A relay connects to the lab process, hands over its open files (one byte with them as ancillary data) and a runRequest. From
// then on it sends the numbers of signals for the program, and gets a runResult when the program has ended. When it hangs up
// before, the program is killed.

type runRequest struct {
	Side Side
	Path string
	Args []string
	Env  []string
	Dir  string
}

type runResult struct {
	Code   int            // exit status
	Signal syscall.Signal // what killed it, or 0
}

// maxFiles is how many files one message can carry (SCM_MAX_FD of the kernel).
const maxFiles = 253

func (l *process) serveRelays(relays net.Listener) {
	for {
		conn, err := relays.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, "netlab: relays:", err)
			os.Exit(1)
		}
		uc := conn.(*net.UnixConn)
		if !ownUser(uc) {
			uc.Close()
			continue
		}
		go l.serveRelay(uc)
	}
}

func (l *process) serveRelay(conn *net.UnixConn) {
	defer conn.Close()
	files, err := receiveFiles(conn)
	if err != nil {
		fmt.Fprintln(os.Stderr, "netlab: a relay:", err)
		return
	}
	in := json.NewDecoder(conn)
	cmd, err := l.launch(in, files)
	if err != nil {
		fmt.Fprintln(files[2], "netlab:", err)
	}
	for _, f := range files {
		f.Close()
	}
	result := runResult{Code: 127}
	if err == nil {
		ended := make(chan struct{})
		go passSignals(in, cmd.Process, ended)
		result = wait(cmd)
		close(ended)
	}
	json.NewEncoder(conn).Encode(result)
}

func (l *process) launch(in *json.Decoder, files []*os.File) (*exec.Cmd, error) {
	var req runRequest
	if err := in.Decode(&req); err != nil {
		return nil, err
	}
	host, err := l.host(req.Side)
	if err != nil {
		return nil, err
	}
	cmd := &exec.Cmd{
		Path: req.Path, Args: req.Args, Env: req.Env, Dir: req.Dir,
		Stdin: files[0], Stdout: files[1], Stderr: files[2], ExtraFiles: files[3:],
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
	}
	return cmd, host.do(cmd.Start)
}

// passSignals gives the program the signals that its relay got. When the relay hangs up before the program has ended, or asks for
// it, the program's process group is killed. What a program leaves behind when it ends by itself may be a daemon that is about to
// leave the group, and is let live.
func passSignals(in *json.Decoder, program *os.Process, ended <-chan struct{}) {
	for {
		var signal syscall.Signal
		err := in.Decode(&signal)
		select {
		case <-ended:
			return
		default:
		}
		if err != nil || signal == cancelSignal {
			unix.Kill(-program.Pid, unix.SIGKILL)
			return
		}
		program.Signal(signal)
	}
}

func wait(cmd *exec.Cmd) runResult {
	err := cmd.Wait()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return runResult{}
	case !errors.As(err, &exit):
		return runResult{Code: 126}
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return runResult{Code: 128 + int(status.Signal()), Signal: status.Signal()}
	}
	return runResult{Code: exit.ExitCode()}
}

// sendFiles hands over open files. receiveFiles returns at least three.
func sendFiles(conn *net.UnixConn, fds []int) error {
	if len(fds) > maxFiles {
		return fmt.Errorf("%d open files, at most %d can be passed on", len(fds), maxFiles)
	}
	_, _, err := conn.WriteMsgUnix([]byte{0}, unix.UnixRights(fds...), nil)
	return err
}

func receiveFiles(conn *net.UnixConn) ([]*os.File, error) {
	oob := make([]byte, unix.CmsgSpace(4*maxFiles))
	n, oobn, _, _, err := conn.ReadMsgUnix(make([]byte, 1), oob)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			return nil, err
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), fmt.Sprintf("fd %d of a program", len(files))))
		}
	}
	if len(files) < 3 {
		return nil, fmt.Errorf("%d open files, want at least 3", len(files))
	}
	return files, nil
}
