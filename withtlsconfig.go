package tlstfo

import "crypto/tls"

// WithTLSConfig returns a Dialer that is d but for its TLSConfig, for clients
// that learn late which server name or which protocols they need. Until its first use
// more of its fields may be changed; for d it is a use.
//
// Both have in common what they learn of servers, and their sessions, in Sessions or in memory, as
// far as these may be shared (see Partition). Flush and Close of either are for both. A KeyLogWriter in the TLSConfig of the
// result has their lock, so that they never write at once, nor does who else is given that config.
func (d *Dialer) WithTLSConfig(config *tls.Config) *Dialer {
	d.init()
	sessions := d.Sessions
	if sessions == nil && !privateSessions(d.config, d.Partition) {
		sessions = d.own
	}
	return &Dialer{
		TLSConfig:      d.lockKeyLog(config),
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
		Trace:          d.Trace,
		hosts:          hosts{of: d.first()},
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
