//go:build !(linux || darwin || freebsd || windows)

package tfo

const enableAfterListen = false

func enableFastOpen(rawConn, int) Reason { return ReasonUnsupported }
