//go:build race

package main

// raceEnabled: the race detector allocates on its own.
const raceEnabled = true
