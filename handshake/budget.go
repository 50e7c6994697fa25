package handshake

// What a peer can make this side do for nothing is bounded. The figures are
// those that other TLS stacks allow, so that no honest peer meets them; each
// has a test at the limit and one past it.
const (
	maxEmptyRecords = 32 // in a row
	maxKeyUpdates   = 32 // in a row, without application data between them
	maxCCS          = 32 // per connection (section D.4 allows them during the handshake only)
	maxWarnings     = 4  // user_canceled alerts, in a row

	// maxMessageLen bounds a handshake message, and with it what a peer can
	// make us hold before it is authenticated, unless the Config has another
	// bound. A certificate chain is the largest honest one.
	maxMessageLen = 64 << 10
)

type budgets struct {
	emptyRecords, keyUpdates, ccs, warnings int
}

// spend takes one from a budget and tells whether it was there.
func spend(used *int, limit int) bool { *used++; return *used <= limit }
