package tlstfo

import (
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
// goroutine of its own, once what was handed over has been written: over a transport that takes a byte only when the
// peer reads it, such as a pipe, the last flight of the handshake as well.
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
	std      *tls.Conn     // instead of the engine: crypto/tls runs the connection
	owed     chan struct{} // closed when deliver has ended: until then the write half is its own; nil: nothing is owed

	readDeadline, writeDeadline deadline

	rmu    sync.Mutex // the read half, once established
	opener *handshake.Opener
	input  []byte // application data not read yet; aliases the opener's buffer
	rerr   error

	wmu      sync.Mutex // the write half, once established and nothing is owed
	sealer   *handshake.Sealer
	werr     error // why nothing can be written any more; crypto/tls keeps its own, and this is deliver's then
	sent     int32 // bytes of application data, as long as records are small
	shutdown bool  // close_notify was sent
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
