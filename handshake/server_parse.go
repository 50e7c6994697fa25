package handshake

import (
	"bytes"
	"crypto/tls"
	"slices"

	"golang.org/x/crypto/cryptobyte"
)

// clientHello is a parsed ClientHello (RFC 8446, section 4.1.2). It owns its
// bytes.
type clientHello struct {
	raw         []byte // the whole message
	version     uint16
	random      []byte
	sessionID   []byte
	suites      []uint16
	compression []byte
	extensions  []extension

	versions      []uint16 // nil: no extension
	serverName    string
	ocsp, sct     bool
	groups        []tls.CurveID // nil: no extension
	algorithms    []tls.SignatureScheme
	protos        []string
	shares        []keyShare // nil: no extension
	pskModes      []byte     // nil: no extension
	earlyData     bool
	authorities   [][]byte
	compressors   []uint16      // certificate compression algorithms
	identities    []pskIdentity // nil: no extension
	binders       [][]byte
	bindersLength int // bytes at the end of raw that binders do not cover

	cause error // of the fault that parsing it or check found, or nil
}

// pskIdentity is one PSK that is offered (section 4.2.11).
type pskIdentity struct {
	ticket []byte
	age    uint32 // obfuscated
}

// parseClientHello parses a message, which it copies. With a fault only the
// cause counts of what it returns.
func parseClientHello(msg []byte) (*clientHello, Fault) {
	h := &clientHello{raw: bytes.Clone(msg)}
	body := cryptobyte.String(h.raw[messageHeaderLen:])
	var sessionID, suites, compression cryptobyte.String
	if !body.ReadUint16(&h.version) || !body.ReadBytes(&h.random, 32) ||
		!body.ReadUint8LengthPrefixed(&sessionID) || len(sessionID) > 32 ||
		!body.ReadUint16LengthPrefixed(&suites) || !readList16(suites, &h.suites) ||
		!body.ReadUint8LengthPrefixed(&compression) || compression.Empty() {
		return h, FaultDecode
	}
	h.sessionID, h.compression = sessionID, compression
	if body.Empty() {
		return h, 0 // an old client: it has no extensions at all
	}
	exts, fault := readExtensions(&body)
	if fault != 0 || !body.Empty() {
		return h, FaultDecode
	}
	h.extensions = exts
	for i, e := range exts {
		if e.typ == extPreSharedKey && i != len(exts)-1 {
			return h, FaultPSKNotLast // section 4.2.11
		}
		data := cryptobyte.String(e.data)
		if fault := h.parseExtension(e.typ, &data); fault != 0 {
			h.cause = ExtensionError(e.typ)
			return h, fault
		}
	}
	return h, 0
}

// parseExtension parses what is known of an extension; others are ignored
// (section 4.1.2).
func (h *clientHello) parseExtension(typ uint16, data *cryptobyte.String) Fault {
	var list cryptobyte.String
	var ok bool
	switch typ {
	case extSupportedVersions:
		ok = data.ReadUint8LengthPrefixed(&list) && readList16(list, &h.versions)
	case extServerName:
		ok = h.parseServerName(data)
	case extStatusRequest:
		const ocsp = 1
		var kind uint8
		var responders, requestExtensions cryptobyte.String
		ok = data.ReadUint8(&kind)
		if h.ocsp = ok && kind == ocsp; h.ocsp {
			ok = data.ReadUint16LengthPrefixed(&responders) && data.ReadUint16LengthPrefixed(&requestExtensions)
		} else {
			*data = nil // RFC 6066, section 8: a type that nobody knows
		}
	case extSCT:
		h.sct, ok = true, true
	case extCompressCertificate:
		// RFC 8879, section 3: algorithms that are supported; none can be so twice.
		h.compressors, ok = readCompressionAlgorithms(*data)
		ok = ok && !repeats(h.compressors, func(id uint16) uint16 { return id })
		*data = nil
	case extSupportedGroups:
		ok = data.ReadUint16LengthPrefixed(&list) && readList16(list, &h.groups)
	case extSignatureAlgorithms:
		h.algorithms, ok = readAlgorithms(data)
	case extALPN:
		ok = h.parseALPN(data)
	case extKeyShare:
		return h.parseKeyShares(data)
	case extPSKModes:
		ok = data.ReadUint8LengthPrefixed(&list) && !list.Empty()
		h.pskModes = list
	case extEarlyData:
		h.earlyData, ok = true, true
	case extCertificateAuthorities:
		h.authorities, ok = readAuthorities(data)
	case extPreSharedKey:
		return h.parsePSK(data)
	default:
		return 0
	}
	if !ok || !data.Empty() {
		return FaultDecode
	}
	return 0
}

// parseServerName reads server_name (RFC 6066, section 3): one name.
func (h *clientHello) parseServerName(data *cryptobyte.String) bool {
	var list, name cryptobyte.String
	var kind uint8
	if !data.ReadUint16LengthPrefixed(&list) || !list.ReadUint8(&kind) || kind != 0 ||
		!list.ReadUint16LengthPrefixed(&name) || name.Empty() || !list.Empty() || bytes.IndexByte(name, 0) >= 0 {
		return false
	}
	h.serverName = string(name)
	return true
}

