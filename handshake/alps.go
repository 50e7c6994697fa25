package handshake

import (
	"bytes"
	"slices"

	"golang.org/x/crypto/cryptobyte"
)

// applicationSettings is what was agreed on by the application_settings
// extension (draft-vvv-tls-alps-01, called ALPS), which both sides send settings
// of the application protocol with, under the handshake keys.
type applicationSettings struct {
	extension uint16 // that the server answered; 0 after early data, which answers none
	ours      []byte
	theirs    []byte
}

// readALPS takes the server's settings from EncryptedExtensions.
func (c *Client) readALPS(typ uint16, data []byte) Fault {
	if c.settings != nil {
		return FaultUnsolicitedExtension // under both of its numbers
	}
	c.settings = &applicationSettings{extension: typ, theirs: bytes.Clone(data)}
	return 0
}

// checkALPS checks the server's settings when all of EncryptedExtensions is known.
func (c *Client) checkALPS() Fault {
	if c.settings == nil {
		return 0
	}
	// Section 3: only with a protocol that we offered settings for.
	if c.info.alpn == "" || !slices.Contains(c.hello.settingsProtocols(c.settings.extension), c.info.alpn) {
		return FaultBadALPS
	}
	c.settings.ours = c.built.ApplicationSettings[c.info.alpn]
	return 0
}

// settingsProtocols lists the protocols that an application_settings extension
// offers settings for.
func (v *helloView) settingsProtocols(typ uint16) (protos []string) {
	data, _ := v.extension(typ)
	var list, proto cryptobyte.String
	data.ReadUint16LengthPrefixed(&list)
	for list.ReadUint8LengthPrefixed(&proto) {
		protos = append(protos, string(proto))
	}
	return protos
}

// keepsSettings tells whether the hello still offers the settings that a
// session was made with: early data that is accepted carries them on (section 4.3).
func (c *Client) keepsSettings(s *Session) bool {
	if !s.HasApplicationSettings {
		return true
	}
	for _, typ := range []uint16{extALPS, extALPSOld} {
		if slices.Contains(c.hello.settingsProtocols(typ), s.ALPN) {
			return bytes.Equal(c.built.ApplicationSettings[s.ALPN], s.ApplicationSettings)
		}
	}
	return false
}

// clientExtensions makes the EncryptedExtensions with which a client answers
// the server's settings (section 3.2).
func (s *applicationSettings) clientExtensions() ([]byte, error) {
	return buildMessage(typeEncryptedExtensions, func(b *cryptobyte.Builder) {
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			addExtension(b, s.extension, func(b *cryptobyte.Builder) { b.AddBytes(s.ours) })
		})
	})
}

// PeerApplicationSettings returns the settings of the application protocol that
// the server sent by the application_settings extension (ALPS). ok is false where it
// sent none, which is not the same as empty ones. It is known from EventEarlyAccepted,
// or EventHandshakeComplete, on.
func (c *Client) PeerApplicationSettings() (settings []byte, ok bool) {
	if c.settings == nil {
		return nil, false
	}
	return c.settings.theirs, true
}
