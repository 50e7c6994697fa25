//go:build !unix && !windows

package main

import "os"

func terminalWidth(*os.File) (int, bool) { return 0, false }
