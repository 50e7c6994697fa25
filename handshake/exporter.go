package handshake

import "errors"

// Exporter derives keying material from a connection (RFC 8446, section 7.5):
// a client's whose handshake is complete, or a server's that has sent its Finished. It is all that has to be kept of an engine
// that has been split. It is safe for concurrent use.
type Exporter struct {
	suite  *suite
	secret []byte // exporter_master_secret
}

// Exporter returns the connection's, or nil before the handshake is complete.
func (c *Client) Exporter() *Exporter {
	if !c.info.complete {
		return nil
	}
	return &Exporter{c.suite, c.exporter}
}

// ExportKeyingMaterial exports length bytes. A nil context is the same as an
// empty one.
func (e *Exporter) ExportKeyingMaterial(label string, context []byte, length int) ([]byte, error) {
	switch {
	case e == nil || e.suite == nil:
		return nil, errNotYet
	case length < 0 || length > 255*e.suite.hashLen:
		return nil, errors.New("tls: too much keying material was asked for")
	case len(label) > 255-len("tls13 "):
		return nil, errors.New("tls: the label of keying material is too long")
	}
	return e.suite.export(e.secret, label, context, length), nil
}
