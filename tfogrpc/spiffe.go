package tfogrpc

import (
	"crypto/tls"
	"net/url"
)

// The limits of the SPIFFE-ID specification, section 2.3 and 2.1, in bytes.
const (
	maxSPIFFEID     = 2048
	maxSPIFFEDomain = 255
)

// spiffeID returns the peer's SPIFFE ID, or nil if its certificate has none. Such a certificate has exactly one URI (the
// X509-SVID specification, section 2).
func spiffeID(state tls.ConnectionState) *url.URL {
	if len(state.PeerCertificates) == 0 || len(state.PeerCertificates[0].URIs) != 1 {
		return nil
	}
	id := state.PeerCertificates[0].URIs[0]
	switch {
	case id == nil, id.Scheme != "spiffe", id.Opaque != "", id.User != nil && id.User.Username() != "":
		return nil
	case id.Host == "", id.Path == "", len(id.Host) > maxSPIFFEDomain, len(id.String()) > maxSPIFFEID:
		return nil
	}
	return id
}
