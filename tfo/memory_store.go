package tfo

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// BackOff is what a Memory holds about a place.
type BackOff struct {
	// Network is an IPv4 source address, or the first address of an IPv6 source prefix of 64 bits; zero if unknown.
	Network netip.Addr

	Destination netip.Addr // zero: the whole network
	Failures    int        // in a row; at least 1
	Until       time.Time  // when Fast Open is tried again; it may have passed
	Why         Failure    // the last of them
}

// String renders b on one line, for instance
//
//	192.0.2.2 from 192.0.2.1: no answer to the SYN, 2 failures, avoided until 2026-01-02T15:04:05Z
func (b BackOff) String() string {
	var s strings.Builder
	if b.Destination.IsValid() {
		fmt.Fprintf(&s, "%v from ", b.Destination)
	} else {
		s.WriteString("everything from ")
	}
	switch {
	case !b.Network.IsValid():
		s.WriteString("anywhere")
	case b.Network.Is6():
		fmt.Fprintf(&s, "%v/64", b.Network)
	default:
		s.WriteString(b.Network.String())
	}
	plural := "s"
	if b.Failures == 1 {
		plural = ""
	}
	fmt.Fprintf(&s, ": %v, %d failure%s, avoided until %s", b.Why, b.Failures, plural, b.Until.UTC().Format(time.RFC3339))
	return s.String()
}

// Snapshot returns what m holds, the longest unused first.
func (m *Memory) Snapshot() []BackOff {
	m.mu.Lock()
	defer m.mu.Unlock()
	places := make([]place, 0, len(m.entries))
	for p, e := range m.entries {
		if e.failures > 0 { // else a network that has not backed off
			places = append(places, p)
		}
	}
	slices.SortFunc(places, func(p, q place) int { return cmp.Compare(m.entries[p].used, m.entries[q].used) })
	list := make([]BackOff, len(places))
	for i, p := range places {
		list[i] = m.entries[p].backOff(p)
	}
	return list
}

// String renders what m holds, a line each.
func (m *Memory) String() string {
	var s strings.Builder
	for _, b := range m.Snapshot() {
		s.WriteString(b.String())
		s.WriteByte('\n')
	}
	return s.String()
}

// What MarshalBinary writes: a version byte and a count of two bytes, and of each back-off, the longest unused first, two addresses (a length byte and so many bytes), the
// number of failures, the kind of the last one, and the end in seconds of Unix time (8 bytes). Numbers are big-endian.
const (
	memoryVersion = 1
	maxAddress    = 16 + 64 // with a zone
)

var errMemory = errors.New("tfo: malformed memory")

// MarshalBinary returns what m holds, for UnmarshalBinary in another process. It tells which hosts were dialled from where: treat it as private.
func (m *Memory) MarshalBinary() ([]byte, error) {
	b := []byte{memoryVersion, 0, 0}
	count := uint16(0)
	for _, o := range m.Snapshot() {
		network, _ := o.Network.AppendBinary(nil)
		destination, _ := o.Destination.AppendBinary(nil)
		if len(destination) > maxAddress {
			continue
		}
		b = append(append(b, byte(len(network))), network...)
		b = append(append(b, byte(len(destination))), destination...)
		b = append(b, byte(o.Failures), byte(o.Why))
		b = binary.BigEndian.AppendUint64(b, uint64(o.Until.Unix()))
		count++
	}
	binary.BigEndian.PutUint16(b[1:], count)
	return b, nil
}

// UnmarshalBinary replaces what m holds by what MarshalBinary wrote. After an error m is unchanged.
func (m *Memory) UnmarshalBinary(data []byte) error {
	if len(data) > 0 && data[0] != memoryVersion {
		return fmt.Errorf("tfo: memory of version %d, not %d", data[0], memoryVersion)
	}
	if len(data) < 3 {
		return errMemory
	}
	count, b := int(binary.BigEndian.Uint16(data[1:])), data[3:]
	if count > maxEntries {
		return fmt.Errorf("%w: %d back-offs, at most %d", errMemory, count, maxEntries)
	}
	latest := m.now().Add(mostBackOff)
	entries := make(map[place]*entry)
	for i := range count {
		var p place
		var err error
		if p.network, b, err = cutAddress(b); err != nil {
			return err
		}
		if p.destination, b, err = cutAddress(b); err != nil {
			return err
		}
		if len(b) < 10 {
			return errMemory
		}
		failures, why, until := int(b[0]), Failure(b[1]), time.Unix(int64(binary.BigEndian.Uint64(b[2:])), 0)
		b = b[10:]
		if !p.network.IsValid() && !p.destination.IsValid() || p.network != networkOf(p.network) || failures == 0 || entries[p] != nil {
			return errMemory
		}
		if until.After(latest) { // the clock was set back, or somebody wrote this
			until = latest
		}
		entries[p] = &entry{failures: failures, until: until, why: why, used: uint64(i + 1)}
	}
	if len(b) > 0 {
		return errMemory
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries, m.uses = entries, uint64(count)
	return nil
}

// cutAddress takes an address off the front of b.
func cutAddress(b []byte) (netip.Addr, []byte, error) {
	if len(b) == 0 || int(b[0]) > len(b)-1 || int(b[0]) > maxAddress {
		return netip.Addr{}, nil, errMemory
	}
	var addr netip.Addr
	if err := addr.UnmarshalBinary(b[1 : 1+int(b[0])]); err != nil {
		return netip.Addr{}, nil, fmt.Errorf("%w: %w", errMemory, err)
	}
	if addr.Is4In6() {
		return netip.Addr{}, nil, errMemory
	}
	return addr, b[1+int(b[0]):], nil
}
