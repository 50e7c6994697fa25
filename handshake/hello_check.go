package handshake

import (
	"crypto/tls"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
)

// extensionNames lists what a Builder's hello may offer: extensions whose
// acceptance this package honours, and those that no server accepts in TLS 1.3.
// It is never changed.
var extensionNames = map[uint16]string{
	extServerName: "server_name", extStatusRequest: "status_request", extSupportedGroups: "supported_groups",
	extSignatureAlgorithms: "signature_algorithms", extALPN: "application_layer_protocol_negotiation",
	extSCT: "signed_certificate_timestamp", extPadding: "padding", extCompressCertificate: "compress_certificate",
	extRecordSizeLimit: "record_size_limit", extDelegatedCredential: "delegated_credential",
	extPreSharedKey: "pre_shared_key", extEarlyData: "early_data", extSupportedVersions: "supported_versions",
	extCookie: "cookie", extPSKModes: "psk_key_exchange_modes", extCertificateAuthorities: "certificate_authorities",
	extSignatureAlgorithmsCert: "signature_algorithms_cert", extKeyShare: "key_share",
	extALPSOld: "application_settings", extALPS: "application_settings", extECH: "encrypted_client_hello",
	// Only for servers of TLS 1.2 and before.
	11: "ec_point_formats", 17: "status_request_v2", 22: "encrypt_then_mac", 23: "extended_master_secret",
	35: "session_ticket", 13172: "next_protocol_negotiation", 0xff01: "renegotiation_info",
}

// refusedNames are for the error that says what a hello may not offer.
var refusedNames = map[uint16]string{
	1: "max_fragment_length", 14: "use_srtp", 15: "heartbeat", 19: "client_certificate_type", 20: "server_certificate_type",
	24: "token_binding", 49: "post_handshake_auth", 57: "quic_transport_parameters", 30031: "channel_id", 30032: "channel_id",
}

// IsGREASE tells whether a number is reserved so that nothing has it (RFC 8701,
// section 2).
func IsGREASE(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }

// checkOffer checks that whatever a server may accept of the hello can be
// honoured. The error names what cannot.
func (c *Client) checkOffer() error {
	if err := c.checkSuites(); err != nil {
		return err
	}
	var typ uint16
	var data cryptobyte.String
	seen := make(map[uint16]bool)
	for list := c.base.extensions; nextExtension(&list, &typ, &data); {
		name := extensionNames[typ]
		switch {
		case seen[typ]:
			return fmt.Errorf("tls: the ClientHello has extension %d twice", typ) // section 4.2
		case IsGREASE(typ):
		case name == "":
			return fmt.Errorf("tls: the ClientHello offers %s (%d): an answer could not be honoured", refusedName(typ), typ)
		default:
			if err := c.checkExtension(typ, data); err != nil {
				return fmt.Errorf("tls: the ClientHello offers %s (%d): %w", name, typ, err)
			}
		}
		seen[typ] = true
	}
	return nil
}

func refusedName(typ uint16) string {
	if name := refusedNames[typ]; name != "" {
		return name
	}
	return "an unknown extension"
}

// checkExtension checks an extension whose content says what must be honoured.
func (c *Client) checkExtension(typ uint16, data cryptobyte.String) error {
	switch typ {
	case extCompressCertificate:
		algorithms, ok := readCompressionAlgorithms(data)
		if !ok {
			return errMalformed
		}
		for _, id := range algorithms {
			if c.built.Decompressors[id] == nil && !IsGREASE(id) {
				return fmt.Errorf("there is no decompressor for algorithm %d", id)
			}
		}
	case extSupportedGroups:
		return checkList(data, checkGroup)
	case extSignatureAlgorithms, extDelegatedCredential: // RFC 9345, section 4.1.1
		return checkList(data, checkAlgorithm)
	case extKeyShare:
		return c.checkShares(data)
	case extPSKModes:
		if c.base.offersPSKMode(pskModeKE) {
			return errors.New("psk_ke, without a key exchange, is not supported") // section 4.2.9
		}
	case extEarlyData, extCookie:
		if !data.Empty() {
			return errMalformed // RFC 8446, sections 4.2.10, and 4.2.2: no cookie in a first hello
		}
	case extRecordSizeLimit:
		var limit uint16
		if !data.ReadUint16(&limit) || !data.Empty() || limit < minRecordLimit || limit > maxPlaintext+1 {
			return errMalformed // RFC 8449, section 4
		}
		c.ownLimit = limit
	case extALPS, extALPSOld:
		var list cryptobyte.String
		if !c.base.offers(extALPN) || !data.ReadUint16LengthPrefixed(&list) || !data.Empty() || list.Empty() {
			return errMalformed // draft-vvv-tls-alps, section 3
		}
	}
	return nil
}

// checkShares checks the shares as a strict server does: each is for a listed
// group, in the order of the list, and none comes twice (RFC 8446, section 4.2.8).
func (c *Client) checkShares(data cryptobyte.String) error {
	var shares, groups, share cryptobyte.String
	if !data.ReadUint16LengthPrefixed(&shares) || !data.Empty() {
		return errMalformed
	}
	listed, _ := c.base.extension(extSupportedGroups)
	listed.ReadUint16LengthPrefixed(&groups)
	for !shares.Empty() {
		var group uint16
		if !nextExtension(&shares, &group, &share) || share.Empty() { // an entry looks like an extension
			return errMalformed
		}
		switch {
		case !skipPast(&groups, group):
			return fmt.Errorf("the share for group %d is its second, or in another order than supported_groups, or for none that is listed there", group)
		case c.key(tls.CurveID(group)) == nil && !IsGREASE(group):
			return fmt.Errorf("there is no key for the share of group %d", group)
		}
	}
	return nil
}

var errMalformed = errors.New("it is malformed, or needs another that is not there")
