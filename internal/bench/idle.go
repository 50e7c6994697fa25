package main

import (
	"fmt"
	"io"
	"runtime"
)

// idle compares the memory of connections that do nothing.
type idle struct {
	name         string
	conns        int
	at           string
	ours, theirs *side
	before       func(conn) error // what the connection has done; nil: a small exchange
}

func idles(s *servers) []*idle {
	return []*idle{
		{name: "idle connection", conns: 400, at: s.std, ours: ours(s, classical, false), theirs: theirs(s, classical, false)},
		{name: "idle connection after bulk", conns: 100, at: s.std, ours: ours(s, classical, false), theirs: theirs(s, classical, false), before: bothWays},
	}
}

// bothWays sends and receives a megabyte.
func bothWays(c conn) error {
	if _, err := c.Write(append(request(bulk, bulk), make([]byte, bulk)...)); err != nil {
		return err
	}
	_, err := io.CopyN(io.Discard, c, bulk)
	return err
}

type idleResult struct {
	idle         *idle
	ours, theirs float64
}

// measure returns the medians of some counts.
func (i *idle) measure(rounds int) (idleResult, error) {
	var counts [2][]float64
	for range rounds {
		for k, side := range []*side{i.ours, i.theirs} {
			n, err := i.heap(side)
			if err != nil {
				return idleResult{}, err
			}
			counts[k] = append(counts[k], n)
		}
	}
	return idleResult{i, median(counts[0]), median(counts[1])}, nil
}

// heap opens connections and counts what each holds, stacks included.
func (i *idle) heap(side *side) (float64, error) {
	warm, err := side.open(i.at)
	if err != nil {
		return 0, err
	}
	warm.Close()
	conns := make([]conn, i.conns)
	before := inUse()
	for k := range conns {
		c, err := side.open(i.at)
		if err == nil && i.before != nil {
			err = i.before(c)
		}
		if err != nil {
			return 0, err
		}
		conns[k] = c
	}
	held := inUse() - before
	for _, c := range conns {
		c.Close()
	}
	return float64(held) / float64(i.conns), nil
}

// inUse is the memory that survives garbage collection. Pools survive one.
func inUse() int64 {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

func (r idleResult) String() string {
	return fmt.Sprintf("%-32s %7.2f   %.0f / %.0f", r.idle.name, r.ours/r.theirs, r.ours, r.theirs)
}
