package main

import (
	"errors"
	"io"

	"golang.org/x/crypto/cryptobyte"

	"github.com/tlstfo/tlstfo/handshake"
)

// hello builds the engine's own ClientHello without the extensions that a
// flag must ask for.
type hello struct{ o *options }

// BuildHello makes the engine a handshake.Builder's hello.
func (h hello) BuildHello(cfg *handshake.Config, rand io.Reader) (*handshake.Hello, error) {
	built, err := handshake.CompactHello{}.BuildHello(cfg, rand)
	if err != nil {
		return nil, err
	}
	built.Raw, err = h.cut(built.Raw)
	return built, err
}

// left tells whether an extension is to be left out.
func (h hello) left(typ uint16) bool {
	const serverName, statusRequest, sct = 0, 5, 18
	switch typ {
	case serverName:
		return h.o.HostName == ""
	case statusRequest:
		return !h.o.EnableOCSPStapling
	case sct:
		return !h.o.EnableSCTs
	}
	return false
}

// cut removes extensions from a ClientHello.
func (h hello) cut(raw []byte) ([]byte, error) {
	in := cryptobyte.String(raw)
	var body, session, suites, compression, extensions cryptobyte.String
	var fixed []byte
	if !in.Skip(1) || !in.ReadUint24LengthPrefixed(&body) || !body.ReadBytes(&fixed, 2+32) ||
		!body.ReadUint8LengthPrefixed(&session) || !body.ReadUint16LengthPrefixed(&suites) ||
		!body.ReadUint8LengthPrefixed(&compression) || !body.ReadUint16LengthPrefixed(&extensions) {
		return nil, errors.New("malformed ClientHello")
	}
	var out cryptobyte.Builder
	out.AddUint8(raw[0])
	out.AddUint24LengthPrefixed(func(out *cryptobyte.Builder) {
		out.AddBytes(raw[4 : len(raw)-len(extensions)-2])
		out.AddUint16LengthPrefixed(func(out *cryptobyte.Builder) {
			var typ uint16
			var data cryptobyte.String
			for extensions.ReadUint16(&typ) && extensions.ReadUint16LengthPrefixed(&data) {
				if h.left(typ) {
					continue
				}
				out.AddUint16(typ)
				out.AddUint16LengthPrefixed(func(out *cryptobyte.Builder) { out.AddBytes(data) })
			}
		})
	})
	return out.Bytes()
}
