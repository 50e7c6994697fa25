package testpeer

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/tlstfo/tlstfo/handshake"
)

// ServerConn is a net.Conn. What a client sends early is read like everything
// else, before the handshake is complete; EarlyBytes tells how much it was.
// Writes go out at once, so that the answer to early data needs no further
// round trip. Read and Write may be called at the same time.
type ServerConn struct {
	conn  net.Conn // with the limits of the knobs
	raw   net.Conn
	knobs Knobs

	reading sync.Mutex // for Read: the fields up to writing
	pending []byte     // decrypted, not read yet; aliases the engine's buffer
	readErr error      // sticky
	opener  *handshake.Opener

	writing sync.Mutex // for Write, and for the engine while the handshake runs
	engine  *handshake.Server
	sealer  *handshake.Sealer // nil until the handshake is complete
	out     []byte
	info    Info
	closing sync.Once
}

// Info tells how a handshake went.
type Info struct {
	State         tls.ConnectionState // HandshakeComplete is false while early data comes
	Retried       bool                // by HelloRetryRequest
	EarlyData     handshake.EarlyStatus
	EarlyReason   handshake.EarlyReason
	EarlyBytes    int // how many bytes came as early data: the first ones that Read returns
	TicketAgeSkew time.Duration
}

// start runs the handshake until early data has come or it is complete.
func (c *ServerConn) start() error {
	c.reading.Lock()
	defer c.reading.Unlock()
	for c.opener == nil && len(c.pending) == 0 {
		if err := c.step(); err != nil {
			return err
		}
	}
	return nil
}

// Handshake runs the handshake to its end. Early data that was not read yet
// stays to be read.
func (c *ServerConn) Handshake() error {
	c.reading.Lock()
	defer c.reading.Unlock()
	var early []byte
	for c.opener == nil {
		early, c.pending = append(early, c.pending...), nil
		if err := c.step(); err != nil {
			c.pending = early
			return err
		}
	}
	c.pending = append(early, c.pending...)
	return nil
}

// step takes the next event of the handshake, and reads if there is none.
func (c *ServerConn) step() error {
	if c.readErr != nil {
		return c.readErr
	}
	event, err := c.next()
	if err == nil && event.Kind == handshake.EventNone {
		// The engine's buffer is not what Write touches, so no lock is needed.
		var n int
		n, err = c.conn.Read(c.engine.Buffer())
		c.engine.Advance(n)
		if n > 0 {
			err = nil // it comes again
		} else if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
	}
	if isFatal(err) {
		c.readErr = err
	}
	return err
}

// next asks the engine for an event and sends what it has to say.
func (c *ServerConn) next() (handshake.Event, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	event, err := c.engine.Next(time.Now())
	c.out = c.engine.AppendOutput(c.out[:0])
	switch event.Kind {
	case handshake.EventEarlyData:
		c.pending = event.Data
		c.info.EarlyBytes += len(event.Data)
	case handshake.EventHandshakeComplete:
		c.sealer, c.opener = c.engine.Split()
	}
	c.note()
	if len(c.out) > 0 {
		if _, werr := c.conn.Write(c.out); err == nil && werr != nil {
			err = werr
		}
	}
	return event, err
}

func (c *ServerConn) note() {
	c.info.State = c.engine.ConnectionState()
	c.info.Retried = c.engine.Retried()
	c.info.EarlyData, c.info.EarlyReason = c.engine.EarlyData(), c.engine.EarlyReason()
	c.info.TicketAgeSkew = c.engine.TicketAgeSkew()
}

// Read reads early data, then what comes after it. io.EOF means close_notify.
func (c *ServerConn) Read(p []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	for len(c.pending) == 0 && len(p) > 0 {
		if c.readErr != nil {
			return 0, c.readErr
		}
		if c.opener == nil {
			if err := c.step(); err != nil {
				return 0, err
			}
			continue
		}
		if err := c.receive(); err != nil {
			if isFatal(err) {
				c.readErr = err
			}
			return 0, err
		}
	}
	n := copy(p, c.pending)
	c.pending = c.pending[n:]
	return n, nil
}

// receive takes the next event after the handshake.
func (c *ServerConn) receive() error {
	event, err := c.opener.Next(time.Now())
	if err != nil {
		var local *handshake.LocalError
		if errors.As(err, &local) {
			c.send(func(out []byte) []byte { return c.sealer.Alert(out, local.Alert()) })
		}
		return err
	}
	switch event.Kind {
	case handshake.EventData:
		c.pending = event.Data
	case handshake.EventCloseNotify:
		return io.EOF
	case handshake.EventNone:
		n, err := c.conn.Read(c.opener.Buffer())
		c.opener.Advance(n)
		if n == 0 && err == io.EOF {
			return io.ErrUnexpectedEOF
		}
		if n == 0 {
			return err
		}
	}
	return nil
}

