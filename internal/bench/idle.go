package main

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
)

// idle compares the memory of connections that do nothing.
type idle struct {
	name         string
	conns        int
	ours, theirs *side
	before       func(conn) error // what the connection has done; nil: a small exchange
	waits        bool             // a goroutine reads from it
}

func idles(s *servers) []*idle {
	over := func(name string, conns int) *idle {
		return &idle{name: name, conns: conns, ours: ours(s, classical, false), theirs: theirs(s, classical, false)}
	}
	plain, bulk, reader := over("idle", 400), over("idle after bulk", 100), over("idle, a reader waits", 400)
	bulk.before = bothWays
	reader.waits = true
	return []*idle{plain,
		{name: "idle, dialled", conns: 400, ours: oursDialled(s), theirs: theirsDialled(s)}, bulk, reader}
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
	if warm, err := side.open(); err != nil {
		return 0, err
	} else if err := warm.Close(); err != nil {
		return 0, err
	}
	conns := make([]conn, i.conns)
	var readers sync.WaitGroup
	defer readers.Wait()
	before := inUse()
	for k := range conns {
		c, err := side.open()
		if err != nil {
			return 0, err
		}
		defer c.Close()
		if conns[k] = c; i.before != nil {
			if err := i.before(c); err != nil {
				return 0, err
			}
		}
		if i.waits {
			readers.Go(func() { c.Read(make([]byte, 1)) })
		}
	}
	held := inUse() - before
	runtime.KeepAlive(conns)
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
	return fmt.Sprintf("%-34s %6.2f   %.0f / %.0f", r.idle.name, r.ours/r.theirs, r.ours, r.theirs)
}

// matches tells whether a row is to be shown.
func matches(name, only string) bool { return strings.Contains(name, only) }
