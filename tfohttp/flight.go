package tfohttp

import (
	"bytes"

	"github.com/tlstfo/tlstfo"
)

// maxFlight bounds the first flight, in bytes.
const maxFlight = 16 << 10

// A verdict is what the bytes of a first flight are.
type verdict int

const (
	partial verdict = iota // a request that is not whole yet, or nothing of one
	whole                  // the carrier's request, and nothing else
	unfit                  // neither
)

// flightHTTP1 judges the bytes that are to be early on HTTP/1.1. They must be the one *replayable* request that the carrier
// stands for, to its last byte. Those that are so by their method are looked at by tlstfo.ReplayableHTTP1 as well.
func flightHTTP1(b []byte, carrier *call) verdict {
	head := bytes.Index(b, []byte("\r\n\r\n"))
	if head < 0 {
		return partial
	}
	want := head + 4
	if hasBody(carrier.req) {
		want += int(carrier.req.ContentLength)
	}
	switch {
	case len(b) < want:
		return partial
	case len(b) > want:
		return unfit
	case Safe(carrier.req) && !isSafeHTTP1(b):
		return unfit
	}
	return whole
}

// isSafeHTTP1 tells whether the bytes are a request that is *replayable* by its method.
func isSafeHTTP1(b []byte) bool {
	for _, method := range []string{"OPTIONS ", "TRACE "} {
		if rest, ok := bytes.CutPrefix(b, []byte(method)); ok {
			b = append([]byte("GET "), rest...)
			break
		}
	}
	return tlstfo.ReplayableHTTP1(b) == len(b)
}

// HTTP/2 frames (RFC 9113, section 6).
const (
	preface     = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	frameHeader = 9

	frameData         = 0x0
	frameHeaders      = 0x1
	frameSettings     = 0x4
	frameWindowUpdate = 0x8
	frameContinuation = 0x9

	flagEndStream  = 0x1
	flagEndHeaders = 0x4
)

// flightHTTP2 judges the bytes that are to be early on HTTP/2. They must be the preface, settings and windows of the connection, and
// one request, on one stream, to its end: the *replayable* one that the carrier stands for. One without a body has
// no DATA.
func flightHTTP2(b []byte, carrier *call) verdict {
	v, _ := frames(b, hasBody(carrier.req))
	return v
}

// onlyPreface tells whether the bytes hold no part of a request on HTTP/2.
func onlyPreface(b []byte) bool {
	v, streams := frames(b, false)
	return v == partial && !streams
}

// frames walks the frames of a first flight; streams says that there are some of a stream.
func frames(b []byte, hasBody bool) (v verdict, streams bool) {
	if len(b) < len(preface) {
		if bytes.HasPrefix([]byte(preface), b) {
			return partial, false
		}
		return unfit, true
	}
	b, ok := bytes.CutPrefix(b, []byte(preface))
	if !ok {
		return unfit, true
	}
	var one uint32               // the stream
	headers, end := false, false // HEADERS have come to their end; the request has
	for len(b) > 0 {
		if len(b) < frameHeader {
			return partial, true
		}
		size := int(b[0])<<16 | int(b[1])<<8 | int(b[2])
		kind, flags := b[3], b[4]
		stream := uint32(b[5])<<24 | uint32(b[6])<<16 | uint32(b[7])<<8 | uint32(b[8])
		switch open := streams && !headers; { // between HEADERS and the last CONTINUATION nothing else may come
		case stream == 0 && (kind == frameSettings || kind == frameWindowUpdate) && !open:
		case stream != 0 && kind == frameHeaders && !streams:
			one, streams, headers, end = stream, true, flags&flagEndHeaders != 0, flags&flagEndStream != 0
		case stream == one && kind == frameContinuation && open:
			headers = flags&flagEndHeaders != 0
		case stream == one && kind == frameData && hasBody && headers && !end:
			end = flags&flagEndStream != 0
		default:
			return unfit, true
		}
		if len(b) < frameHeader+size {
			return partial, true
		}
		b = b[frameHeader+size:]
	}
	if headers && end {
		return whole, true
	}
	return partial, streams
}
