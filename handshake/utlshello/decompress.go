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
	3: func(r io.Reader) (io.Reader, error) {
		// No goroutine, and no more memory than a certificate is worth.
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, err
		}
		return d, nil
	},
}

// maxWindow is the most that compressed data may want to look back, in bytes, since the decompressor sets that aside for a
// server that is not authenticated yet. It is what encoders of brotli use if they are not told otherwise.
const maxWindow = 4 << 20

// newBrotli refuses a stream with a window above the limit. Its first byte says how large it is (RFC 7932, section 9.1).
func newBrotli(r io.Reader) (io.Reader, error) {
	var first [1]byte
	if _, err := io.ReadFull(r, first[:]); err != nil {
		return nil, err
	}
	if first[0]&1 == 1 && first[0]>>1&7 > maxBrotliBits-17 {
		return nil, errors.New("utlshello: the brotli stream has too large a window")
	}
	return brotli.NewReader(io.MultiReader(bytes.NewReader(first[:]), r)), nil
}

const maxBrotliBits = 22 // maxWindow
