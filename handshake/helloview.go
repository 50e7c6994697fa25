package handshake

import (
	"bytes"
	"crypto/tls"

	"golang.org/x/crypto/cryptobyte"
)

// helloView gives access to the parts of a ClientHello. Its slices alias the
// message.
type helloView struct {
	message    []byte
	random     []byte
	sessionID  []byte
	suites     cryptobyte.String // two bytes each
	extensions cryptobyte.String // without the length in front
}

// viewHello parses a ClientHello.
func viewHello(message []byte) (v helloView, ok bool) {
	s := cryptobyte.String(message)
	var typ uint8
	var version uint16
	var body, sessionID, suites, compression, extensions cryptobyte.String
	if !s.ReadUint8(&typ) || typ != uint8(typeClientHello) || !s.ReadUint24LengthPrefixed(&body) || !s.Empty() ||
		!body.ReadUint16(&version) || !body.ReadBytes(&v.random, 32) || !body.ReadUint8LengthPrefixed(&sessionID) ||
		!body.ReadUint16LengthPrefixed(&suites) || len(suites)%2 != 0 || !body.ReadUint8LengthPrefixed(&compression) ||
		!body.ReadUint16LengthPrefixed(&extensions) || !body.Empty() {
		return v, false
	}
	v.message, v.sessionID, v.suites, v.extensions = message, sessionID, suites, extensions
	for !extensions.Empty() {
		var typ uint16
		var data cryptobyte.String
		if !nextExtension(&extensions, &typ, &data) {
			return v, false
		}
	}
	return v, true
}

// offersTLS13 tells whether the hello has what every one for TLS 1.3 with
// certificates must have (RFC 8446, section 9.2).
func (v *helloView) offersTLS13() bool {
	versions, _ := v.extension(extSupportedVersions)
	var list cryptobyte.String
	return versions.ReadUint8LengthPrefixed(&list) && contains16(list, versionTLS13) &&
		v.offers(extKeyShare) && v.offers(extSupportedGroups) && v.offers(extSignatureAlgorithms)
}

func nextExtension(list *cryptobyte.String, typ *uint16, data *cryptobyte.String) bool {
	return list.ReadUint16(typ) && list.ReadUint16LengthPrefixed(data)
}

// extension returns an extension's data.
func (v *helloView) extension(want uint16) (data cryptobyte.String, ok bool) {
	var typ uint16
	for list := v.extensions; nextExtension(&list, &typ, &data); {
		if typ == want {
			return data, true
		}
	}
	return nil, false
}

// offers tells whether the extension is there.
func (v *helloView) offers(typ uint16) bool { _, ok := v.extension(typ); return ok }

// offersSuite tells whether the cipher suite is listed.
func (v *helloView) offersSuite(id uint16) bool { return contains16(v.suites, id) }

// offersGroup tells whether the group is listed.
func (v *helloView) offersGroup(id tls.CurveID) bool { return v.lists(extSupportedGroups, uint16(id)) }

// lists tells whether an extension that is a list of numbers has this one.
func (v *helloView) lists(typ, id uint16) bool {
	data, _ := v.extension(typ)
	var list cryptobyte.String
	return data.ReadUint16LengthPrefixed(&list) && contains16(list, id)
}

func contains16(list cryptobyte.String, id uint16) bool { return skipPast(&list, id) }

// skipPast reads a list of numbers up to and with id, and tells whether it is there.
func skipPast(list *cryptobyte.String, id uint16) bool {
	for v := uint16(0); list.ReadUint16(&v); {
		if v == id {
			return true
		}
	}
	return false
}

// sharesGroup tells whether there is a key share for the group.
func (v *helloView) sharesGroup(id tls.CurveID) bool {
	data, _ := v.extension(extKeyShare)
	var list, share cryptobyte.String
	data.ReadUint16LengthPrefixed(&list)
	for typ := uint16(0); nextExtension(&list, &typ, &share); { // an entry looks like an extension
		if typ == uint16(id) {
			return true
		}
	}
	return false
}

// offersPSKMode tells whether psk_key_exchange_modes lists the mode.
func (v *helloView) offersPSKMode(mode byte) bool {
	data, _ := v.extension(extPSKModes)
	var list cryptobyte.String
	return data.ReadUint8LengthPrefixed(&list) && bytes.IndexByte(list, mode) >= 0
}

// offersALPN tells whether the protocol is listed.
func (v *helloView) offersALPN(proto []byte) bool {
	data, _ := v.extension(extALPN)
	var list, p cryptobyte.String
	data.ReadUint16LengthPrefixed(&list)
	for list.ReadUint8LengthPrefixed(&p) {
		if bytes.Equal(p, proto) {
			return true
		}
	}
	return false
}
