package tlstfo

import "crypto/tls"

// WithTLSConfig returns a Dialer that is d but for its TLSConfig, for clients
// that need another server name or other protocols per connection. Until its first use
// more of its fields may be changed.
//
// Both have Sessions in common, where that is set, and the memory of where Fast Open did
// harm; Flush and Close of either are for both. What else a Dialer learns, the sessions in a
// memory of its own included, each learns for itself, so that a Dialer made anew for each
// connection would learn nothing.
func (d *Dialer) WithTLSConfig(config *tls.Config) *Dialer {
	return &Dialer{
		TLSConfig:      config,
		NetDialer:      d.NetDialer,
		Sessions:       d.Sessions,
		Partition:      d.Partition,
		Early:          d.Early,
		EarlyData:      d.EarlyData,
		FailOnReject:   d.FailOnReject,
		StrictIdentity: d.StrictIdentity,
		NoFastOpen:     d.NoFastOpen,
		FastOpen:       d.fastOpen(),
		Timeout:        d.Timeout,
		Cork:           d.Cork,
		ReadGrace:      d.ReadGrace,
		HybridRefresh:  d.HybridRefresh,
		Hello:          d.Hello,
		origin:         d.first(),
	}
}

// first is the Dialer that d was made from by WithTLSConfig, or d.
func (d *Dialer) first() *Dialer {
	if d.origin != nil {
		return d.origin
	}
	return d
}
