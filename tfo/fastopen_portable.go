//go:build !(linux || darwin || freebsd || windows) || tlstfo_portable

package tfo

import (
	"context"
	"net"
	"net/netip"
)

// Without Fast Open every attempt connects, asks for its flight, and writes it.
func (kernel) fastOpen() bool { return false }

func (kernel) survey(*attempt) {}

func (kernel) source(*attempt) netip.Addr { return netip.Addr{} }

func (t *attempt) connectFastOpen(ctx context.Context) (*net.TCPConn, error) {
	return t.connectNet(ctx, t.dial.net.LocalAddr, nil)
}

func (kernel) observe(*attempt, *net.TCPConn) {}
