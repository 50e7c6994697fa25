package handshake

import "sync"

// bulkBuffer is the size of receive buffers for bulk transfers. A record takes
// 16 KiB and a little.
const bulkBuffer = 64 << 10

// smallBuffer is the size of those for anything else.
const smallBuffer = 2 << 10

// BufferPool lends receive buffers to connections while they have something to
// receive (see Opener.Release). The zero value is ready; without a pool every
// connection keeps its buffer. It is safe for concurrent use and must not be
// copied.
type BufferPool struct{ small, bulk sync.Pool }

// get returns a buffer of at least n bytes.
func (p *BufferPool) get(n int) []byte {
	switch {
	case n <= smallBuffer:
		if b, ok := p.small.Get().(*[smallBuffer]byte); ok {
			return b[:]
		}
		return new([smallBuffer]byte)[:]
	case n <= bulkBuffer:
		if b, ok := p.bulk.Get().(*[bulkBuffer]byte); ok {
			return b[:]
		}
		return new([bulkBuffer]byte)[:]
	}
	return make([]byte, n)
}

// put takes a buffer back.
func (p *BufferPool) put(b []byte) {
	switch len(b) {
	case smallBuffer:
		p.small.Put((*[smallBuffer]byte)(b))
	case bulkBuffer:
		p.bulk.Put((*[bulkBuffer]byte)(b))
	}
}
