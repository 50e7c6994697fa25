package netlab

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

func mac(s Side) net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0, 0, byte(s)} }

const hostLink = "eth0" // the name of a host's interface; the wire's ends are called after the hosts

// A netns is a network namespace, held by one thread that never leaves it. What do runs, and the processes that it starts,
// are inside.
type netns struct {
	tid   int
	calls chan func()
}

// newNetns makes a network namespace. Its thread lasts as long as the process.
func newNetns() (*netns, error) {
	ns := &netns{calls: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: a thread of another namespace must not return to the pool
		ns.tid = unix.Gettid()
		err := unix.Unshare(unix.CLONE_NEWNET)
		ready <- os.NewSyscallError("unshare CLONE_NEWNET", err)
		if err != nil {
			return
		}
		for call := range ns.calls {
			call()
		}
	}()
	return ns, <-ready
}

func (ns *netns) do(call func() error) error {
	done := make(chan error, 1)
	ns.calls <- func() { done <- call() }
	return <-done
}

// buildNetwork makes two hosts and, in the calling process's namespace, the wire's ends.
func buildNetwork(cfg Config) (hosts [2]*netns, ports [2]int, err error) {
	// The wire's ends must not talk themselves.
	if err = quietIPv6("default"); err != nil {
		return
	}
	for i := range hosts {
		if hosts[i], err = newNetns(); err != nil {
			return
		}
		if ports[i], err = connectHost(Side(i+1), hosts[i], cfg.MTU); err != nil {
			return hosts, ports, fmt.Errorf("%v host: %w", Side(i+1), err)
		}
	}
	return
}

func connectHost(side Side, ns *netns, mtu int) (port int, err error) {
	wire := side.String()
	n, err := openNetlink(unix.NETLINK_ROUTE)
	if err != nil {
		return -1, err
	}
	defer n.close()
	if err := ns.do(prepareHost); err != nil {
		return -1, err
	}
	if err := n.addVeth(wire, hostLink, mac(side), ns.tid, mtu); err != nil {
		return -1, err
	}
	if err := offloadsOff(wire); err != nil {
		return -1, err
	}
	link, err := net.InterfaceByName(wire)
	if err != nil {
		return -1, err
	}
	if err := n.up(link.Index); err != nil {
		return -1, err
	}
	if port, err = openPort(wire); err != nil {
		return -1, err
	}
	return port, ns.do(func() error { return configureHost(side) })
}

// prepareHost sets what must hold before a host has interfaces.
func prepareHost() error {
	if !haveIPv6() {
		return nil
	}
	for _, conf := range []string{"all", "default", "lo"} {
		if err := writeSysctl("net.ipv6.conf."+conf+".disable_ipv6", "0"); err != nil {
			return err
		}
	}
	// No link-local address, hence no router solicitations: the wire carries only what the test sends.
	return writeSysctl("net.ipv6.conf.default.addr_gen_mode", "1")
}

func configureHost(side Side) error {
	n, err := openNetlink(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer n.close()
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		return err
	}
	eth, err := net.InterfaceByName(hostLink)
	if err != nil {
		return err
	}
	if err := offloadsOff(hostLink); err != nil {
		return err
	}
	for _, link := range []*net.Interface{lo, eth} {
		if err := n.up(link.Index); err != nil {
			return err
		}
	}
	prefixes := []func(Side) netip.Prefix{ipv4}
	if haveIPv6() {
		prefixes = append(prefixes, ipv6)
	}
	for _, prefix := range prefixes {
		if err := n.addAddr(eth.Index, prefix(side)); err != nil {
			return err
		}
		if err := n.addNeighbour(eth.Index, prefix(side.other()).Addr(), mac(side.other())); err != nil {
			return err
		}
	}
	return writeSysctl("net.ipv4.tcp_fastopen", map[Side]string{ClientSide: "1", ServerSide: "3"}[side])
}

func haveIPv6() bool {
	_, err := os.Stat("/proc/sys/net/ipv6")
	return err == nil
}

func quietIPv6(conf string) error {
	err := writeSysctl("net.ipv6.conf."+conf+".disable_ipv6", "1")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// writeSysctl sets a sysctl of the calling thread's network namespace. /proc/sys/net shows that of whoever looks.
func writeSysctl(name, value string) error {
	path := strings.ReplaceAll(name, ".", "/")
	if !strings.HasPrefix(path, "net/") || strings.Contains(path, "//") || strings.Contains(path, "/../") {
		return fmt.Errorf("sysctl %s: only net.* belongs to a host", name)
	}
	if err := os.WriteFile("/proc/sys/"+path, []byte(value), 0); err != nil {
		return fmt.Errorf("sysctl %s=%s: %w", name, value, err)
	}
	return nil
}
