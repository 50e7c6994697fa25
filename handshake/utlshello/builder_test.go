package utlshello

import (
	"bytes"
	"crypto/tls"
	"testing"
	"time"

	utls "github.com/refraction-networking/utls"
)

// current are the presets that follow their clients.
var current = []utls.ClientHelloID{utls.HelloChrome_Auto, utls.HelloFirefox_Auto, utls.HelloSafari_Auto, utls.HelloEdge_Auto, utls.HelloIOS_Auto}

// Presets that follow their clients, and randomized ones, complete full handshakes with our server and that of crypto/tls.
func TestFullHandshake(t *testing.T) {
	for _, id := range append([]utls.ClientHelloID{utls.HelloRandomized, utls.HelloRandomizedALPN, utls.HelloRandomizedNoALPN}, current...) {
		t.Run(id.Str(), func(t *testing.T) {
			cfg, server := setup(t, Fingerprint(id))
			o, err := connect(t, cfg, serveOurs(t, server), nil, []byte("hello"))
			if err != nil {
				t.Fatal(err)
			}
			if string(o.echo) != "hello" || len(o.sessions) == 0 {
				t.Errorf("echo %q, %d sessions", o.echo, len(o.sessions))
			}
			std := &tls.Config{Certificates: server.Certificates, NextProtos: server.NextProtos, Time: func() time.Time { return testTime }}
			if o, err = connect(t, cfg, serveStd(t, std), nil, []byte("hello")); err != nil || !bytes.Equal(o.echo, []byte("hello")) {
				t.Errorf("crypto/tls: echo %q, %v", o.echo, err)
			}
		})
	}
}
