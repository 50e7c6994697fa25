package utlshello

import (
	"bytes"
	"slices"
	"testing"

	utls "github.com/refraction-networking/utls"
	"golang.org/x/crypto/cryptobyte"

	"github.com/tlstfo/tlstfo/handshake"
)

// hello is a ClientHello that was sent.
type hello struct {
	message    []byte
	length     int // of the message, header included
	random     []byte
	sessionID  []byte
	suites     []uint16
	extensions []extension
}

type extension struct {
	typ  uint16
	data []byte
}

// helloOf reads a ClientHello message.
func helloOf(t testing.TB, message []byte) (h hello) {
	t.Helper()
	in := cryptobyte.String(message)
	var body, id, suites, compression, list, data cryptobyte.String
	var version, v uint16
	if !in.Skip(1) || !in.ReadUint24LengthPrefixed(&body) || !in.Empty() || !body.ReadUint16(&version) || version != 0x0303 ||
		!body.ReadBytes(&h.random, 32) || !body.ReadUint8LengthPrefixed(&id) || !body.ReadUint16LengthPrefixed(&suites) ||
		!body.ReadUint8LengthPrefixed(&compression) || string(compression) != "\x00" ||
		!body.ReadUint16LengthPrefixed(&list) || !body.Empty() {
		t.Fatal("malformed ClientHello")
	}
	h.message, h.length, h.sessionID = message, len(message), id
	for suites.ReadUint16(&v) {
		h.suites = append(h.suites, v)
	}
	for list.ReadUint16(&v) && list.ReadUint16LengthPrefixed(&data) {
		h.extensions = append(h.extensions, extension{v, data})
	}
	return h
}

// hellosIn returns the hellos in what a client sent in plaintext.
func hellosIn(t testing.TB, sent []byte) (hellos []hello) {
	t.Helper()
	for len(sent) >= 5 {
		n := 5 + int(sent[3])<<8 + int(sent[4])
		if sent[0] == 22 {
			hellos = append(hellos, helloOf(t, sent[5:n]))
		}
		sent = sent[n:]
	}
	return hellos
}

// index returns where an extension stands, or -1.
func (h hello) index(typ uint16) int {
	return slices.IndexFunc(h.extensions, func(e extension) bool { return e.typ == typ })
}

func (h hello) has(typ uint16) bool { return h.index(typ) >= 0 }

// shares returns the groups and lengths of key_share.
func (h hello) shares() (groups []uint16, lengths []int) {
	i := h.index(51)
	if i < 0 {
		return nil, nil
	}
	data := cryptobyte.String(h.extensions[i].data)
	var list, share cryptobyte.String
	data.ReadUint16LengthPrefixed(&list)
	for v := uint16(0); list.ReadUint16(&v) && list.ReadUint16LengthPrefixed(&share); {
		groups, lengths = append(groups, v), append(lengths, len(share))
	}
	return groups, lengths
}

// normal clears what two hellos of one client may differ in: random fields, shares, GREASE, and, if its extensions are shuffled,
// their order.
func (h hello) normal(shuffled bool) hello {
	h.random, h.sessionID = make([]byte, len(h.random)), make([]byte, len(h.sessionID))
	h.suites = slices.Clone(h.suites)
	for i := range h.suites {
		h.suites[i] = unGREASE(h.suites[i])
	}
	groups, lengths := h.shares()
	h.extensions = slices.Clone(h.extensions)
	for i, e := range h.extensions {
		data := bytes.Clone(e.data)
		switch e.typ {
		case 51: // key_share
			data = nil
			for j := range groups {
				data = append(data, byte(unGREASE(groups[j])), byte(lengths[j]>>8), byte(lengths[j]))
			}
		case 0xfe0d: // encrypted_client_hello: its length is random, too
			h.length -= len(data)
			data = data[:1]
		case 10, 43: // supported_groups, supported_versions
			for j := len(data) % 2; j < len(data); j += 2 {
				v := unGREASE(uint16(data[j])<<8 | uint16(data[j+1]))
				data[j], data[j+1] = byte(v>>8), byte(v)
			}
		}
		h.extensions[i] = extension{unGREASE(e.typ), data}
	}
	if i := h.index(21); i >= 0 && h.has(0xfe0d) {
		// Padding fills what the random length before it left.
		h.length -= 4 + len(h.extensions[i].data)
		h.extensions = slices.Delete(h.extensions, i, i+1)
	}
	if shuffled {
		slices.SortStableFunc(h.extensions, func(a, b extension) int { return int(a.typ) - int(b.typ) })
	}
	return h
}

// isPadded tells whether a hello has the padding that BoringSSL would give it.
func (h hello) isPadded() bool {
	unpadded, zeros := h.length, -1
	if i := h.index(21); i >= 0 {
		zeros = len(h.extensions[i].data)
		unpadded -= 4 + zeros
	}
	want, ok := utls.BoringPaddingStyle(unpadded)
	return ok == (zeros >= 0) && (!ok || want == zeros)
}

func unGREASE(v uint16) uint16 {
	if handshake.IsGREASE(v) {
		return 0x0a0a
	}
	return v
}

// same tells whether two hellos are the same after normal.
func same(a, b hello) bool {
	return a.length == b.length && slices.Equal(a.suites, b.suites) && len(a.sessionID) == len(b.sessionID) &&
		slices.EqualFunc(a.extensions, b.extensions, func(a, b extension) bool { return a.typ == b.typ && bytes.Equal(a.data, b.data) })
}

// isShuffled tells whether a preset shuffles its extensions.
func isShuffled(id utls.ClientHelloID) bool {
	switch id {
	case utls.HelloChrome_106_Shuffle, utls.HelloChrome_112_PSK_Shuf, utls.HelloChrome_114_Padding_PSK_Shuf,
		utls.HelloChrome_120, utls.HelloChrome_131, utls.HelloChrome_133:
		return true
	}
	return false
}

// firstHello is what the engine would send first.
func firstHello(t testing.TB, cfg *handshake.Config) hello {
	t.Helper()
	c, err := handshake.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return hellosIn(t, c.AppendOutput(nil))[0]
}

// utlsHello is what utls itself sends, but without the shares that it may not send.
func utlsHello(t testing.TB, id utls.ClientHelloID, name string, protos []string) hello {
	t.Helper()
	cfg := &utls.Config{ServerName: name, NextProtos: protos, OmitEmptyPsk: true}
	conn := utls.UClient(nil, cfg, id)
	if spec, unlawful := lawful(t, id); unlawful {
		conn = utls.UClient(nil, cfg, utls.HelloCustom)
		if err := conn.ApplyPreset(&spec); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.BuildHandshakeState(); err != nil {
		t.Fatal(err)
	}
	return helloOf(t, conn.HandshakeState.Hello.Raw)
}

// lawful returns the spec of a randomized id with a share that may not be sent, without it.
func lawful(t testing.TB, id utls.ClientHelloID) (spec utls.ClientHelloSpec, unlawful bool) {
	t.Helper()
	if !isRandomized(id) || id.Seed == nil {
		return spec, false
	}
	spec, err := utls.UTLSIdToSpec(id)
	if err != nil {
		t.Fatal(err)
	}
	_, shares := groupsOf(&spec)
	before := len(shares.KeyShares)
	dropUnlisted(&spec)
	return spec, len(shares.KeyShares) < before
}
