// Package interop has tests against TLS servers that this project did not write: nginx, HAProxy, OpenSSL's s_server and
// crypto/tls. They run in a lab (package netlab) with real kernels and a known round-trip time, and they judge by what others
// saw: the packet log says how many round trips a response took and what rode in the SYN, the server's own log says which
// request bytes reached the application, and how often.
//
// A program that is not installed skips its tests; with TLSTFO_REQUIRE=1 it fails them.
package interop
