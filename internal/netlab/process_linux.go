package netlab

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// play is the part of Main that depends on the system.
func play(role string, args []string) int {
	switch role {
	case roleLab:
		return playLab()
	case roleRelay:
		return playRelay(args)
	}
	fmt.Fprintf(os.Stderr, "netlab: no process role %q\n", role)
	return 125
}

// A process is the lab process: it holds the hosts, starts what runs on them, and is the wire. It is the first process of a PID
// namespace, so that all others in the lab end with it.
type process struct {
	hosts [2]*netns
	wire  *wire
}

// playLab serves the owner until it hangs up.
func playLab() int {
	file := os.NewFile(controlFD, "netlab control")
	conn, err := net.FileConn(file)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	file.Close()
	lab := new(process)
	in, out := json.NewDecoder(conn), json.NewEncoder(conn)
	for {
		var req request
		if in.Decode(&req) != nil {
			return 0 // the owner is gone
		}
		resp, err := lab.handle(req)
		if err != nil {
			resp.Err = err.Error()
			errors.As(err, &resp.Errno)
		}
		if out.Encode(resp) != nil {
			return 0
		}
	}
}

func (l *process) handle(req request) (response, error) {
	if req.Op == opStart {
		resp, err := l.start(req.Config)
		if err != nil {
			err = fmt.Errorf("netlab: %w", err)
		}
		return resp, err
	}
	if l.wire == nil {
		return response{}, errors.New("netlab: not started")
	}
	switch req.Op {
	case opRTT:
		l.wire.setDelay(req.RTT / 2)
		return response{}, nil
	case opFaults:
		return response{}, l.wire.setFaults(req.Faults)
	case opPackets:
		packets, lost := l.wire.snapshot()
		return response{Packets: packets, Lost: lost}, nil
	case opReset:
		l.wire.reset()
		return response{}, nil
	}
	host, err := l.host(req.Side)
	if err != nil {
		return response{}, err
	}
	switch req.Op {
	case opSysctl:
		return response{}, wrap(req.Side, host.do(func() error { return writeSysctl(req.Name, req.Value) }))
	case opForget:
		return response{}, wrap(req.Side, host.do(forgetMetrics))
	case opNetstat:
		text, err := host.counters()
		return response{Text: text}, wrap(req.Side, err)
	}
	return response{}, fmt.Errorf("netlab: no operation %q", req.Op)
}

func wrap(side Side, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("netlab: %v: %w", side, err)
}

func (l *process) host(side Side) (*netns, error) {
	if side != ClientSide && side != ServerSide {
		return nil, fmt.Errorf("netlab: no host %v", side)
	}
	return l.hosts[side-1], nil
}

func (l *process) start(cfg Config) (response, error) {
	if l.wire != nil {
		return response{}, errors.New("already started")
	}
	hosts, ports, err := buildNetwork(cfg)
	if err != nil {
		return response{}, err
	}
	file := os.NewFile(relayFD, "netlab relays")
	relays, err := net.FileListener(file)
	if err != nil {
		return response{}, err
	}
	file.Close()
	l.hosts, l.wire = hosts, newWire(cfg, ports)
	go l.serveRelays(relays)
	go func() {
		fmt.Fprintln(os.Stderr, l.wire.run()) // a lab without a wire is no lab
		os.Exit(1)
	}()
	return response{IPv6: haveIPv6()}, nil
}

// counters returns the host's kernel counters as the kernel writes them.
func (ns *netns) counters() (text string, err error) {
	err = ns.do(func() error {
		for _, name := range []string{"netstat", "snmp"} {
			b, err := os.ReadFile("/proc/thread-self/net/" + name)
			if err != nil {
				return err
			}
			text += string(b)
		}
		return nil
	})
	return text, err
}

// ownUser reports whether the other end of a unix socket belongs to this process's user.
func ownUser(conn syscall.Conn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	own := false
	err = raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		own = err == nil && int(cred.Uid) == os.Geteuid()
	})
	return err == nil && own
}
