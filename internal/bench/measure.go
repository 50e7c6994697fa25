package main

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"time"
)

// row is one comparison: the same work, done by two sides.
type row struct {
	name string
	ops  int // in a round
	unit int // bytes in an operation, for bulk transfers: figures are per MiB then
	// ours and theirs prepare ops operations, and return what does them. What they
	// prepare is not measured.
	ours, theirs func(ops int) (batch, error)
}

// batch is a number of prepared operations.
type batch struct {
	run func() error
	end func() error // looks at them and releases what is left; not measured
}

// cost is what a batch took, per operation.
type cost struct {
	cpu           time.Duration
	bytes, allocs float64
}

type result struct {
	row          *row
	cpu          float64 // median of the ratios of the rounds
	ours, theirs cost    // medians
}

// measure measures CPU time in alternating rounds, and memory once.
func (r *row) measure(rounds int) (result, error) {
	sides := [2]func(int) (batch, error){r.ours, r.theirs}
	var cpu [2][]time.Duration
	var ratios []float64
	for round := -1; round < rounds; round++ { // the first warms up
		var spent [2]time.Duration
		for i := range sides {
			side := i ^ round&1 // each goes first in every other round
			c, err := r.once(sides[side], false)
			if err != nil {
				return result{}, err
			}
			spent[side] = c.cpu
		}
		if round >= 0 {
			ratios = append(ratios, float64(spent[0])/float64(spent[1]))
			cpu[0], cpu[1] = append(cpu[0], spent[0]), append(cpu[1], spent[1])
		}
	}
	res := result{row: r, cpu: median(ratios)}
	var err error
	if res.ours, err = r.memory(r.ours); err != nil {
		return result{}, err
	}
	if res.theirs, err = r.memory(r.theirs); err != nil {
		return result{}, err
	}
	res.ours.cpu, res.theirs.cpu = median(cpu[0]), median(cpu[1])
	return res, nil
}

// memory counts bytes and allocations: the least of three counts, because the
// runtime may allocate for itself.
func (r *row) memory(side func(int) (batch, error)) (least cost, err error) {
	for i := range 3 {
		c, err := r.once(side, true)
		if err != nil {
			return cost{}, err
		}
		if i == 0 || c.allocs < least.allocs {
			least = c
		}
	}
	return least, nil
}

// once runs a batch, without garbage collection if it is memory that matters.
func (r *row) once(side func(int) (batch, error), memory bool) (cost, error) {
	b, err := side(r.ops)
	if err != nil {
		return cost{}, err
	}
	runtime.GC()
	var before, after runtime.MemStats
	if memory {
		defer debug.SetGCPercent(debug.SetGCPercent(-1))
		if err := r.one(side); err != nil { // fills the pools that the collection emptied
			return cost{}, err
		}
		runtime.ReadMemStats(&before)
	}
	start := cpuTime()
	err = b.run()
	spent := cpuTime() - start
	if memory {
		runtime.ReadMemStats(&after)
	}
	if err = errors.Join(err, b.end()); err != nil {
		return cost{}, err
	}
	per := float64(r.ops)
	if r.unit > 0 {
		per *= float64(r.unit) / (1 << 20)
	}
	return cost{
		cpu:    time.Duration(float64(spent) / per),
		bytes:  float64(after.TotalAlloc-before.TotalAlloc) / per,
		allocs: float64(after.Mallocs-before.Mallocs) / per,
	}, nil
}

// one does one operation.
func (r *row) one(side func(int) (batch, error)) error {
	b, err := side(1)
	if err != nil {
		return err
	}
	return errors.Join(b.run(), b.end())
}

func (r result) String() string {
	name := r.row.name
	if r.row.unit > 0 {
		name += " (per MiB)"
	}
	us := func(d time.Duration) float64 { return float64(d) / 1e3 }
	return fmt.Sprintf("%-34s %6.2f %6s %6s   %9.1f / %9.1f %8.0f / %8.0f %6.1f / %6.1f", name,
		r.cpu, ratio(r.ours.bytes, r.theirs.bytes), ratio(r.ours.allocs, r.theirs.allocs),
		us(r.ours.cpu), us(r.theirs.cpu), r.ours.bytes, r.theirs.bytes, r.ours.allocs, r.theirs.allocs)
}

// ratio prints a ratio, of which both sides may be nothing.
func ratio(ours, theirs float64) string {
	if ours < 0.5 && theirs < 0.5 {
		return "-"
	}
	return fmt.Sprintf("%.2f", ours/theirs)
}

func median[T float64 | time.Duration](values []T) T {
	values = slices.Sorted(slices.Values(values))
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}
