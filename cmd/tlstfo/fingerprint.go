package main

import (
	"strings"

	"github.com/tlstfo/tlstfo/handshake"
	"github.com/tlstfo/tlstfo/handshake/utlshello"
)

// helloBuilder is what -fingerprint asks for; nil is the compact hello.
func helloBuilder(fingerprint string) (handshake.Builder, error) {
	if fingerprint == "" {
		return nil, nil
	}
	b, err := utlshello.Named(fingerprint)
	if err != nil {
		return nil, usageError("-fingerprint is one of " + strings.Join(utlshello.Names(), ", "))
	}
	return b, nil
}
