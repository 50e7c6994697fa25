package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"testing"

	"github.com/tlstfo/tlstfo/handshake"
)

// What was sealed comes back, with the version and the suite that are in
// front, and nothing else opens.
func TestTicketKey(t *testing.T) {
	key, err := newTicketKey(make([]byte, 48))
	if err != nil {
		t.Fatal(err)
	}
	session := &handshake.ServerSession{Version: tls.VersionTLS12, CipherSuite: tls.TLS_AES_128_GCM_SHA256}
	ticket, err := key.wrap(tls.ConnectionState{}, session)
	if err != nil {
		t.Fatal(err)
	}
	got, err := key.unwrap(bytes.Clone(ticket), tls.ConnectionState{})
	if err != nil || got.Version != session.Version || got.CipherSuite != session.CipherSuite || !key.opened {
		t.Errorf("%+v, %v", got, err)
	}
	for i := range ticket {
		bad := bytes.Clone(ticket)
		bad[i] ^= 1
		if _, err := key.unwrap(bad, tls.ConnectionState{}); !errors.As(err, new(*wrongError)) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if _, err := key.unwrap(bytes.Clone(ticket[:i]), tls.ConnectionState{}); !errors.As(err, new(*wrongError)) {
			t.Errorf("%d bytes: %v", i, err)
		}
	}
	if _, err := newTicketKey(make([]byte, 47)); err == nil {
		t.Error("a short key")
	}
}
