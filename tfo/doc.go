// Package tfo dials and accepts TCP connections with TCP Fast Open (RFC 7413): the first data rides in the SYN, which saves a round trip.
package tfo
