package utlshello

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	utls "github.com/refraction-networking/utls"

	"github.com/tlstfo/tlstfo/handshake"
)

// SessionScope names the fingerprint by a digest: of its suites, its groups and which extensions it has. A tlstfo.Dialer
// keeps the sessions of each apart, also in a cache that several share, so that no server sees a ticket under two of them.
func (b *Builder) SessionScope() string {
	if b.scope == nil {
		return "" // of the zero Builder, which makes no hello
	}
	return b.scope()
}

// digest makes the name of a spec that is the same in every process, whatever its GREASE and however its extensions are shuffled.
func digest(spec *utls.ClientHelloSpec) string {
	var suites, groups []uint16
	var types []string
	for _, s := range spec.CipherSuites {
		suites = append(suites, withoutGREASE(s))
	}
	for _, e := range spec.Extensions {
		switch e := e.(type) {
		case *utls.SupportedCurvesExtension:
			for _, g := range e.Curves {
				groups = append(groups, withoutGREASE(uint16(g)))
			}
		case *utls.GenericExtension:
			types = append(types, fmt.Sprint(e.Id))
		}
		types = append(types, fmt.Sprintf("%T", e))
	}
	slices.Sort(types)
	sum := sha256.Sum256(fmt.Append(nil, suites, groups, types))
	return hex.EncodeToString(sum[:16])
}

func withoutGREASE(v uint16) uint16 {
	if handshake.IsGREASE(v) {
		return utls.GREASE_PLACEHOLDER
	}
	return v
}
