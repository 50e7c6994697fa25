package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"time"
)

// profiled is how long a profile takes, in CPU time.
const profiled = time.Second

// profile says in lines of text where the time of the row goes.
func (r *row) profile(theirsToo bool) (string, error) {
	text, err := r.profileSide(r.name, r.ours)
	if err == nil && theirsToo {
		var more string
		more, err = r.profileSide("  ... of crypto/tls", r.theirs)
		text += more
	}
	return text, err
}

func (r *row) profileSide(name string, side func(int) (batch, error)) (string, error) {
	file, err := os.CreateTemp("", "bench-*.pprof")
	if err != nil {
		return "", err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	if err := pprof.StartCPUProfile(file); err != nil {
		return "", err
	}
	err = func() error {
		defer pprof.StopCPUProfile()
		for start := cpuTime(); cpuTime()-start < profiled; {
			b, err := side(r.ops)
			if err != nil {
				return err
			}
			// Only this part counts: the label picks its samples.
			pprof.Do(context.Background(), pprof.Labels("bench", "run"), func(context.Context) { err = b.run() })
			if err = errors.Join(err, b.end()); err != nil {
				return err
			}
		}
		return nil
	}()
	if err != nil {
		return "", err
	}
	out, err := exec.Command("go", "tool", "pprof", "-top", "-nodefraction=0", "-nodecount=100000",
		"-tagfocus=bench=run", file.Name()).Output()
	if err != nil {
		return "", fmt.Errorf("go tool pprof: %w", err)
	}
	return fmt.Sprintf("  %-34s %s\n", name, summary(out)), nil
}

// summary adds up the flat time of each package in the output of pprof -top.
func summary(top []byte) string {
	shares := make(map[string]float64)
	for line := range bytes.Lines(top) {
		// flat flat% sum% cum cum% function
		fields := strings.Fields(string(line))
		if len(fields) < 6 || !strings.HasSuffix(fields[1], "%") {
			continue
		}
		share, err := strconv.ParseFloat(strings.TrimSuffix(fields[1], "%"), 64)
		if err != nil {
			continue
		}
		shares[packageOf(fields[5])] += share
	}
	names := slices.SortedFunc(maps.Keys(shares), func(a, b string) int { return cmp.Compare(shares[b], shares[a]) })
	var parts []string
	for _, name := range names {
		if shares[name] < 2 || len(parts) == 10 {
			break
		}
		parts = append(parts, fmt.Sprintf("%s %.0f%%", name, shares[name]))
	}
	return strings.Join(parts, ", ")
}

// packageOf returns the package of a function, shortened.
func packageOf(function string) string {
	slash := strings.LastIndexByte(function, '/')
	if dot := strings.IndexByte(function[slash+1:], '.'); dot >= 0 {
		function = function[:slash+1+dot]
	}
	for _, prefix := range []string{"github.com/tlstfo/", "crypto/internal/fips140/", "internal/runtime/"} {
		function = strings.TrimPrefix(function, prefix)
	}
	return function
}
