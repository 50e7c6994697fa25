package netlab

import (
	"encoding/binary"
	"slices"
)

// withPayload returns a copy of the frame with another TCP payload, lengths and checksums corrected.
func (f frame) withPayload(payload []byte) frame {
	raw := slices.Concat(f.raw[:f.at.payload], payload)
	if f.IPVersion() == 4 {
		binary.BigEndian.PutUint16(raw[f.at.ip+2:], uint16(len(raw)-f.at.ip))
	} else {
		binary.BigEndian.PutUint16(raw[f.at.ip+4:], uint16(len(raw)-f.at.ip-40))
	}
	return f.edited(raw)
}

// withoutTFO returns a copy of the frame with padding in place of the TCP Fast Open option.
func (f frame) withoutTFO() frame {
	raw := slices.Clone(f.raw[:f.at.end])
	options := raw[f.at.tcp+20 : f.at.payload]
	start, end := findTFO(options)
	for i := start; i < end; i++ {
		options[i] = optNop
	}
	return f.edited(raw)
}

// withAck returns a copy of the frame with another acknowledgement number.
func (f frame) withAck(ack uint32) frame {
	raw := slices.Clone(f.raw[:f.at.end])
	binary.BigEndian.PutUint32(raw[f.at.tcp+8:], ack)
	return f.edited(raw)
}

// answered returns a packet without payload that seems to come from where the frame was going to.
func (f frame) answered(flags TCPFlags, seq, ack uint32) frame {
	raw := slices.Clone(f.raw[:f.at.tcp+20])
	copy(raw[0:], f.raw[6:12])
	copy(raw[6:], f.raw[0:6])
	ip := raw[f.at.ip:]
	if f.IPVersion() == 4 {
		copy(ip[12:], f.raw[f.at.ip+16:f.at.ip+20])
		copy(ip[16:], f.raw[f.at.ip+12:f.at.ip+16])
		binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	} else {
		copy(ip[8:], f.raw[f.at.ip+24:f.at.ip+40])
		copy(ip[24:], f.raw[f.at.ip+8:f.at.ip+24])
		binary.BigEndian.PutUint16(ip[4:], uint16(len(ip)-40))
	}
	tcp := raw[f.at.tcp:]
	binary.BigEndian.PutUint16(tcp, f.Dst.Port())
	binary.BigEndian.PutUint16(tcp[2:], f.Src.Port())
	binary.BigEndian.PutUint32(tcp[4:], seq)
	binary.BigEndian.PutUint32(tcp[8:], ack)
	tcp[12], tcp[13] = 5<<4, uint8(flags)
	clear(tcp[14:20]) // window, checksum, urgent pointer
	f.From = f.From.other()
	return f.edited(raw)
}

// edited returns the frame with other bytes: f.at.ip and f.at.tcp must still hold and the IP lengths be right. Checksums are
// computed anew, the fields parsed again.
func (f frame) edited(raw []byte) frame {
	f.at.end = len(raw)
	if f.IPVersion() == 4 {
		header := raw[f.at.ip:f.at.tcp]
		binary.BigEndian.PutUint16(header[10:], 0)
		binary.BigEndian.PutUint16(header[10:], ^fold(sum(0, header)))
	}
	tcp := raw[f.at.tcp:]
	binary.BigEndian.PutUint16(tcp[16:], 0)
	binary.BigEndian.PutUint16(tcp[16:], ^tcpSum(raw, f.at))
	from, sent := f.From, f.Sent
	f.Packet, f.at, _ = parse(raw)
	f.From, f.Sent, f.raw = from, sent, raw
	f.entry, f.maker = nil, ""
	return f
}

// copied returns a duplicate of the frame.
func (f frame) copied() frame {
	f.entry, f.maker = nil, ""
	return f
}

// tcpSum returns the ones' complement sum over pseudo header and segment, 0xffff for a segment whose checksum is right
// (RFC 9293 section 3.1).
func tcpSum(raw []byte, at layout) uint16 {
	ip, tcp := raw[at.ip:], raw[at.tcp:at.end]
	addresses := ip[12:20]
	if ip[0]>>4 == 6 {
		addresses = ip[8:40]
	}
	return fold(sum(sum(uint64(protoTCP+len(tcp)), addresses), tcp))
}

func sum(s uint64, b []byte) uint64 {
	for ; len(b) >= 2; b = b[2:] {
		s += uint64(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		s += uint64(b[0]) << 8
	}
	return s
}

func fold(s uint64) uint16 {
	for s>>16 != 0 {
		s = s&0xffff + s>>16
	}
	return uint16(s)
}
