//go:build !linux || tlstfo_portable

package tfo

import (
	"context"
	"net"
)

// Without Fast Open every attempt connects, asks for its flight, and writes it.
const supported = false

func (t *attempt) survey() {}

func (t *attempt) connectFastOpen(ctx context.Context) (*net.TCPConn, error) {
	return t.connectNet(ctx, t.dial.net.LocalAddr, nil)
}

func (t *attempt) observe(*net.TCPConn) {}
