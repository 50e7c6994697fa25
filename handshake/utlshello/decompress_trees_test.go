package utlshello

import (
	"bytes"
	"io"
	"runtime"
	"testing"
)

// What a Brotli stream of a certificate's length can have allocated: 45 meta-blocks of one byte each, with as many block types
// and prefix codes as there can be (RFC 7932, section 9.2). SECURITY.md has the figures.
func TestBrotliTrees(t *testing.T) {
	const blocks, mostLive, mostInAll = 45, 4 << 20, 130 << 20
	data := brotliTrees(blocks)
	if len(data) < 60<<10 || len(data) > 64<<10 {
		t.Fatalf("%d bytes, want as many as a message can have", len(data))
	}
	var before, after, live runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	r, err := decompressors[2](bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, blocks)); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	runtime.GC()
	runtime.ReadMemStats(&live)
	runtime.KeepAlive(r)
	held, all := int64(live.HeapAlloc)-int64(before.HeapAlloc), after.TotalAlloc-before.TotalAlloc
	t.Logf("%d bytes in: %d KiB held, %d KiB allocated in all", len(data), held>>10, all>>10)
	if held > mostLive || all > mostInAll {
		t.Errorf("more than %d held or %d in all", mostLive, mostInAll)
	}
}

// bits are written from the lowest on.
type bits struct {
	out []byte
	n   uint
}

func (b *bits) put(v uint64, n uint) {
	for i := range n {
		if b.n%8 == 0 {
			b.out = append(b.out, 0)
		}
		b.out[len(b.out)-1] |= byte(v>>i&1) << (b.n % 8) // v>>64 and more is 0
		b.n++
	}
}

// code is a simple prefix code of one symbol (section 3.4).
func (b *bits) code(symbol uint64, width uint) {
	b.put(1, 2)
	b.put(0, 2)
	b.put(symbol, width)
}

func brotliTrees(blocks int) []byte {
	b := new(bits)
	b.put(7, 4) // a window of 20 bits
	for range blocks {
		b.put(0, 1+2+16+1) // not the last, one byte, compressed
		for range 3 {
			b.put(0x7ff, 11) // 256 block types
			b.code(0, 9)
			b.code(0, 5)
			b.put(0, 2)
		}
		b.put(3, 2)
		b.put(15, 4)
		b.put(0, 2*256) // the context modes
		for range 2 {
			b.put(0x7ff, 11) // a context map of 256 codes
			b.put(0, 1)
			b.code(0, 8)
			b.put(0, 1)
		}
		for _, symbol := range []struct {
			value uint64
			width uint
		}{{0, 8}, {8, 10}, {0, 10}} { // literals, insert and copy lengths, distances
			for range 256 {
				b.code(symbol.value, symbol.width)
			}
		}
	}
	b.put(3, 2) // the last, empty
	return b.out
}
