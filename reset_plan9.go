package tlstfo

// isReset would tell whether the peer reset the connection; Plan 9 does not say.
func isReset(error) bool { return false }
