package netlab

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The lab process inherits these from its owner.
const (
	controlFD = 3 // one end of the socket pair that control.go describes
	relayFD   = 4 // a listening socket for relays
)

// start runs the binary once more, in new namespaces, as the lab process.
func start(cfg Config) (*Lab, error) {
	if os.Args[0] == processName { // this is a lab process that Main did not get hold of: do not start the next
		return nil, errors.New("netlab: the binary must call netlab.Main first thing in main or TestMain")
	}
	mine, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	// An abstract name needs no file. Any local user may find it; the lab process admits its own user only.
	socket := fmt.Sprintf("@tlstfo-netlab-%d-%s", os.Getpid(), rand.Text())
	listener, err := listenRelays(socket)
	if err != nil {
		mine.Close()
		return nil, err
	}
	defer listener.Close()

	process, stderr, err := spawn(theirs, listener)
	if err != nil {
		mine.Close()
		return nil, forbidden(err, unix.ENOSPC, unix.EUSERS, unix.ENOSYS, unix.EINVAL) // too many namespaces, or a kernel without them
	}
	lab := &Lab{cfg: cfg, ctl: newControl(mine), end: ender(process, stderr)}
	resp, err := lab.ctl.call(request{Op: opStart, Config: cfg})
	if err != nil {
		if endErr := lab.Close(); endErr != nil && errors.Is(err, ErrClosed) {
			err = endErr
		}
		return nil, forbidden(err, unix.EROFS) // /proc/sys, in some containers
	}
	lab.Client, lab.Server = newHost(ClientSide, lab.ctl, socket, resp.IPv6), newHost(ServerSide, lab.ctl, socket, resp.IPv6)
	return lab, nil
}

func newHost(side Side, ctl *control, socket string, with6 bool) *Host {
	h := &Host{side: side, ctl: ctl, socket: socket, IPv4: ipv4(side).Addr()}
	if with6 {
		h.IPv6 = ipv6(side).Addr()
	}
	return h
}

func socketPair() (mine net.Conn, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("netlab: %w", os.NewSyscallError("socketpair", err))
	}
	file := os.NewFile(uintptr(fds[0]), "netlab control")
	defer file.Close() // FileConn makes a copy
	theirs = os.NewFile(uintptr(fds[1]), "netlab control")
	if mine, err = net.FileConn(file); err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("netlab: %w", err)
	}
	return mine, theirs, nil
}

func listenRelays(socket string) (*os.File, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("netlab: %w", err)
	}
	defer l.Close()
	f, err := l.File()
	if err != nil {
		return nil, fmt.Errorf("netlab: %w", err)
	}
	return f, nil
}

// spawn starts the lab process: as root without a user namespace if that is allowed, else in one.
func spawn(files ...*os.File) (cmd *exec.Cmd, stderr *bytes.Buffer, err error) {
	const namespaces = unix.CLONE_NEWNET | unix.CLONE_NEWPID
	ids := func(id int) []syscall.SysProcIDMap {
		return []syscall.SysProcIDMap{{ContainerID: 0, HostID: id, Size: 1}}
	}
	attrs := []*syscall.SysProcAttr{
		{Cloneflags: namespaces},
		{Cloneflags: namespaces | unix.CLONE_NEWUSER, UidMappings: ids(os.Geteuid()), GidMappings: ids(os.Getegid())},
	}
	if os.Geteuid() != 0 {
		attrs = attrs[1:]
	}
	for _, attr := range attrs {
		stderr = new(bytes.Buffer)
		cmd = &exec.Cmd{Path: selfExe, Args: []string{processName, roleLab}, Stderr: stderr, ExtraFiles: files, SysProcAttr: attr}
		if err = cmd.Start(); err == nil {
			return cmd, stderr, nil
		}
	}
	return nil, nil, fmt.Errorf("netlab: start the lab process: %w", err)
}

// endTimeout bounds how long the lab process may take to end once its owner has hung up; then it is killed.
const endTimeout = 5 * time.Second

func ender(cmd *exec.Cmd, stderr *bytes.Buffer) func() error {
	var once sync.Once
	return func() (err error) {
		once.Do(func() {
			killer := time.AfterFunc(endTimeout, func() { cmd.Process.Kill() })
			defer killer.Stop()
			if err = cmd.Wait(); err != nil {
				err = fmt.Errorf("netlab: the lab process failed (%w): %s", err, bytes.TrimSpace(stderr.Bytes()))
			}
		})
		return err
	}
}

// forbidden turns a refusal by the system, EPERM, EACCES or one of those given, into a ForbiddenError that says what refuses.
func forbidden(err error, refusals ...syscall.Errno) error {
	refused := errors.Is(err, fs.ErrPermission)
	for _, errno := range refusals {
		refused = refused || errors.Is(err, errno)
	}
	if !refused {
		return err
	}
	return &ForbiddenError{Reason: whoForbids(), Err: err}
}

func whoForbids() string {
	var found []string
	for _, setting := range []string{
		"user.max_user_namespaces=0", "user.max_net_namespaces=0", "user.max_pid_namespaces=0",
		"kernel.unprivileged_userns_clone=0", "kernel.apparmor_restrict_unprivileged_userns=1",
	} {
		name, bad, _ := strings.Cut(setting, "=")
		value, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
		if err == nil && strings.TrimSpace(string(value)) == bad {
			found = append(found, setting)
		}
	}
	if len(found) > 0 {
		return "sysctl " + strings.Join(found, ", ") + " forbids it: change that, or run as root"
	}
	return "a container's or security module's policy, perhaps: run as root (with CAP_SYS_ADMIN), or where user namespaces are allowed"
}
