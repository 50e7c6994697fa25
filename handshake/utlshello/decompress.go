package utlshello

import (
	"bytes"
	"compress/zlib"
	"errors"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// decompressors are for compressed certificates (RFC 8879, section 7.3), by libraries that utls links anyway. It is never
// changed.
var decompressors = map[uint16]func(io.Reader) (io.Reader, error){
	1: func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) },
	2: newBrotli,
	3: newZstd,
}

// maxExpanded is the most that a certificate expands to, in bytes. No decompressor sets aside more than that for looking back,
// whatever window the server wants: encoders write the largest that they know into data of any length. Brotli's prefix codes
// come on top (see TestBrotliTrees).
const maxExpanded = 1 << maxExpandedBits

const maxExpandedBits = 20

var errTooLong = errors.New("utlshello: a certificate expands to more than 1 MiB")

// newBrotli has a decoder believe that the window is no larger than what it may expand to. In data that is shorter, no distance
// is beyond either window, so that it means the same (RFC 7932, sections 4 and 9.1).
func newBrotli(r io.Reader) (io.Reader, error) {
	var first [1]byte
	if _, err := io.ReadFull(r, first[:]); err != nil {
		return nil, err
	}
	// Section 9.1: a set bit and three more, which are not all zero, are a window of 17 bits and their number.
	if bits := 17 + first[0]>>1&7; first[0]&1 == 1 && bits > maxExpandedBits {
		first[0] = first[0]&0xf0 | (maxExpandedBits-17)<<1 | 1
	}
	in := brotli.NewReader(io.MultiReader(bytes.NewReader(first[:]), r))
	return &limited{in, maxExpanded - 16}, nil // section 9.1: a window has 16 bytes less than its size
}

// newZstd expands at once, into a slice that does not grow: then no window is set aside.
func newZstd(r io.Reader) (io.Reader, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	out, err := d.DecodeAll(data, make([]byte, 0, maxExpanded))
	return bytes.NewReader(out), err
}

// limited reads no more than left bytes, and says so if there are more.
type limited struct {
	r    io.Reader
	left int
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.left -= n; l.left < 0 {
		return 0, errTooLong
	}
	return n, err
}
