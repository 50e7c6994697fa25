package handshake

import "golang.org/x/crypto/cryptobyte"

// isECHConfigList tells whether the data is what a server answers to an
// encrypted_client_hello that it cannot open (RFC 9849, sections 4 and 5): one
// configuration or more, of any version.
func isECHConfigList(data cryptobyte.String) bool {
	var list, contents cryptobyte.String
	var version uint16
	if !data.ReadUint16LengthPrefixed(&list) || !data.Empty() || list.Empty() {
		return false
	}
	for !list.Empty() {
		if !list.ReadUint16(&version) || !list.ReadUint16LengthPrefixed(&contents) {
			return false
		}
	}
	return true
}
