package netlab

import (
	"fmt"
	"time"
)

// The faults that a wire can have.
const (
	DropSYNData  = "drop-syn-data" // a SYN with payload vanishes
	StripPayload = "strip-payload" // a SYN with payload arrives without it
)

// A Fault is something that the wire does wrong, by name, for Lab.SetFaults.
type Fault struct {
	Name  string
	From  Side `json:",omitempty"` // only to packets from this side; 0: from both
	Times int  `json:",omitempty"` // only so many times; 0: always
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
	if f.From > ServerSide || f.Times < 0 {
		return nil, fmt.Errorf("netlab: fault %q: there is no %v, or %d times is negative", f.Name, f.From, f.Times)
	}
	switch f.Name {
	case DropSYNData:
		return f.when(synData, func(frame) []frame { return nil }), nil
	case StripPayload:
		return f.when(synData, func(f frame) []frame { return []frame{f.withPayload(nil)} }), nil
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
