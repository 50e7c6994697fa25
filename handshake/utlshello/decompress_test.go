package utlshello

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// encoders compress as servers may: with windows that an encoder can be told to declare, also for short data.
func encoders() map[string]func(io.Writer) io.WriteCloser {
	all := map[string]func(io.Writer) io.WriteCloser{
		"1 zlib": func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) },
		"3 zstd": func(w io.Writer) io.WriteCloser { z, _ := zstd.NewWriter(w); return z },
	}
	for _, bits := range []int{10, 17, 22, 24} {
		all[fmt.Sprint("2 brotli, window of bits: ", bits)] = func(w io.Writer) io.WriteCloser {
			return brotli.NewWriterOptions(w, brotli.WriterOptions{Quality: 5, LGWin: bits})
		}
	}
	for _, bits := range []int{13, 23, 27} {
		all[fmt.Sprint("3 zstd, window of bits: ", bits)] = func(w io.Writer) io.WriteCloser {
			z, _ := zstd.NewWriter(w, zstd.WithWindowSize(1<<bits), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithSingleSegment(false))
			return z
		}
	}
	return all
}

// compress compresses in several writes, so that no encoder knows the length beforehand.
func compress(encoder func(io.Writer) io.WriteCloser, data []byte) []byte {
	var out bytes.Buffer
	w := encoder(&out)
	w.Write(data[:len(data)/2])
	w.Write(data[len(data)/2:])
	w.Close()
	return out.Bytes()
}

// expand decompresses by the algorithm that a name begins with.
func expand(name string, data []byte) ([]byte, error) {
	r, err := decompressors[uint16(name[0]-'0')](bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// Each decompressor gives back what was compressed, whatever window it was compressed with: RFC 7932, section 9.1, has windows up
// to 16 MiB, and RFC 8878, section 3.1.1.1.2, wants 8 MiB at least.
func TestDecompressors(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	words := []string{"certificate ", "the ", "information", "\x00\x01", "Authority", " with ", "-----BEGIN", "\xff"}
	for _, size := range []int{1, 2000, 60_000} {
		var data []byte
		for len(data) < size {
			data = append(data, words[random.IntN(len(words))]...)
			data = append(data, byte(random.Uint32()))
		}
		for name, encoder := range encoders() {
			got, err := expand(name, compress(encoder, data))
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s: %d of %d bytes, %v", name, len(got), len(data), err)
			}
		}
	}
}

// What expands without end, and wants a large window, takes little memory.
func TestBombs(t *testing.T) {
	zeros := make([]byte, 4<<20)
	for name, encoder := range encoders() {
		bomb := compress(encoder, zeros)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r, err := decompressors[uint16(name[0]-'0')](bytes.NewReader(bomb))
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		runtime.ReadMemStats(&after)
		used := after.TotalAlloc - before.TotalAlloc
		t.Logf("%s: %d bytes in, %d allocated, %v", name, len(bomb), used, err)
		if used > 3<<20 {
			t.Errorf("%s: %d bytes allocated", name, used)
		}
		if err == nil && name[0] != '1' { // a deflate stream has its window, and what it expands to is only read
			t.Errorf("%s: 4 MiB were taken for a certificate", name)
		}
	}
	if _, err := expand("2", nil); err == nil {
		t.Error("brotli: nothing at all is taken")
	}
}