// parseALPN reads application_layer_protocol_negotiation (RFC 7301, section
// 3.1).
func (h *clientHello) parseALPN(data *cryptobyte.String) bool {
	var list, proto cryptobyte.String
	if !data.ReadUint16LengthPrefixed(&list) || list.Empty() {
		return false
	}
	for !list.Empty() {
		if !list.ReadUint8LengthPrefixed(&proto) || proto.Empty() {
			return false
		}
		h.protos = append(h.protos, string(proto))
	}
	return true
}

// parseKeyShares reads key_share (section 4.2.8).
func (h *clientHello) parseKeyShares(data *cryptobyte.String) Fault {
	var list, share cryptobyte.String
	if !data.ReadUint16LengthPrefixed(&list) || !data.Empty() {
		return FaultDecode
	}
	h.shares = []keyShare{}
	for !list.Empty() {
		var id uint16
		if !list.ReadUint16(&id) || !list.ReadUint16LengthPrefixed(&share) || share.Empty() {
			return FaultDecode
		}
		h.shares = append(h.shares, keyShare{tls.CurveID(id), share})
	}
	if repeats(h.shares, func(s keyShare) uint16 { return uint16(s.group) }) {
		return FaultBadKeyShare // section 4.2.8: one share for each group
	}
	return 0
}

// parsePSK reads pre_shared_key (section 4.2.11), which ends the message.
func (h *clientHello) parsePSK(data *cryptobyte.String) Fault {
	var identities, ticket, binders, binder cryptobyte.String
	if !data.ReadUint16LengthPrefixed(&identities) || identities.Empty() {
		return FaultDecode
	}
	h.bindersLength = len(*data)
	if !data.ReadUint16LengthPrefixed(&binders) || binders.Empty() || !data.Empty() {
		return FaultDecode
	}
	for !identities.Empty() {
		var id pskIdentity
		if !identities.ReadUint16LengthPrefixed(&ticket) || ticket.Empty() || !identities.ReadUint32(&id.age) {
			return FaultDecode
		}
		id.ticket = ticket
		h.identities = append(h.identities, id)
	}
	for !binders.Empty() {
		if !binders.ReadUint8LengthPrefixed(&binder) {
			return FaultDecode
		}
		h.binders = append(h.binders, binder)
	}
	if len(h.binders) != len(h.identities) {
		return FaultBinderCount // section 4.2.11: as many binders as identities
	}
	return 0
}

// share returns the client's key share for a group, or nil.
func (h *clientHello) share(id tls.CurveID) []byte {
	for _, s := range h.shares {
		if s.group == id {
			return s.data
		}
	}
	return nil
}

// truncated is what PSK binders cover (section 4.2.11.2).
func (h *clientHello) truncated() []byte { return h.raw[:len(h.raw)-h.bindersLength] }

// check enforces what a hello that offers TLS 1.3 must look like.
func (h *clientHello) check() Fault {
	switch {
	case h.version <= 0x0300:
		return FaultBadVersion // section D.5: SSL 3.0, whatever else it offers
	case !slices.Contains(h.versions, versionTLS13):
		return FaultUnsupportedVersion // section 4.2.1: legacy_version does not count
	case len(h.compression) != 1 || h.compression[0] != 0:
		return FaultBadCompression // section 4.1.2
	case h.groups == nil:
		return h.missing(extSupportedGroups) // section 9.2: with key_share; psk_ke alone is not for us
	case h.shares == nil:
		return h.missing(extKeyShare) // section 9.2: with supported_groups
	case h.identities != nil && h.pskModes == nil:
		return h.missing(extPSKModes) // section 4.2.9
	case h.identities == nil && h.algorithms == nil:
		return h.missing(extSignatureAlgorithms) // section 9.2
	}
	return 0
}

func (h *clientHello) missing(typ uint16) Fault {
	h.cause = ExtensionError(typ)
	return FaultMissingExtension
}

// checkRetried enforces that a second hello differs from the first only where
// it may, and has the key share that was asked for (section 4.1.2).
func (h *clientHello) checkRetried(first *clientHello, group tls.CurveID) Fault {
	if h.version != first.version || !bytes.Equal(h.random, first.random) || !bytes.Equal(h.sessionID, first.sessionID) ||
		!slices.Equal(h.suites, first.suites) || !bytes.Equal(h.compression, first.compression) ||
		!slices.EqualFunc(h.lasting(), first.lasting(), extension.equal) {
		return FaultSecondHelloChanged
	}
	if len(h.shares) != 1 || h.shares[0].group != group {
		return FaultBadKeyShare // section 4.2.8
	}
	return 0
}

// lasting returns the extensions that may not change in a second hello, in the
// order of their types.
func (h *clientHello) lasting() []extension {
	list := slices.DeleteFunc(slices.Clone(h.extensions), func(e extension) bool {
		switch e.typ {
		case extKeyShare, extEarlyData, extCookie, extPreSharedKey, extPadding, extECH: // the second payload of extECH is another one
			return true
		}
		return false
	})
	slices.SortFunc(list, func(a, b extension) int { return int(a.typ) - int(b.typ) })
	return list
}

func (e extension) equal(o extension) bool { return e.typ == o.typ && bytes.Equal(e.data, o.data) }

// readList16 reads a list of 16-bit values that must not be empty.
func readList16[T ~uint16](s cryptobyte.String, out *[]T) bool {
	if s.Empty() || len(s)%2 != 0 {
		return false
	}
	list := make([]T, len(s)/2)
	for i := range list {
		list[i] = T(uint16(s[2*i])<<8 | uint16(s[2*i+1]))
	}
	*out = list
	return true
}
