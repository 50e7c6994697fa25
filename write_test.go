package tlstfo

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"testing"
)

var errCable = errors.New("the cable was pulled")

// partConn takes the first bytes of what is written, and no more.
type partConn struct {
	net.Conn
	takes int
	err   error
	taken []byte
}

func (c *partConn) Write(p []byte) (int, error) {
	n := min(len(p), c.takes-len(c.taken))
	c.taken = append(c.taken, p[:n]...)
	if n < len(p) {
		return n, c.err
	}
	return n, nil
}

// readable is how many bytes of application data are in the whole records at the start of what was sent.
func readable(sent []byte) (n int) {
	const header, inner = 5, 1 + 16 // the type and the tag (RFC 8446, section 5.2)
	for len(sent) >= header {
		size := int(binary.BigEndian.Uint16(sent[3:]))
		if len(sent) < header+size {
			break
		}
		n += size - inner
		sent = sent[header+size:]
	}
	return n
}

// TestWriteBreaks: whatever part of a Write the transport took, n says what the peer can read of it, and is 0 only if nothing left.
func TestWriteBreaks(t *testing.T) {
	o := newOrigin(t)
	dialled, err := o.dialer().Dial("tcp", o.addr)
	if err != nil {
		t.Fatal(err)
	}
	c := dialled.(*Conn)
	raw := c.raw
	defer func() { c.raw = raw; c.Close() }()
	write := func(size, takes int, err error) (n int, taken []byte) {
		t.Helper()
		cut := &partConn{Conn: raw, takes: takes, err: err}
		c.raw, c.werr, c.sent = cut, nil, 0
		n, got := c.Write(make([]byte, size))
		if len(cut.taken) == takes && !errors.Is(got, err) {
			t.Fatalf("after %d bytes of %d: %v, want %v", takes, size, got, err)
		}
		return n, cut.taken
	}
	for _, size := range []int{1, 300, 3 * smallRecord, maxWrite + 2*smallRecord + 1} {
		_, all := write(size, 1<<20, nil)
		step := 1
		if size > maxWrite {
			step = 97
		}
		for takes := 0; takes < len(all); takes += step {
			n, taken := write(size, takes, errCable)
			if want := max(readable(taken), min(takes, 1)); n != want {
				t.Fatalf("%d bytes, of which %d sealed ones left: n is %d, want %d", size, takes, n, want)
			}
		}
	}
	// A write deadline that passes meanwhile is no exception.
	if n, _ := write(3*smallRecord, smallRecord+30, os.ErrDeadlineExceeded); n != smallRecord {
		t.Errorf("n is %d after a deadline, want %d", n, smallRecord)
	}
}
