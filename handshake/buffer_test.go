package handshake

import (
	"bytes"
	"crypto/tls"
	"testing"
)

// TestRelease: a connection with a pool has a buffer only while there is
// something in it.
func TestRelease(t *testing.T) {
	s, _, _, o := testSplit(t, tls.TLS_AES_128_GCM_SHA256, nil)
	o.pool = new(BufferPool)
	data := bytes.Repeat([]byte("x"), 3*maxPlaintext)
	records := s.Seal(nil, data)
	const part = 10
	o.Feed(records[:len(records)-part])
	got, _ := drain(t, o)
	if o.Release(); len(o.buf) == 0 {
		t.Fatal("the buffer with a part of a record is gone")
	}
	o.Feed(records[len(records)-part:])
	more, _ := drain(t, o)
	if !bytes.Equal(append(got, more...), data) {
		t.Fatal("other bytes came out")
	}
	if o.Release(); o.buf != nil || o.Buffered() != 0 {
		t.Fatal("an idle connection keeps a buffer")
	}
	if n := len(o.Buffer()); n != bulkBuffer && n != smallBuffer {
		t.Fatalf("the pool gave a buffer of %d bytes", n)
	}
}

// TestReleaseBulk: after much at once the next buffer is a large one, after
// little a small one, so that a reader that waits holds little.
func TestReleaseBulk(t *testing.T) {
	s, _, _, o := testSplit(t, tls.TLS_AES_128_GCM_SHA256, nil)
	o.pool = new(BufferPool)
	for _, c := range []struct{ size, next int }{{100, smallBuffer}, {maxPlaintext, bulkBuffer}, {4000, bulkBuffer}, {100, smallBuffer}} {
		records := s.Seal(nil, make([]byte, c.size))
		for len(records) > 0 {
			n := copy(o.Buffer(), records)
			o.Advance(n)
			records = records[n:]
			drain(t, o)
		}
		o.Release()
		if n := len(o.Buffer()); n != c.next {
			t.Errorf("after a record of %d bytes the buffer has %d, want %d", c.size, n, c.next)
		}
	}
}

// TestNoPool: without one the buffer stays, and grows to what bulk needs.
func TestNoPool(t *testing.T) {
	s, _, _, o := testSplit(t, tls.TLS_AES_128_GCM_SHA256, nil)
	records := s.Seal(nil, make([]byte, 20*maxPlaintext))
	for len(records) > 0 {
		n := copy(o.Buffer(), records)
		o.Advance(n)
		records = records[n:]
		drain(t, o)
	}
	if o.Release(); len(o.buf) < bulkBuffer || len(o.buf) >= 2*bulkBuffer {
		t.Errorf("the buffer has %d bytes", len(o.buf))
	}
}
