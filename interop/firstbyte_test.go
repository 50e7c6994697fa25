package interop

import (
	"cmp"
	"encoding/binary"
	"slices"
	"time"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

// toFirstByte is the time from the first SYN that the client sent to the first byte of the response that it could use: all before it is there, on a connection that
// was up, and that the client had not given up. It is an hour if there is none in the log.
func (x *exchange) toFirstByte() time.Duration {
	const never = time.Hour
	best, began := never, time.Duration(-1)
	for _, c := range x.all.Conns() {
		syn := c.Packets[0]
		if syn.Fault == netlab.ReplaySYNData && syn.Fate != netlab.Replaced { // of an earlier connection
			continue
		}
		if began < 0 {
			began = syn.Sent
		}
		if at, ok := usable(c, x.user.big); ok {
			best = min(best, at-began)
		}
	}
	return best
}

// usable is when the first byte of the first record of application data that is at least big bytes long has come, after all before it.
func usable(c netlab.Conn, big int) (time.Duration, bool) {
	gone := time.Duration(-1) // when the client gave up
	for _, p := range c.FromClient() {
		if p.Flags&(netlab.RST|netlab.FIN) != 0 && gone < 0 {
			gone = p.Sent
		}
	}
	from := c.FromServer().Filter(func(p netlab.Packet) bool { return p.Fate == netlab.Delivered && (gone < 0 || p.Delivered < gone) })
	slices.SortStableFunc(from, func(p, q netlab.Packet) int { return cmp.Compare(p.Delivered, q.Delivered) })
	up := slices.IndexFunc(from, func(p netlab.Packet) bool { return p.Flags.Has(netlab.SYN | netlab.ACK) })
	if up < 0 {
		return 0, false
	}
	base := from[up].Seq + 1
	bytes, times := map[uint32]byte{}, map[uint32]time.Duration{}
	for _, p := range from[up+1:] {
		for i, b := range p.Payload {
			at := p.Seq - base + uint32(i)
			if _, again := times[at]; !again {
				bytes[at], times[at] = b, p.Delivered
			}
		}
	}
	var head []byte
	var latest time.Duration
	skip, want := 0, 5
	for i := uint32(0); ; i++ {
		at, ok := times[i]
		if !ok {
			return 0, false
		}
		latest = max(latest, at)
		if skip > 0 {
			skip--
			continue
		}
		if head = append(head, bytes[i]); len(head) < want {
			continue
		}
		size := int(binary.BigEndian.Uint16(head[3:]))
		if head[0] == 23 && size >= big {
			return latest, true
		}
		head, skip = head[:0], size
	}
}
