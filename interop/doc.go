// Package interop has tests against TLS servers that this project did not write: nginx, HAProxy, OpenSSL's s_server,
// GnuTLS and crypto/tls. They run in a lab (package netlab) with real kernels and a known round-trip time, and they
// judge by what others saw: the packet log says how many round trips a response took and what rode in the SYN, the
// server's own log says which request bytes reached the application, and how often.
//
// TestHostile has the network do what is known to break TCP Fast Open, and TestStorm dials through such weather. Both can
// be long (a file is relative to this folder):
//
//	go test ./interop -run TestHostileTable -hostile-table=../docs/hostile-network.md -timeout 1h
//	go test ./interop -run TestStorm -storm=10000
//
// A program that is not installed skips its tests; with TLSTFO_REQUIRE=1 it fails them.
package interop
