package handshake

import (
	"encoding/binary"
	"testing"
)

// What a peer can put into one message before it is authenticated costs work
// in proportion: duplicates are not looked for by comparing each with each.
func TestRepeatsIsLinear(t *testing.T) {
	for _, n := range []int{0, 1, 2, 32, 33, 16000} {
		list := make([]uint16, n)
		for i := range list {
			list[i] = uint16(n - i)
		}
		calls := 0
		id := func(v uint16) uint16 { calls++; return v }
		if repeats(list, id) {
			t.Errorf("%d different ones: a duplicate was found", n)
		}
		if calls > 32*max(n, 1) {
			t.Errorf("%d elements were looked at %d times", n, calls)
		}
		if n >= 2 {
			if list[n-1] = list[0]; !repeats(list, id) {
				t.Errorf("%d with a duplicate: none was found", n)
			}
		}
	}
}

// A hello with as many extensions, or key shares, as there is room for is
// looked through, in whatever order the second hello has them.
func TestServerManyExtensions(t *testing.T) {
	cfg, client, _ := serverSetup(t)
	long := func(step int) (list []extension) {
		for i := range 15000 {
			list = append(list, extension{typ: uint16(0x4000 + (i*step)%15000)})
		}
		return list
	}
	a, b := firstHello(t, client), firstHello(t, client)
	b.random, b.sessionID = a.random, a.sessionID
	share := []byte{0, 6, 0, 23, 0, 2, 9, 9}
	b.set(extKeyShare, share)
	first := append(long(1), a.extensions...)
	a.extensions, b.extensions = first, append(long(7), b.extensions...)
	parse := func(h *clientHello) *clientHello {
		parsed, fault := parseClientHello(h.marshal())
		if fault != 0 {
			t.Fatal(fault)
		}
		return parsed
	}
	if fault := parse(b).checkRetried(parse(a), 23); fault != 0 {
		t.Errorf("the same in another order: %v", fault)
	}
	b.extensions[0].data = []byte{1}
	if fault := parse(b).checkRetried(parse(a), 23); fault != FaultSecondHelloChanged {
		t.Errorf("another content: %v", fault)
	}
	a.extensions = append(a.extensions, extension{typ: 0x4000})
	if _, fault := parseClientHello(a.marshal()); fault != FaultDecode {
		t.Errorf("a duplicate among thousands: %v", fault)
	}

	h := firstHello(t, client)
	list := h.get(extKeyShare)[2:]
	for i := range 12000 {
		list = append(binary.BigEndian.AppendUint16(list, uint16(0x4000+i)), 0, 1, 9)
	}
	h.set(extKeyShare, append(binary.BigEndian.AppendUint16(nil, uint16(len(list))), list...))
	s, err := NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.Feed(appendPlaintext(nil, recordHandshake, 0x0301, h.marshal()))
	if _, err := s.Next(testTime); err != nil || s.State() != StateFinished {
		t.Errorf("thousands of shares: %v", err)
	}
}
