//go:build (linux || darwin || freebsd || windows) && !tlstfo_portable

package tfo

const (
	defaultMTU     = 1500
	maxSYNData     = 32 << 10 // Linux takes SYN data out of one page fragment
	tcpHeader      = 20
	maxOptionSpace = 40 // reserved in full, whatever options the SYN really has (Linux, tcp_send_syn_data; XNU, tcp_tfo_check)
	minMSS         = 48
)

// budget returns how much data the kernel puts into a SYN; mss is what it remembers of the peer, 0 if nothing.
func budget(ipv6 bool, mtu, mss int) int {
	ipHeader := 20
	if ipv6 {
		ipHeader = 40
	}
	space := mtu - ipHeader - tcpHeader
	if mss > 0 {
		space = min(space, mss)
	}
	return min(max(space, minMSS)-maxOptionSpace, maxSYNData)
}
