package handshake

import (
	"bytes"
	"crypto/tls"

	"golang.org/x/crypto/cryptobyte"
)

// The messages that a client reads (RFC 8446, section 4). What a parser
// returns aliases the message unless it says otherwise.

// serverHello is a ServerHello or a HelloRetryRequest (sections 4.1.3 and
// 4.1.4).
type serverHello struct {
	version     uint16
	random      []byte
	sessionID   []byte
	suite       uint16
	compression uint8
	extensions  []extension
}

func (h *serverHello) isRetry() bool { return string(h.random) == string(helloRetryRandom[:]) }

// extension returns an extension's data.
func (h *serverHello) extension(typ uint16) (data cryptobyte.String, ok bool) {
	for _, e := range h.extensions {
		if e.typ == typ {
			return e.data, true
		}
	}
	return nil, false
}

func parseServerHello(body cryptobyte.String) (h serverHello, fault Fault) {
	var sessionID cryptobyte.String
	if !body.ReadUint16(&h.version) || !body.ReadBytes(&h.random, 32) ||
		!body.ReadUint8LengthPrefixed(&sessionID) || len(sessionID) > 32 ||
		!body.ReadUint16(&h.suite) || !body.ReadUint8(&h.compression) {
		return h, FaultDecode
	}
	h.sessionID = sessionID
	if body.Empty() {
		return h, 0 // TLS 1.2 allows it: the version is looked at later
	}
	h.extensions, fault = readExtensions(&body)
	if fault == 0 && !body.Empty() {
		fault = FaultDecode
	}
	return h, fault
}

// parseEncryptedExtensions returns the extensions of EncryptedExtensions
// (section 4.3.1).
func parseEncryptedExtensions(body cryptobyte.String) ([]extension, Fault) {
	exts, fault := readExtensions(&body)
	if fault == FaultDuplicateExtension || fault == 0 && !body.Empty() {
		fault = FaultDecode
	}
	return exts, fault
}

// certificateRequest is a CertificateRequest (section 4.3.2). It aliases
// nothing.
type certificateRequest struct {
	algorithms  []tls.SignatureScheme
	authorities []byte // the extension's data, which readAuthorities can read
	ocsp, sct   bool
}

func parseCertificateRequest(body cryptobyte.String) (*certificateRequest, Fault) {
	var context cryptobyte.String
	if !body.ReadUint8LengthPrefixed(&context) {
		return nil, FaultDecode
	}
	exts, fault := readExtensions(&body)
	switch {
	case fault != 0:
		return nil, fault
	case !body.Empty():
		return nil, FaultDecode
	case !context.Empty():
		return nil, FaultBadCertificateRequest // section 4.3.2: empty during the handshake
	}
	r := new(certificateRequest)
	for _, e := range exts {
		data := cryptobyte.String(e.data)
		ok := true
		switch e.typ {
		case extSignatureAlgorithms:
			r.algorithms, ok = readAlgorithms(&data)
		case extCertificateAuthorities:
			// Thousands of names take ten times the room of the message: they are
			// listed when they are needed.
			r.authorities = bytes.Clone(data)
			_, ok = readAuthorities(&data)
		case extStatusRequest:
			r.ocsp = true
			continue
		case extSCT:
			r.sct = true
		case extServerName, extSupportedGroups, extALPN, extKeyShare, extPreSharedKey, extPSKModes, extEarlyData,
			extCookie, extSupportedVersions, extPadding, extRecordSizeLimit, extALPS, extALPSOld, extECH:
			return nil, FaultForbiddenExtension // section 4.2
		default:
			continue
		}
		if !ok || !data.Empty() {
			return nil, FaultDecode
		}
	}
	if len(r.algorithms) == 0 {
		return nil, FaultMissingExtension // section 4.3.2: signature_algorithms MUST be there
	}
	return r, 0
}

func readAlgorithms(s *cryptobyte.String) (algorithms []tls.SignatureScheme, ok bool) {
	var list cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&list) || list.Empty() || len(list)%2 != 0 {
		return nil, false
	}
	algorithms = make([]tls.SignatureScheme, len(list)/2)
	for i := range algorithms {
		list.ReadUint16((*uint16)(&algorithms[i]))
	}
	return algorithms, true
}

// readAuthorities reads a certificate_authorities extension (section 4.2.4).
// The names, in DER, alias it.
func readAuthorities(s *cryptobyte.String) (authorities [][]byte, ok bool) {
	var list cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&list) || list.Empty() {
		return nil, false
	}
	for !list.Empty() {
		var name cryptobyte.String
		if !list.ReadUint16LengthPrefixed(&name) || name.Empty() {
			return nil, false
		}
		authorities = append(authorities, name)
	}
	return authorities, true
}

// certificateMessage is a Certificate (section 4.4.2). Of the extensions it
// has those of the leaf, which are copies; chain aliases the message.
type certificateMessage struct {
	chain     [][]byte // DER
	ocsp      []byte
	scts      [][]byte
	delegated *delegatedCredential // aliases the message
}

