package waterfall

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

// Kind is what a part of a packet is.
type Kind uint8

// The kinds of parts.
const (
	SYN       Kind = iota
	Hello          // a hello, of either side, and what the server's handshake has behind it
	Finish         // the end of the client's handshake
	Early          // early data
	Request        // application data of the client, under traffic keys
	Response       // application data of the server
	Ticket         // tickets for later connections
	Control        // alerts and resets
	Encrypted      // records that the key log does not open
)

// A Part is a part of a packet, or of packets that left together.
type Part struct {
	Kind  Kind
	Name  string
	Bytes int  // of TLS records, headers and all; 0 for what is no payload
	Again bool // a retransmission
}

const (
	recordHeader = 5

	typeChangeCipherSpec = 20
	typeAlert            = 21
	typeHandshake        = 22
	typeApplicationData  = 23
)

// messageNames are those of handshake messages (RFC 8446, section 4) that are worth naming.
var messageNames = map[byte]string{1: "hello", 2: "hello", 4: "ticket", 5: "end of early data", 11: "certificate", 20: "Finished"}

const (
	messageNewSessionTicket = 4
	messageFinished         = 20
)

// notLogged is the name of payload that cannot be read because not all of it
// was kept.
const notLogged = "not in the log"

// record is a TLS record in a stream.
type record struct {
	start, end int // in the stream
	part       Part
}

// stream is what one side of a connection said.
type stream struct {
	base    uint32 // the sequence number of its first byte
	started bool
	data    []byte
	known   int // how many bytes of data, from the start, are known
	holes   [][2]int
	records []record
}

// maxStream bounds what is kept of one side: a sequence number far off is no reason to allocate gigabytes.
const maxStream = 1 << 20

// offset is where a packet's payload is in the stream.
func (s *stream) offset(p netlab.Packet) int {
	seq := p.Seq
	if p.Flags.Has(netlab.SYN) {
		seq++
	}
	return int(int32(seq - s.base))
}

// add takes in a packet. The first copy of a byte counts.
func (s *stream) add(p netlab.Packet) {
	if p.Flags.Has(netlab.SYN) && !s.started {
		s.base, s.started = p.Seq+1, true
	}
	at := s.offset(p)
	if !s.started || at < 0 || len(p.Payload) == 0 || at+len(p.Payload) > maxStream {
		return
	}
	s.holes = append(s.holes, [2]int{at, at + len(p.Payload)})
	if need := at + len(p.Payload); need > len(s.data) {
		s.data = append(s.data, make([]byte, need-len(s.data))...)
	}
	from := max(at, s.known)
	if from < at+len(p.Payload) {
		copy(s.data[from:], p.Payload[from-at:])
	}
	for grown := true; grown; {
		grown = false
		for _, h := range s.holes {
			if h[0] <= s.known && h[1] > s.known {
				s.known, grown = h[1], true
			}
		}
	}
}

// random returns the client random of a client's stream, or nil.
func (s *stream) random() []byte {
	const at = recordHeader + 4 + 2 // message header, version
	if s.known < at+32 || s.data[0] != typeHandshake || s.data[recordHeader] != 1 {
		return nil
	}
	return s.data[at : at+32]
}

// decode splits the stream into records and says what they are.
func (s *stream) decode(from netlab.Side, epochs []*epoch) {
	d := decoder{from: from, epochs: epochs}
	for at := 0; at+recordHeader <= s.known; {
		size := recordHeader + int(binary.BigEndian.Uint16(s.data[at+3:]))
		if kind := s.data[at]; kind < typeChangeCipherSpec || kind > typeApplicationData {
			return // no TLS
		}
		if at+size > s.known { // the end is missing
			s.records = append(s.records, record{at, at + size, Part{Kind: Encrypted, Name: notLogged}})
			return
		}
		s.records = append(s.records, record{at, at + size, d.record(s.data[at : at+size])})
		at += size
	}
}

// decoder says what records are, one after the other.
type decoder struct {
	from   netlab.Side
	epochs []*epoch // the current one first
	body   int      // bytes of a handshake message that are still to come
}

func (d *decoder) record(r []byte) Part {
	switch r[0] {
	case typeChangeCipherSpec:
		return Part{Kind: Hello, Name: ""} // goes with what follows
	case typeAlert:
		return Part{Kind: Control, Name: "alert"}
	case typeHandshake:
		return d.handshake(r[recordHeader:])
	}
	for i, e := range d.epochs {
		if kind, content, ok := e.open(r); ok {
			d.epochs = d.epochs[i:]
			return d.opened(e, kind, content)
		}
	}
	return Part{Kind: Encrypted, Name: "encrypted"}
}

// opened says what a decrypted record is.
func (d *decoder) opened(e *epoch, kind byte, content []byte) Part {
	switch {
	case kind == typeAlert && len(content) == 2 && content[1] == 0:
		return Part{Kind: Control, Name: "close_notify"}
	case kind == typeAlert:
		return Part{Kind: Control, Name: "alert"}
	case kind == typeHandshake:
		return d.handshake(content)
	case e.label == clientLabels[0]:
		return Part{Kind: Early, Name: earlyName(content)}
	case d.from == netlab.ClientSide:
		return Part{Kind: Request, Name: requestName(content)}
	}
	return Part{Kind: Response, Name: responseName(content)}
}

// handshake names the messages that begin in a record.
func (d *decoder) handshake(content []byte) Part {
	var names []string
	kind := Hello
	for {
		if d.body >= len(content) {
			d.body -= len(content)
			break
		}
		content, d.body = content[d.body:], 0
		if len(content) < 4 {
			break // a header that is split over records: its message stays unnamed
		}
		message := content[0]
		if name := messageNames[message]; name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
		switch {
		case message == messageNewSessionTicket:
			kind = Ticket
		case d.from == netlab.ClientSide && message == messageFinished:
			kind = Finish
		case d.from == netlab.ClientSide && message == 5:
			kind = Finish
		}
		d.body = 4 + int(content[1])<<16 + int(content[2])<<8 + int(content[3])
	}
	return Part{Kind: kind, Name: strings.Join(names, ", ")}
}

// earlyName has the method of an HTTP/1.1 request.
func earlyName(content []byte) string {
	if method := requestName(content); method != anyData {
		return earlyData + " (" + method + ")"
	}
	return earlyData
}

// What application data is called that begins no HTTP/1.1 message.
const (
	anyData   = "data"
	earlyData = "early data"
)

// requestName is the method of an HTTP/1.1 request.
func requestName(content []byte) string {
	if method, _, ok := bytes.Cut(content, []byte(" ")); ok && len(method) < 8 && bytes.Contains(content, []byte(" HTTP/1.1\r\n")) {
		return string(method)
	}
	return anyData
}

// responseName is the status of an HTTP/1.1 response.
func responseName(content []byte) string {
	line, _, _ := bytes.Cut(content, []byte("\r\n"))
	if status, ok := bytes.CutPrefix(line, []byte("HTTP/1.1 ")); ok && len(status) < 30 {
		return string(status)
	}
	return anyData
}

// parts says what is in a packet's payload.
func (s *stream) parts(p netlab.Packet) []Part {
	start := s.offset(p)
	end, left := start+p.Len, p.Len
	var all []Part
	for _, r := range s.records {
		if n := min(end, r.end) - max(start, r.start); n > 0 {
			part := r.part
			part.Bytes = n
			all = append(all, part)
			left -= n
		}
	}
	if left > 0 {
		all = append(all, Part{Kind: Encrypted, Name: notLogged, Bytes: left})
	}
	return all
}
