package netlab

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Config says what the network is like. The zero value is a network without delay.
type Config struct {
	// RTT is the round-trip time of the wire: each packet takes half of it, counted from its arrival at the wire.
	RTT time.Duration

	// MTU of both hosts' interfaces in bytes; 0 means 1500. IPv6 needs at least 1280.
	MTU int

	// PayloadBytes is how much of each packet's TCP payload the packet log keeps; 0 means 64, negative nothing.
	PayloadBytes int

	// MaxPackets bounds the packet log; 0 means 100,000. What comes later is counted, not kept.
	MaxPackets int
}

func (c Config) withDefaults() Config {
	if c.MTU == 0 {
		c.MTU = 1500
	}
	if c.PayloadBytes == 0 {
		c.PayloadBytes = 64
	}
	if c.MaxPackets <= 0 {
		c.MaxPackets = 100_000
	}
	return c
}

func (c Config) check() error {
	if c.RTT < 0 {
		return fmt.Errorf("netlab: negative RTT %v", c.RTT)
	}
	if c.MTU < 1280 || c.MTU > 65535 {
		return fmt.Errorf("netlab: MTU %d is outside 1280..65535", c.MTU)
	}
	return nil
}

// Side is one end of the wire.
type Side uint8

// The two ends of the wire.
const (
	ClientSide Side = 1
	ServerSide Side = 2
)

func (s Side) other() Side { return 3 - s }

func (s Side) String() string {
	switch s {
	case ClientSide:
		return "client"
	case ServerSide:
		return "server"
	}
	return fmt.Sprintf("side(%d)", uint8(s))
}

// The hosts' addresses are from the blocks set aside for documentation (RFC 5737, RFC 3849): they mean nobody.

func ipv4(s Side) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(s)}), 24)
}

func ipv6(s Side) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 15: byte(s)}), 64)
}

// A Lab is a running network. Its methods may be called from several goroutines at once.
type Lab struct {
	Client, Server *Host

	cfg Config
	ctl *control
	end func() error // ends the lab process and reports how it went
}

// A Host is one end of the network.
type Host struct {
	IPv4 netip.Addr
	IPv6 netip.Addr // not valid where the kernel has no IPv6

	side   Side
	ctl    *control
	socket string // where relays find the lab process
}

// New builds the network and returns when packets can flow. Where the system does not allow that, the error is a
// *ForbiddenError; where no such thing exists, errors.ErrUnsupported.
//
// The binary must call Main first thing: New starts it once more as the lab process.
func New(cfg Config) (*Lab, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	return start(cfg)
}

// Close ends every process in the lab and removes the network. A second call returns nil.
func (l *Lab) Close() error {
	l.ctl.close()
	return l.end()
}

// RTT returns the round-trip time that New or SetRTT set.
func (l *Lab) RTT() time.Duration {
	l.ctl.mu.Lock()
	defer l.ctl.mu.Unlock()
	return l.cfg.RTT
}

// SetRTT changes the round-trip time for packets that reach the wire from now on.
func (l *Lab) SetRTT(rtt time.Duration) error {
	if rtt < 0 {
		return fmt.Errorf("netlab: negative RTT %v", rtt)
	}
	if _, err := l.ctl.call(request{Op: opRTT, RTT: rtt}); err != nil {
		return err
	}
	l.ctl.mu.Lock()
	defer l.ctl.mu.Unlock()
	l.cfg.RTT = rtt
	return nil
}

// SetFaults replaces the wire's faults; none makes it honest again. A packet meets them in the order given.
func (l *Lab) SetFaults(faults ...Fault) error {
	_, err := l.ctl.call(request{Op: opFaults, Faults: faults})
	return err
}

// Packets returns a copy of the packet log, in the order of arrival at the wire. If the log overflowed, there is an error
// beside the packets that were kept.
func (l *Lab) Packets() (Packets, error) {
	resp, err := l.ctl.call(request{Op: opPackets})
	if err != nil {
		return nil, err
	}
	if resp.Lost > 0 {
		err = fmt.Errorf("netlab: the packet log is full: %d packets were not logged (call ResetLog earlier or raise Config.MaxPackets)", resp.Lost)
	}
	return resp.Packets, err
}

// ResetLog empties the packet log. Packets on their way at this moment are in neither the old nor the new log.
func (l *Lab) ResetLog() error {
	_, err := l.ctl.call(request{Op: opReset})
	return err
}

// A ForbiddenError says that the system does not let this user create the namespaces that a lab is made of.
type ForbiddenError struct {
	Reason string // what forbids it, as far as can be told, and what to do
	Err    error  // what the kernel answered
}

func (e *ForbiddenError) Error() string {
	return fmt.Sprintf("netlab: no permission to create namespaces (%v): %s", e.Err, e.Reason)
}

func (e *ForbiddenError) Unwrap() error { return e.Err }

// ErrClosed is what every method returns after Close, and when the lab process is gone.
var ErrClosed = errors.New("netlab: the lab is closed")
