package netlab

import "net/netip"

// Faults that follow connections.

// flow is a connection by its ends.
type flow struct{ client, server netip.AddrPort }

// flow returns the connection of a packet: who is on the client's side of the wire counts as the client.
func (f frame) flow() flow {
	if f.From == ClientSide {
		return flow{f.Src, f.Dst}
	}
	return flow{f.Dst, f.Src}
}

// withSYNData keeps the SYN of each connection that began with one with payload. A SYN without, on the same ports, ends that.
type withSYNData map[flow]frame

func (w withSYNData) note(f frame) {
	switch {
	case synData(f):
		w[f.flow()] = f
	case f.Flags&(SYN|ACK) == SYN:
		delete(w, f.flow())
	}
}

// blackHole swallows what follows the SYN-ACK.
func (f Fault) blackHole() rule {
	began := make(withSYNData)
	swallow := f.when(func(fr frame) bool {
		_, ok := began[fr.flow()]
		return ok && fr.Flags&SYN == 0
	}, drop)
	return func(fr frame) []frame {
		began.note(fr)
		return swallow(fr)
	}
}

// oneByteLess makes the SYN-ACK acknowledge one byte less than all of the SYN's payload.
func (f Fault) oneByteLess() rule {
	began := make(withSYNData)
	less := f.when(func(fr frame) bool {
		syn, ok := began[fr.flow()]
		return ok && synACK(fr) && fr.Ack == syn.Seq+1+uint32(syn.Len)
	}, func(fr frame) []frame { return []frame{fr.withAck(fr.Ack - 1)} })
	return func(fr frame) []frame {
		began.note(fr)
		return less(fr)
	}
}

// replay sends the SYN again after the connection's last packet: a reset, or the acknowledgement of the second FIN.
func (f Fault) replay() rule {
	began := make(withSYNData)
	fins := make(map[flow]Side) // both: ClientSide|ServerSide
	again := f.when(func(fr frame) bool {
		_, ok := began[fr.flow()]
		return ok && (fr.Flags.Has(RST) || fins[fr.flow()] == ClientSide|ServerSide && fr.Flags&FIN == 0)
	}, func(fr frame) []frame {
		syn := began[fr.flow()].copied()
		syn.back = syn.From != fr.From
		syn.delay = f.Delay
		delete(began, fr.flow())
		delete(fins, fr.flow())
		return []frame{fr, syn}
	})
	return func(fr frame) []frame {
		began.note(fr)
		if _, ok := began[fr.flow()]; ok && fr.Flags.Has(FIN) {
			fins[fr.flow()] |= fr.From
		}
		return again(fr)
	}
}
