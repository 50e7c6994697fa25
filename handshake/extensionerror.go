package handshake

import "fmt"

// ExtensionError is the cause of a LocalError whose fault is in one extension,
// or that it is missing: the extension's number (RFC 8446, section 4.2). Faults
// in some messages have it, above all in a ClientHello.
type ExtensionError uint16

// Error names the extension.
func (e ExtensionError) Error() string {
	if name := extensionNames[uint16(e)]; name != "" {
		return fmt.Sprintf("extension %s (%d)", name, uint16(e))
	}
	return fmt.Sprintf("extension %d", uint16(e))
}