// parseCertificate reads a Certificate whose entries may have an extension
// only if it was asked for.
func parseCertificate(body cryptobyte.String, asked func(extension uint16) bool) (m certificateMessage, fault Fault) {
	var context, list cryptobyte.String
	if !body.ReadUint8LengthPrefixed(&context) || !context.Empty() ||
		!body.ReadUint24LengthPrefixed(&list) || !body.Empty() {
		return m, FaultDecode
	}
	for !list.Empty() {
		var der cryptobyte.String
		if !list.ReadUint24LengthPrefixed(&der) || der.Empty() {
			return m, FaultDecode
		}
		exts, fault := readExtensions(&list)
		if fault != 0 {
			return m, fault
		}
		leaf := len(m.chain) == 0
		m.chain = append(m.chain, der)
		for _, e := range exts {
			data := cryptobyte.String(e.data)
			switch {
			case !asked(e.typ):
				return m, FaultUnsolicitedExtension // section 4.4.2
			case e.typ == extStatusRequest:
				response, ok := readOCSP(&data)
				if !ok {
					return m, FaultDecode
				}
				if leaf {
					m.ocsp = append([]byte(nil), response...)
				}
			case e.typ == extSCT:
				scts, ok := readSCTs(&data)
				if !ok {
					return m, FaultDecode
				}
				if leaf {
					m.scts = scts
				}
			case e.typ == extDelegatedCredential:
				// RFC 9345, section 4.1.1: only that of the leaf is looked at.
				d, ok := parseDelegatedCredential(data)
				if !ok {
					return m, FaultDecode
				}
				if leaf {
					m.delegated = d
				}
			default:
				return m, FaultUnsolicitedExtension // not in this message; GREASE never is (RFC 8701, section 4)
			}
		}
	}
	return m, 0
}

// readOCSP reads a CertificateStatus (RFC 6066, section 8).
func readOCSP(s *cryptobyte.String) (response []byte, ok bool) {
	const ocsp = 1
	var typ uint8
	var data cryptobyte.String
	ok = s.ReadUint8(&typ) && typ == ocsp && s.ReadUint24LengthPrefixed(&data) && !data.Empty() && s.Empty()
	return data, ok
}

// readSCTs reads a SignedCertificateTimestampList (RFC 6962, section 3.3). The
// result is a copy.
func readSCTs(s *cryptobyte.String) (scts [][]byte, ok bool) {
	var list cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&list) || list.Empty() || !s.Empty() {
		return nil, false
	}
	list = bytes.Clone(list)
	for !list.Empty() {
		var sct cryptobyte.String
		if !list.ReadUint16LengthPrefixed(&sct) || sct.Empty() {
			return nil, false
		}
		scts = append(scts, sct[:len(sct):len(sct)])
	}
	return scts, true
}

// marshalCertificate makes a Certificate without a context. The staples go
// along where they were asked for.
func marshalCertificate(cert *tls.Certificate, ocsp, sct bool) ([]byte, error) {
	return buildMessage(typeCertificate, func(b *cryptobyte.Builder) {
		b.AddUint8(0)
		b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
			for i, der := range cert.Certificate {
				addBytes24(b, der)
				b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
					if i > 0 {
						return
					}
					if ocsp && len(cert.OCSPStaple) > 0 {
						addExtension(b, extStatusRequest, func(b *cryptobyte.Builder) {
							b.AddUint8(1)
							addBytes24(b, cert.OCSPStaple)
						})
					}
					if sct && len(cert.SignedCertificateTimestamps) > 0 {
						addExtension(b, extSCT, func(b *cryptobyte.Builder) {
							b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
								for _, sct := range cert.SignedCertificateTimestamps {
									addBytes16(b, sct)
								}
							})
						})
					}
				})
			}
		})
	})
}

// parseCertificateVerify reads a CertificateVerify (section 4.4.3).
func parseCertificateVerify(body cryptobyte.String) (scheme tls.SignatureScheme, signature []byte, fault Fault) {
	var sig cryptobyte.String
	if !body.ReadUint16((*uint16)(&scheme)) || !body.ReadUint16LengthPrefixed(&sig) || !body.Empty() {
		return 0, nil, FaultDecode
	}
	return scheme, sig, 0
}

func marshalCertificateVerify(scheme tls.SignatureScheme, signature []byte) ([]byte, error) {
	return buildMessage(typeCertificateVerify, func(b *cryptobyte.Builder) {
		b.AddUint16(uint16(scheme))
		addBytes16(b, signature)
	})
}

// marshalFinished makes a Finished (section 4.4.4).
func marshalFinished(verifyData []byte) []byte {
	return append([]byte{byte(typeFinished), 0, 0, byte(len(verifyData))}, verifyData...)
}
