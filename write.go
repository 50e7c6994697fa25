package tlstfo

import (
	"cmp"
	"net"
	"os"
	"time"

	"github.com/tlstfo/tlstfo/handshake"
)

// Write writes application data. A Conn whose handshake is not complete waits
// for it, and for what was handed over before, within the write deadline: a deadline that passes then harms nothing, and the Write may be
// tried again. One that passes later leaves a record half sent, so that
// every later Write returns the same error, as with *tls.Conn. The n of a Write that fails counts the whole records that
// were sent; it is 0 only if the transport took nothing, and so 1 where it took a part of the first record. (Where crypto/tls runs
// the connection n is that of *tls.Conn, and may be less than what was sent.)
//
// On a Conn of DialDeferred with Dialer.Early, what is written first is copied and may be sent
// early if Early calls it *replayable*. Nothing else is ever early.
func (c *Conn) Write(p []byte) (int, error) {
	taken, err := c.gather(p)
	if err != nil || taken == len(p) && taken > 0 {
		return taken, err
	}
	if taken > 0 {
		defer c.wmu.Unlock() // gather locked it: the rest comes before any other Write
	}
	if err := c.await(&c.writeDeadline); err != nil {
		return taken, err
	}
	if taken == 0 {
		c.wmu.Lock()
		defer c.wmu.Unlock()
	}
	if err := c.awaitTurn(); err != nil {
		return taken, err
	}
	n, err := c.write(p[taken:])
	return taken + n, err
}

// deliver writes what was handed over before the handshake and did not go with
// its last flight: it comes before everything else. It was reported as written, so that no deadline of the caller binds
// it, and an error stays for Close.
func (c *Conn) deliver() {
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.first = nil
		c.startDeadlines(&c.writeDeadline)
		close(c.owed)
	}()
	if _, err := c.write(c.first); err != nil && c.werr == nil {
		c.werr = permanentError{err}
	}
}

// awaitTurn waits until what was handed over before is written, within the write deadline: one that passes meanwhile
// harms nothing. The caller holds wmu, and the connection is established.
func (c *Conn) awaitTurn() error {
	var flights <-chan struct{}
	if slow, ok := c.raw.(*unbuffered); ok {
		flights = slow.flights()
	}
	for _, before := range [...]<-chan struct{}{c.owed, flights} {
		if before == nil || isClosed(before) {
			continue
		}
		select {
		case <-before:
			c.writeDeadline.stop()
		case <-c.closing:
			return net.ErrClosed
		case <-c.writeDeadline.passed():
			return os.ErrDeadlineExceeded
		}
	}
	return nil
}

// write seals p and writes it. The caller has the write half, and the connection is
// established.
func (c *Conn) write(p []byte) (int, error) {
	if c.std != nil {
		return c.std.Write(p)
	}
	if c.werr != nil {
		return 0, c.werr
	}
	if c.shutdown {
		return 0, errShutdown
	}
	buf := c.dialer.buffer()
	defer c.dialer.recycle(buf)
	n := 0
	for n < len(p) {
		var room [maxWrite/smallRecord + 1]mark
		marks, sealed, end := room[:0], (*buf)[:0], n
		for last := min(n+maxWrite, len(p)); end < last; {
			var size int
			sealed, size = c.sealRecord(sealed, p[end:last])
			end += size
			marks = append(marks, mark{len(sealed), end})
		}
		*buf = sealed
		if left, err := c.raw.Write(sealed); err != nil {
			if c.isClosing() {
				err = net.ErrClosed
			}
			// A record is lost or cut, so that nothing can follow it.
			c.werr = c.opError("write", permanentError{err})
			return max(n, delivered(marks, left)), err
		}
		n = end
	}
	return n, nil
}

// A mark is the end of a record: in what is written to the transport, and in what the application wrote.
type mark struct{ sealed, plain int }

