package handshake

import "golang.org/x/crypto/cryptobyte"

// minRecordLimit is the smallest record_size_limit (RFC 8449, section 4).
const minRecordLimit = 64

// readRecordLimit takes the server's record_size_limit (RFC 8449, section 4),
// which makes ours hold as well. Both count the inner type and padding.
func (c *Client) readRecordLimit(data cryptobyte.String) Fault {
	var limit uint16
	switch {
	case !data.ReadUint16(&limit) || !data.Empty():
		return FaultDecode
	case limit < minRecordLimit:
		return FaultBadRecordSizeLimit
	}
	// A value above what TLS 1.3 allows is for an extension that we do not have.
	c.sendLimit = min(limit-1, maxPlaintext)
	c.receiveLimit = c.ownLimit
	c.reader.limit = c.ownLimit
	return 0
}

// maxContent is how much content a record that is sent may have.
func maxContent(limit uint16) int {
	if limit > 0 {
		return min(int(limit), maxPlaintext) // a Session may say anything
	}
	return maxPlaintext
}
