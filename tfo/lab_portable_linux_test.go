//go:build tlstfo_portable

package tfo

import "github.com/tlstfo/tlstfo/internal/netlab"

// Without Fast Open there is nothing that a hostile network takes offence at.
var labFuncs netlab.Funcs
