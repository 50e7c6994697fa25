package handshake

// What a peer can make this side do for nothing is bounded. The figures are
// those that other TLS stacks allow, so that no honest peer meets them; each
// has a test at the limit and one past it.
const (
	maxEmptyRecords = 32  // in a row
	maxKeyUpdates   = 32  // in a row, without application data between them
	maxTickets      = 256 // in a row, without application data between them
	maxCCS          = 32  // per connection (section D.4 allows them during the handshake only)
	maxWarnings     = 4   // user_canceled alerts, in a row

	// maxMessageLen bounds a handshake message, and with it what a peer can
	// make us hold before it is authenticated, unless the Config has another
	// bound. A certificate chain is the largest honest one.
	maxMessageLen = 64 << 10

	// maxIdentities bounds the PSKs of a hello that a server looks at: each costs
	// a decryption.
	maxIdentities = 5
)

// Early data that a server refuses is skipped unread (section 4.2.10), as much
// as the ticket can have allowed: the largest of what it says, if it was opened, the
// server's own limit, and leastSkipped. There is room for spareSkipped more, since padding cannot be
// told from content, and an alert may be among it.
const (
	leastSkipped = 14 << 10
	spareSkipped = 1 << 10
)

// skipBudget is the early data that a server may still skip.
type skipBudget struct {
	on   bool
	left int // bytes of content
}

// newSkipBudget is for a ticket that allowed as many bytes of early data.
func newSkipBudget(allowed uint32) skipBudget {
	return skipBudget{on: true, left: int(min(max(allowed, leastSkipped), 1<<30)) + spareSkipped}
}

// spend takes a record, whose protected body has n bytes, and tells whether
// there was room for its content. An empty one counts as well.
func (b *skipBudget) spend(n int) bool {
	b.left -= max(n-(recordOverhead-recordHeaderLen), 1)
	return b.left >= 0
}

type budgets struct {
	emptyRecords, keyUpdates, tickets, ccs, warnings int
}

// spend takes one from a budget and tells whether it was there.
func spend(used *int, limit int) bool { *used++; return *used <= limit }
