package utlshello

import (
	"crypto/tls"
	"fmt"
	"io"
	"slices"

	utls "github.com/refraction-networking/utls"

	"github.com/tlstfo/tlstfo/handshake"
)

// fillShares makes the keys of all shares: utls would keep that of one classical share only. Each has a key of its own, as in
// browsers. GREASE (RFC 8701) is left as it is.
func fillShares(shares []utls.KeyShare, rand io.Reader) ([]handshake.ShareKey, error) {
	var keys []handshake.ShareKey
	for i := range shares {
		if handshake.IsGREASE(uint16(shares[i].Group)) {
			continue
		}
		key, public, err := handshake.GenerateKeyShare(tls.CurveID(shares[i].Group), rand)
		if err != nil {
			return nil, fmt.Errorf("a key share of %s cannot be made", groupName(shares[i].Group))
		}
		shares[i].Data = public
		keys = append(keys, key)
	}
	return keys, nil
}

// groupName names the groups that presets have and the engine does not.
func groupName(g utls.CurveID) string {
	switch g {
	case utls.X25519Kyber768Draft00, utls.X25519Kyber512Draft00, utls.X25519Kyber768Draft00Old, utls.P256Kyber768Draft00:
		return fmt.Sprintf("a Kyber draft (%#04x), which X25519MLKEM768 has replaced,", uint16(g))
	}
	return tls.CurveID(g).String()
}

// known tells whether Config.Groups can speak about the group.
func known(g utls.CurveID) bool { return slices.Contains(handshake.DefaultGroups(), tls.CurveID(g)) }

// forbidden tells that the Config does not allow a group of the fingerprint. A nil Groups allows all. Groups that the engine
// does not have are for show, like GREASE, and stay.
func forbidden(g utls.CurveID, cfg *handshake.Config) bool {
	return cfg.Groups != nil && known(g) && !slices.Contains(cfg.Groups, tls.CurveID(g))
}