// delivered is how much of what the application wrote the peer may have, after a Write of the transport that took left
// bytes: the whole records. Callers take 0 for "nothing was sent" and send it all again, as net/http does with a POST. So it
// is 0 only if not one byte left.
func delivered(marks []mark, left int) int {
	n := min(left, 1)
	for _, m := range marks {
		if m.sealed <= left {
			n = m.plain
		}
	}
	return n
}

const (
	maxWrite = 64 << 10 // sealed at once, for one system call

	// Records start small, so that the first bytes of an answer can be opened when
	// the first packet is there, and grow when a transfer is long: the figures of crypto/tls.
	smallRecord  = 1208 - 5 - 1 - 16
	smallRecords = 128 << 10
	largeRecord  = 16 << 10
)

// seal appends the records of p. The caller holds wmu.
func (c *Conn) seal(dst, p []byte) []byte {
	for len(p) > 0 {
		var n int
		dst, n = c.sealRecord(dst, p)
		p = p[n:]
	}
	return dst
}

// sealRecord appends the first record of p, and says how much of p it has. The caller holds wmu. (A server with a smaller
// record_size_limit gets that much in several.)
func (c *Conn) sealRecord(dst, p []byte) ([]byte, int) {
	size := largeRecord
	if c.sent < smallRecords {
		size = min(smallRecord, len(p))
		c.sent += int32(size)
	}
	size = min(size, len(p))
	return c.sealer.Seal(dst, p[:size]), size
}

// sendAlert tells the peer of a fault of its own making, if the write half is
// free: it does not wait for that, and alertTimeout at most for the transport.
func (c *Conn) sendAlert(err error) {
	local, ok := err.(*handshake.LocalError)
	if !ok || !c.wmu.TryLock() {
		return
	}
	defer c.wmu.Unlock()
	if c.owed != nil && !isClosed(c.owed) || c.werr != nil || c.shutdown {
		return
	}
	c.shutdown = true
	c.raw.SetWriteDeadline(time.Now().Add(alertTimeout))
	c.raw.Write(c.sealer.Alert(nil, local.Alert()))
	c.raw.SetWriteDeadline(c.writeDeadline.get())
}

const alertTimeout = 5 * time.Second

// CloseWrite sends close_notify once the handshake is complete, and with it
// the end of whatever was sent before: what was handed over early is complete as well. It does not
// close the transport.
func (c *Conn) CloseWrite() error {
	if err := c.Handshake(); err != nil {
		return err
	}
	c.wmu.Lock()
	defer c.wmu.Unlock()
	if err := c.awaitTurn(); err != nil {
		return err
	}
	if c.std != nil {
		return cmp.Or(c.werr, c.std.CloseWrite())
	}
	return c.closeNotify()
}

// closeNotify sends close_notify once. The caller has the write half.
func (c *Conn) closeNotify() error {
	if c.werr != nil {
		return c.werr
	}
	if c.shutdown {
		return nil
	}
	c.shutdown = true
	c.raw.SetWriteDeadline(time.Now().Add(alertTimeout))
	_, err := c.raw.Write(c.sealer.CloseNotify(nil))
	c.raw.SetWriteDeadline(time.Now()) // nothing may follow it
	if err != nil {
		c.werr = err
	}
	return err
}

// opError gives an error the operation and the peer, as net does.
func (c *Conn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: c.network, Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

// permanentError is a timeout that a retry cannot mend: a record was cut.
type permanentError struct{ error }

func (e permanentError) Unwrap() error { return e.error }
func (permanentError) Timeout() bool   { return false }
func (permanentError) Temporary() bool { return false }

var errShutdown = &net.OpError{Op: "write", Err: net.ErrClosed}

// buffer and recycle lend the buffers of outgoing records, so that an idle
// Conn holds none.
func (d *Dialer) buffer() *[]byte {
	if b, ok := d.buffers.Get().(*[]byte); ok {
		return b
	}
	return new([]byte)
}

func (d *Dialer) recycle(b *[]byte) { d.buffers.Put(b) }
