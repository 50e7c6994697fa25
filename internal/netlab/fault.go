package netlab

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// The faults that a wire can have. A SYN is that of a client here, the first packet of a connection; a SYN-ACK answers it.
const (
	DropSYNData  = "drop-syn-data"   // a SYN with payload vanishes
	DropTFO      = "drop-tfo-option" // a SYN with a TCP Fast Open option vanishes
	StripTFO     = "strip-tfo"       // SYN and SYN-ACK arrive without that option (but with their payload)
	StripPayload = "strip-payload"   // a SYN with payload arrives without it
	ResetSYNData = "reset-syn-data"  // a SYN with payload is answered by a reset, after Delay, instead of arriving
	ResetTFO     = "reset-tfo"       // a SYN with a TCP Fast Open option likewise

	DropSYNACK  = "drop-syn-ack"  // a SYN-ACK vanishes; with Times: 1 only the first
	BlackHole   = "black-hole"    // after the SYN-ACK to a SYN with payload, everything vanishes
	OneByteLess = "one-byte-less" // the SYN-ACK to a SYN with payload acknowledges all but the last byte, as some proxies do

	DuplicateSYNData = "duplicate-syn-data" // a SYN with payload arrives once more, Delay later
	ReplaySYNData    = "replay-syn-data"    // a SYN with payload arrives once more, Delay after its connection has ended

	DeadIPv4 = "dead-ipv4" // every packet over IPv4 vanishes
	DeadIPv6 = "dead-ipv6" // over IPv6
	Loss     = "loss"      // Percent of all packets vanish, at random
	Reorder  = "reorder"   // Percent of all packets, at random, take Delay longer than the others
)

// A Fault is something that the wire does wrong, by name, for Lab.SetFaults.
type Fault struct {
	Name    string
	From    Side          `json:",omitempty"` // only to packets from this side; 0: from both
	Times   int           `json:",omitempty"` // only so many times; 0: always
	Percent int           `json:",omitempty"` // of all packets
	Delay   time.Duration `json:",omitempty"`
	Seed    uint64        `json:",omitempty"` // of what is random: the same seed, the same decisions
}

// A frame is a TCP packet on its way through the rules of a wire.
type frame struct {
	Packet        // as parsed from raw
	at     layout // in raw
	raw    []byte // the Ethernet frame; a rule that changes it makes a copy

	entry *Packet // its place in the log; nil for a frame that a rule made
	maker string  // the rule that made it

	back  bool          // goes to where the frame that a rule was given came from: an answer that the wire made up
	delay time.Duration // on top of half the round-trip time (an answer that the wire made up takes only this)
}

// A rule decides about one TCP packet and returns what goes on instead: the frame itself (pass), nothing (drop), a changed
// copy (edited), the frame with a delay, the frame and copies of it (copied), or with them answers that go back (back set). It
// runs on the wire's only goroutine.
type rule func(f frame) []frame

// rule returns the rule that carries out the fault.
func (f Fault) rule() (rule, error) {
	random := f.Name == Loss || f.Name == Reorder
	switch {
	case f.From > ServerSide || f.Times < 0:
		return nil, fmt.Errorf("netlab: fault %q: there is no %v, or %d times is negative", f.Name, f.From, f.Times)
	case random && (f.Percent < 1 || f.Percent > 100), !random && f.Percent != 0:
		return nil, fmt.Errorf("netlab: fault %q: %d percent", f.Name, f.Percent)
	case f.Delay < 0:
		return nil, fmt.Errorf("netlab: fault %q: negative delay %v", f.Name, f.Delay)
	}
	switch f.Name {
	case DropSYNData:
		return f.when(synData, drop), nil
	case DropTFO:
		return f.when(synTFO, drop), nil
	case StripTFO:
		return f.when(hasTFO, func(f frame) []frame { return []frame{f.withoutTFO()} }), nil
	case StripPayload:
		return f.when(synData, func(f frame) []frame { return []frame{f.withPayload(nil)} }), nil
	case ResetSYNData:
		return f.when(synData, f.reset), nil
	case ResetTFO:
		return f.when(synTFO, f.reset), nil
	case DropSYNACK:
		return f.when(synACK, drop), nil
	case BlackHole:
		return f.blackHole(), nil
	case OneByteLess:
		return f.oneByteLess(), nil
	case DuplicateSYNData:
		return f.when(synData, func(fr frame) []frame {
			again := fr.copied()
			again.delay += f.Delay
			return []frame{fr, again}
		}), nil
	case ReplaySYNData:
		return f.replay(), nil
	case DeadIPv4:
		return f.when(func(f frame) bool { return f.IPVersion() == 4 }, drop), nil
	case DeadIPv6:
		return f.when(func(f frame) bool { return f.IPVersion() == 6 }, drop), nil
	case Loss:
		return f.when(f.chance(), drop), nil
	case Reorder:
		return f.when(f.chance(), func(fr frame) []frame {
			fr.delay += f.Delay
			return []frame{fr}
		}), nil
	}
	return nil, fmt.Errorf("netlab: no fault is called %q", f.Name)
}

// when applies a rule to the packets that match, from the fault's side and as often as it says.
func (f Fault) when(match func(frame) bool, then rule) rule {
	left := f.Times
	return func(fr frame) []frame {
		if f.From != 0 && fr.From != f.From || !match(fr) || f.Times > 0 && left == 0 {
			return []frame{fr}
		}
		left--
		return then(fr)
	}
}

func synData(f frame) bool { return f.Flags&(SYN|ACK) == SYN && f.Len > 0 }

func synTFO(f frame) bool { return f.Flags&(SYN|ACK) == SYN && f.TFO.Kind != 0 }

func synACK(f frame) bool { return f.Flags&(SYN|ACK) == SYN|ACK }

func hasTFO(f frame) bool { return f.TFO.Kind != 0 }

// chance returns a match of Percent of the packets.
func (f Fault) chance() func(frame) bool {
	dice := rand.New(rand.NewPCG(f.Seed, 0))
	return func(frame) bool { return dice.IntN(100) < f.Percent }
}

func drop(frame) []frame { return nil }

// reset answers instead of the other host (RFC 9293 section 3.10.7.1: it acknowledges the SYN and its payload).
func (f Fault) reset(fr frame) []frame {
	answer := fr.answered(RST|ACK, 0, fr.Seq+1+uint32(fr.Len))
	answer.back, answer.delay = true, f.Delay
	return []frame{answer}
}