// Write writes application data, if need be before the client's Finished has
// come.
func (c *ServerConn) Write(p []byte) (int, error) {
	for done := 0; ; {
		n := min(len(p)-done, 256<<10) // bounds the buffer
		var engineErr error
		err := c.send(func(out []byte) []byte {
			if c.sealer != nil {
				return c.sealer.Seal(out, p[done:done+n])
			}
			_, engineErr = c.engine.Write(p[done : done+n])
			return c.engine.AppendOutput(out)
		})
		if err = errors.Join(engineErr, err); err != nil {
			return done, err
		}
		if done += n; done == len(p) {
			return done, nil
		}
	}
}

// send writes what seal appends.
func (c *ServerConn) send(seal func(out []byte) []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.out = seal(c.out[:0])
	_, err := c.conn.Write(c.out)
	return err
}

// KeyUpdate changes the key of what this side sends, and asks the client to do
// the same if request is set.
func (c *ServerConn) KeyUpdate(request bool) error {
	if err := c.Handshake(); err != nil {
		return err
	}
	return c.send(func(out []byte) []byte { return c.sealer.KeyUpdate(out, request) })
}

// CloseWrite sends close_notify and ends this direction.
func (c *ServerConn) CloseWrite() error {
	err := c.send(func(out []byte) []byte {
		if c.sealer != nil {
			out = c.sealer.CloseNotify(out)
		}
		return out
	})
	if half, ok := c.raw.(interface{ CloseWrite() error }); ok {
		err = errors.Join(err, half.CloseWrite())
	}
	return err
}

// Close sends close_notify and closes the connection. It reads what still
// comes, for a second at most, so that the client is not reset before it has
// read everything.
func (c *ServerConn) Close() error {
	c.closing.Do(func() {
		tcp, ok := c.raw.(*net.TCPConn)
		c.raw.SetDeadline(time.Now().Add(time.Second))
		if ok && c.knobs.Reset {
			tcp.SetLinger(0)
		} else if c.CloseWrite() == nil {
			io.Copy(io.Discard, io.LimitReader(c.raw, 1<<20))
		}
		c.raw.Close()
	})
	return nil
}

// Info tells how the handshake went so far.
func (c *ServerConn) Info() Info {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.info
}

// EarlyBytes tells how many of the first bytes came as early data. More may
// come while HandshakeComplete is false.
func (c *ServerConn) EarlyBytes() int { return c.Info().EarlyBytes }

// ConnectionState is Info's.
func (c *ServerConn) ConnectionState() tls.ConnectionState { return c.Info().State }

// The rest of net.Conn is that of the connection below.

func (c *ServerConn) LocalAddr() net.Addr                { return c.raw.LocalAddr() }
func (c *ServerConn) RemoteAddr() net.Addr               { return c.raw.RemoteAddr() }
func (c *ServerConn) SetDeadline(t time.Time) error      { return c.raw.SetDeadline(t) }
func (c *ServerConn) SetReadDeadline(t time.Time) error  { return c.raw.SetReadDeadline(t) }
func (c *ServerConn) SetWriteDeadline(t time.Time) error { return c.raw.SetWriteDeadline(t) }

// isFatal tells that a read can never succeed again: all errors but a timeout.
func isFatal(err error) bool {
	var timeout net.Error
	return err != nil && !(errors.As(err, &timeout) && timeout.Timeout())
}

// limit applies CloseAfterRead and CloseAfterWrite.
func limit(conn net.Conn, k Knobs) net.Conn {
	if k.CloseAfterRead == 0 && k.CloseAfterWrite == 0 {
		return conn
	}
	return &limited{Conn: conn, knobs: k}
}

type limited struct {
	net.Conn
	knobs Knobs

	mu          sync.Mutex
	read, wrote int
}

func (l *limited) Read(p []byte) (int, error) {
	if most := l.knobs.CloseAfterRead; most > 0 {
		l.mu.Lock()
		left := most - l.read
		l.mu.Unlock()
		if left <= 0 {
			return 0, l.cut()
		}
		p = p[:min(len(p), left)]
	}
	n, err := l.Conn.Read(p)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.read += n
	return n, err
}

func (l *limited) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	most := l.knobs.CloseAfterWrite
	if most == 0 || l.wrote+len(p) <= most {
		l.wrote += len(p)
		return l.Conn.Write(p)
	}
	n, _ := l.Conn.Write(p[:most-l.wrote])
	l.wrote += n
	return n, l.cut()
}

func (l *limited) cut() error {
	if tcp, ok := l.Conn.(*net.TCPConn); ok && l.knobs.Reset {
		tcp.SetLinger(0)
	}
	l.Conn.Close()
	return net.ErrClosed
}
