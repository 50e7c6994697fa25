package tlstfo

import "crypto/tls"

// WithTLSConfig returns a Dialer that is d but for its TLSConfig, for clients
// that learn late which server name or which protocols they need. Until its first use
// more of its fields may be changed; for d it is a use.
//
// Both have their sessions in common, in Sessions or in memory, as far as Sessions could be
// shared (see Partition), and the memory of where Fast Open did harm; Flush and Close of either are for both.
// What else a Dialer learns each learns for itself, so that it is better kept than made for each connection.
func (d *Dialer) WithTLSConfig(config *tls.Config) *Dialer {
	d.init()
	sessions := d.Sessions
	if sessions == nil && !privateSessions(d.config, d.Partition) {
		sessions = d.own
	}
	return &Dialer{
		TLSConfig:      config,
		NetDialer:      d.NetDialer,
		Sessions:       sessions,
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
