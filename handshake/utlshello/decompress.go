package utlshello

import (
	"compress/zlib"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// decompressors are for compressed certificates (RFC 8879, section 7.3), by libraries that utls links anyway. It is never
// changed.
var decompressors = map[uint16]func(io.Reader) (io.Reader, error){
	1: func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) },
	2: func(r io.Reader) (io.Reader, error) { return brotli.NewReader(r), nil },
	3: func(r io.Reader) (io.Reader, error) {
		// No goroutine, and no more memory than a certificate is worth.
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, err
		}
		return d, nil
	},
}

// maxWindow is the most that a zstd frame may want to look back, in bytes: RFC 8878, section 3.1.1.1.2, recommends to support
// 8 MiB; no chain of certificates is that long.
const maxWindow = 8 << 20
