package tlstfo

import (
	"cmp"
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"time"

	"github.com/tlstfo/tlstfo/handshake"
)

// Conn is a TLS client connection. It implements net.Conn, and the methods of
// *tls.Conn that make sense for a client. Methods may be called by several
// goroutines at once, as those of *tls.Conn. While a Conn idles it has no
// goroutine of its own.
type Conn struct {
	dialer        *Dialer
	config        *tls.Config // nil once the Conn is done
	network, addr string      // as dialled
	given         net.Conn    // Client's
	dialCtx       context.Context
	sessions      SessionCache // nil: no session is kept or offered
	sessionKey    string
	hostKey       string
	trace         *tracer // nil: no hooks

	// up, which may be nil, is closed when the first dial's connection is up and
	// the first flight was handed over; done when the Conn is established or has
	// failed; closing by Close.
	up, done, closing chan struct{}

	mu        sync.Mutex
	cancel    context.CancelCauseFunc // ends run, where it is a goroutine
	cause     error                   // why it was ended
	began     bool                    // the first flight is fixed: begin was called
	closed    bool
	dropped   bool        // by Close, which did not wait for run
	lingerSec int32       // SetLinger's; 0: Close drops what was not delivered
	first     []byte      // copies of what was handed over before the handshake, as far as it is not delivered
	early     int         // how many of its bytes are replayable
	cork      *time.Timer // runs while first gathers
	raw       net.Conn    // the transport; nil before the dial
	state     tls.ConnectionState
	info      ConnInfo
	err       error // why it is not established; set before done is closed

	// Set before done is closed, never after.
	exporter *handshake.Exporter
	std      *tls.Conn // instead of the engine: crypto/tls runs the connection

	readDeadline, writeDeadline deadline

	rmu    sync.Mutex // the read half, once established
	opener *handshake.Opener
	input  []byte // application data not read yet; aliases the opener's buffer
	rerr   error

	wmu      sync.Mutex // the write half, once established
	sealer   *handshake.Sealer
	sent     int64 // bytes of application data, for the record size
	werr     error
	large    bool // records are large from the start
	shutdown bool // close_notify was sent
}

// Read reads application data. Before the handshake is complete it waits for
// it, within the read deadline; on a Conn of DialDeferred that has written nothing yet, see
// Dialer.ReadGrace. After close_notify it returns io.EOF. If the transport ends
// and no close_notify came, it returns io.ErrUnexpectedEOF.
func (c *Conn) Read(p []byte) (int, error) {
	if err := c.awaitRead(); err != nil {
		return 0, err
	}
	if c.std != nil {
		return c.std.Read(p)
	}
	if len(p) == 0 {
		return 0, nil
	}
	c.rmu.Lock()
	defer c.rmu.Unlock()
	var err error
	for len(c.input) == 0 && err == nil {
		if err = c.rerr; err == nil {
			err = c.fill()
		}
	}
	if c.isClosing() { // an end that answers our own is no end of what the server had to say
		return 0, net.ErrClosed
	}
	if err != nil {
		return 0, err
	}
	n := copy(p, c.input)
	if c.input = c.input[n:]; len(c.input) == 0 {
		c.input = nil // an empty slice would hold the buffer
		c.opener.Release()
	}
	return n, nil
}

// fill gets the next event of the opener, reading from the transport as
// needed. The caller holds rmu.
func (c *Conn) fill() error {
	ev, err := c.opener.Next(time.Now())
	if err != nil {
		c.rerr = c.opError("read", err)
		c.sendAlert(err)
		return c.rerr
	}
	switch ev.Kind {
	case handshake.EventData:
		c.input = ev.Data
	case handshake.EventTicket:
		c.keep(ev.Session)
	case handshake.EventCloseNotify:
		c.rerr = io.EOF
	case handshake.EventNone:
		n, err := c.raw.Read(c.opener.Buffer())
		c.opener.Advance(n)
		if err != nil && n == 0 {
			if err == io.EOF {
				c.rerr = io.ErrUnexpectedEOF // no close_notify: perhaps cut short
				return c.rerr
			}
			if ne, ok := err.(net.Error); !ok || !ne.Timeout() {
				c.rerr = err
			}
			return err
		}
	}
	return nil
}

// Write writes application data. A Conn whose handshake is not complete waits
// for it, within the write deadline: a deadline that passes then harms nothing, and the Write may be
// tried again. One that passes later leaves a record half sent, so that
// every later Write returns the same error, as with *tls.Conn. The n of a Write that fails counts the whole records that
// were sent, and is 0 only if the transport took nothing.
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
	if err := c.deliver(); err != nil {
		return taken, err
	}
	n, err := c.write(p[taken:])
	return taken + n, err
}

// deliver writes what was handed over before the handshake and did not go with
// its last flight: it comes before everything else. The caller holds wmu, and
// the connection is established.
func (c *Conn) deliver() error {
	c.mu.Lock()
	rest := c.first
	c.mu.Unlock()
	if len(rest) == 0 {
		return nil
	}
	_, err := c.write(rest)
	c.mu.Lock()
	c.first = nil
	c.mu.Unlock()
	return err
}

// write seals p and writes it. The caller holds wmu, and the connection is
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
	if c.sent < smallRecords && !c.large {
		size = smallRecord
	}
	size = min(size, len(p))
	c.sent += int64(size)
	return c.sealer.Seal(dst, p[:size]), size
}

// sendAlert tells the peer of a fault of its own making, if the write half is
// free; it never waits for it.
func (c *Conn) sendAlert(err error) {
	local, ok := err.(*handshake.LocalError)
	if !ok || !c.wmu.TryLock() {
		return
	}
	defer c.wmu.Unlock()
	if c.werr != nil || c.shutdown {
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
	if c.std != nil {
		return cmp.Or(c.deliver(), c.std.CloseWrite())
	}
	return c.closeNotify()
}

// closeNotify sends close_notify once, after what is owed. The caller holds wmu.
func (c *Conn) closeNotify() error {
	if err := c.deliver(); err != nil {
		return err
	}
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

// SetDeadline sets both deadlines. It works in every phase of the Conn's life.
func (c *Conn) SetDeadline(t time.Time) error {
	return c.setDeadlines(t, &c.readDeadline, &c.writeDeadline)
}

// SetReadDeadline sets the deadline of Reads. Before the handshake is complete
// it binds the wait for it; passing does not end the dial.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(t, &c.readDeadline) }

// SetWriteDeadline sets the deadline of Writes. Before the handshake is
// complete it binds the wait for it; passing does not end the dial.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, &c.writeDeadline) }

func (c *Conn) setDeadlines(t time.Time, which ...*deadline) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	var err error
	for _, d := range which {
		d.set(t)
		if c.established() { // else the handshake has deadlines of its own, and settle applies these
			err = cmp.Or(err, c.applyDeadline(d))
		}
	}
	return err
}

// applyDeadline hands a deadline to the transport. The caller holds mu.
func (c *Conn) applyDeadline(d *deadline) error {
	var conn net.Conn = c.raw
	if c.std != nil {
		conn = c.std
	}
	if d == &c.readDeadline {
		return conn.SetReadDeadline(d.get())
	}
	return conn.SetWriteDeadline(d.get())
}
