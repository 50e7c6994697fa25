//go:build !linux

package tfo

func enableOnInherited(c rawConn, pending int) (Reason, error) {
	return enableFastOpen(c, pending), nil
}
