package main

import (
	"errors"
	"io"
	"math/rand/v2"
	"strings"

	"golang.org/x/crypto/cryptobyte"

	"github.com/tlstfo/tlstfo/handshake"
)

// hello builds the engine's own ClientHello without the extensions that a
// flag must ask for, and with those that only flags ask for.
type hello struct{ o *options }

// BuildHello makes the engine a handshake.Builder's hello.
func (h hello) BuildHello(cfg *handshake.Config, rand io.Reader) (*handshake.Hello, error) {
	built, err := handshake.CompactHello{}.BuildHello(cfg, rand)
	if err != nil {
		return nil, err
	}
	built.Decompressors, built.ApplicationSettings = decompressors, h.o.settings()
	built.Raw, err = h.edit(built.Raw)
	return built, err
}

// extension is one of a hello.
type extension struct {
	typ  uint16
	data []byte
}

const (
	serverName         = 0
	statusRequest      = 5
	supportedGroups    = 10
	algorithms         = 13
	sct                = 18
	compress           = 27
	supportedVersions  = 43
	keyShare           = 51
	alpsOld            = 17513
	alps               = 17613
	ech                = 0xfe0d
	grease, greaseLast = 0x5a5a, 0xbaba
)

// left tells whether an extension is to be left out.
func (h hello) left(typ uint16) bool {
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

// edit changes a ClientHello as the flags say.
func (h hello) edit(raw []byte) ([]byte, error) {
	in := cryptobyte.String(raw)
	var body, session, suites, compression, extensions cryptobyte.String
	var fixed []byte
	if !in.Skip(1) || !in.ReadUint24LengthPrefixed(&body) || !body.ReadBytes(&fixed, 2+32) ||
		!body.ReadUint8LengthPrefixed(&session) || !body.ReadUint16LengthPrefixed(&suites) ||
		!body.ReadUint8LengthPrefixed(&compression) || !body.ReadUint16LengthPrefixed(&extensions) {
		return nil, errors.New("malformed ClientHello")
	}
	list := h.extensions(extensions)
	var out cryptobyte.Builder
	out.AddUint8(raw[0])
	out.AddUint24LengthPrefixed(func(out *cryptobyte.Builder) {
		out.AddBytes(fixed)
		out.AddUint8LengthPrefixed(func(out *cryptobyte.Builder) { out.AddBytes(session) })
		out.AddUint16LengthPrefixed(func(out *cryptobyte.Builder) {
			if h.o.EnableGREASE {
				out.AddUint16(grease)
			}
			out.AddBytes(suites)
		})
		out.AddUint8LengthPrefixed(func(out *cryptobyte.Builder) { out.AddBytes(compression) })
		out.AddUint16LengthPrefixed(func(out *cryptobyte.Builder) {
			for _, e := range list {
				out.AddUint16(e.typ)
				out.AddUint16LengthPrefixed(func(out *cryptobyte.Builder) { out.AddBytes(e.data) })
			}
		})
	})
	return out.Bytes()
}

// extensions lists those that are sent.
func (h hello) extensions(in cryptobyte.String) (list []extension) {
	var typ uint16
	var data cryptobyte.String
	for in.ReadUint16(&typ) && in.ReadUint16LengthPrefixed(&data) {
		switch {
		case h.left(typ):
			continue
		case h.o.EnableGREASE:
			data = withGREASE(typ, data)
		}
		list = append(list, extension{typ, data})
	}
	if h.o.InstallCertCompressionAlgs {
		list = append(list, extension{compress, []byte{6, 0xff, 2, 0xff, 1, 0xff, 3}})
	}
	if len(h.o.ApplicationSettings) > 0 {
		list = append(list, h.o.alps())
	}
	if h.o.EnableECHGREASE {
		list = append(list, extension{ech, echGREASE()})
	}
	if h.o.PermuteExtensions {
		rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	}
	if h.o.EnableGREASE {
		list = append(append([]extension{{grease, nil}}, list...), extension{greaseLast, []byte{0}})
	}
	return list
}

// withGREASE puts a value that nobody knows in front of a list (RFC 8701,
// section 3).
func withGREASE(typ uint16, data []byte) []byte {
	var value []byte
	prefix := 2
	switch typ {
	case supportedGroups, algorithms:
		value = []byte{grease >> 8, grease & 0xff}
	case keyShare:
		value = []byte{grease >> 8, grease & 0xff, 0, 1, 0}
	case supportedVersions:
		value, prefix = []byte{grease >> 8, grease & 0xff}, 1
	default:
		return data
	}
	var out cryptobyte.Builder
	add := out.AddUint16LengthPrefixed
	if prefix == 1 {
		add = out.AddUint8LengthPrefixed
	}
	add(func(out *cryptobyte.Builder) {
		out.AddBytes(value)
		out.AddBytes(data[prefix:])
	})
	return out.BytesOrPanic()
}

// settings are the application settings by protocol.
func (o *options) settings() map[string][]byte {
	settings := make(map[string][]byte)
	for _, s := range o.ApplicationSettings {
		proto, value, _ := strings.Cut(s, ",")
		settings[proto] = []byte(value)
	}
	return settings
}

// alps offers the settings, under one of the two numbers of the extension.
func (o *options) alps() extension {
	var out cryptobyte.Builder
	out.AddUint16LengthPrefixed(func(out *cryptobyte.Builder) {
		for _, s := range o.ApplicationSettings {
			proto, _, _ := strings.Cut(s, ",")
			out.AddUint8LengthPrefixed(func(out *cryptobyte.Builder) { out.AddBytes([]byte(proto)) })
		}
	})
	return extension{choose(o.ALPSUseNewCodepoint != 0, uint16(alps), alpsOld), out.BytesOrPanic()}
}

// echGREASE looks like an Encrypted ClientHello (RFC 9849, section 6.2).
func echGREASE() []byte {
	const payload = 144
	out := []byte{0, 0, 1, 0, 1, byte(rand.Uint32()), 0, 32}
	for range 32 {
		out = append(out, byte(rand.Uint32()))
	}
	out = append(out, 0, payload)
	for range payload {
		out = append(out, byte(rand.Uint32()))
	}
	return out
}
