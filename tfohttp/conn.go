package tfohttp

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tlstfo/tlstfo"
)

// Conn is the connection of direct https requests; httptrace.GotConnInfo has one. It dials when it is known what its
// first flight is: what is written before goes into that flight.
//
// net/http creates connections for one request and may give them to another, so that only the gate, which each request passes
// before it is written (call.gotConn), can tell whose bytes they are. The gate lets one request that may be early through
// to a connection that has not dialled, to fill its first flight. Any other makes the connection dial without early data,
// or waits for the handshake, before a byte of it is written. Whatever the bytes are, they must also look like the one
// request that was let through (see flight); if anything is in doubt the connection dials without early data.
//
// TLS, the addresses and the deadlines may be asked for and set by several goroutines at once, as with net.Conn.
type Conn struct {
	t      *Transport
	host   string
	addr   string
	proto  string // that it is for; "": to find out
	dialer *tlstfo.Dialer

	ready atomic.Pointer[tlstfo.Conn] // once the handshake is complete
	up    chan struct{}               // closed when the first flight was handed over, or will not be
	done  chan struct{}               // closed when the handshake is complete, or will not be

	mu       sync.Mutex
	phase    phase
	carrier  *call         // whose request is, or was, to fill the first flight; nil if none
	turn     chan struct{} // closed when the carrier gives up
	first    []byte        // the first flight so far: replayable while it may still be early
	early    bool          // it was sent so
	cancel   context.CancelCauseFunc
	closed   bool
	conn     *tlstfo.Conn // once it is up
	err      error        // why there is none; set before done is closed
	state    *tls.ConnectionState
	deadline [2]time.Time // for reading and writing, set before there was a connection
	old      bool         // the connection was a spare
	unread   []byte       // what was read from it before
	broken   bool         // it ended, and not by Close
	answered bool         // it brought part of a response
}

// A phase is how far a Conn has come.
type phase int

const (
	fresh     phase = iota // nothing but HTTP/2's preface was written
	gathering              // the carrier's request is being written
	dialling
	settled // the handshake is complete, or will never be
)

func (t *Transport) newConn(c *call, addr, proto string, dialer *tlstfo.Dialer) *Conn {
	return &Conn{t: t, host: c.host, addr: addr, proto: proto, dialer: dialer,
		up: make(chan struct{}), done: make(chan struct{}), turn: make(chan struct{})}
}

// TLS returns the connection below, nil before it is up. Its Info tells what happened. Reading, writing and closing are not for the
// caller.
func (x *Conn) TLS() *tlstfo.Conn {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.conn
}

// Read waits for the handshake: no response is read before the server's Finished was verified.
func (x *Conn) Read(p []byte) (int, error) {
	conn := x.ready.Load()
	if conn == nil {
		<-x.done
		if conn = x.ready.Load(); conn == nil {
			return 0, x.failure()
		}
	}
	if n := x.readOld(p); n > 0 {
		return n, nil
	}
	n, err := conn.Read(p)
	x.ended(err)
	return n, err
}

// Write gathers the first flight, and starts the dial when it is whole. What the flight holds may be early if it is the
// *replayable* request of the carrier. Once the Conn has dialled, Write waits for the handshake.
func (x *Conn) Write(p []byte) (int, error) {
	if conn := x.ready.Load(); conn != nil {
		return x.writeTo(conn, p)
	}
	x.mu.Lock()
	if x.phase > gathering {
		x.mu.Unlock()
		<-x.done
		if conn := x.ready.Load(); conn != nil {
			return x.writeTo(conn, p)
		}
		return 0, x.failure()
	}
	x.first = append(x.first, p...)
	wait := x.done
	switch x.look() {
	case partial:
		x.mu.Unlock()
		return len(p), nil
	case whole:
		x.dial(x.carrier.ctx, true)
		wait = x.up
	default:
		ctx := context.Background()
		if x.carrier != nil {
			ctx = x.carrier.ctx
		}
		x.dial(ctx, false)
	}
	early := x.early
	x.mu.Unlock()
	<-wait
	err := x.failure()
	if err != nil && !early {
		return 0, err // nothing was written, for all that net/http needs to know
	}
	return len(p), err
}

// look judges the first flight. The caller holds mu.
func (x *Conn) look() verdict {
	if len(x.first) > maxFlight {
		return unfit
	}
	if x.phase == fresh {
		if x.proto == protoHTTP2 && onlyPreface(x.first) {
			return partial
		}
		return unfit
	}
	if x.proto == protoHTTP2 {
		return flightHTTP2(x.first, x.carrier)
	}
	return flightHTTP1(x.first, x.carrier)
}

// Close closes the connection. It does not wait.
func (x *Conn) Close() error {
	x.mu.Lock()
	if x.closed {
		x.mu.Unlock()
		return net.ErrClosed
	}
	x.closed = true
	phase, cancel := x.phase, x.cancel
	if phase < dialling {
		x.phase = dialling
	}
	x.mu.Unlock()
	switch conn := x.ready.Load(); {
	case phase < dialling:
		close(x.up)
		x.settle(net.ErrClosed)
	case phase == dialling:
		cancel(net.ErrClosed) // run does the rest
	case conn != nil:
		return conn.Close()
	}
	return nil
}

// failure is why there is no connection; nil while there may be one.
func (x *Conn) failure() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.err
}

// tlsState is the final state of the connection; nil before the handshake is complete.
func (x *Conn) tlsState() *tls.ConnectionState {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.state
}

// LocalAddr is never nil.
func (x *Conn) LocalAddr() net.Addr {
	if conn := x.TLS(); conn != nil {
		return conn.LocalAddr()
	}
	return &net.TCPAddr{}
}

// RemoteAddr is never nil.
func (x *Conn) RemoteAddr() net.Addr {
	if conn := x.TLS(); conn != nil {
		return conn.RemoteAddr()
	}
	return &net.TCPAddr{}
}

// SetDeadline sets both deadlines. What is set before the handshake is complete holds from then on.
func (x *Conn) SetDeadline(t time.Time) error { return x.setDeadline(t, true, true) }

// SetReadDeadline sets the deadline of Reads.
func (x *Conn) SetReadDeadline(t time.Time) error { return x.setDeadline(t, true, false) }

// SetWriteDeadline sets the deadline of Writes.
func (x *Conn) SetWriteDeadline(t time.Time) error { return x.setDeadline(t, false, true) }

func (x *Conn) setDeadline(t time.Time, read, write bool) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return net.ErrClosed
	}
	if read {
		x.deadline[0] = t
	}
	if write {
		x.deadline[1] = t
	}
	if conn := x.ready.Load(); conn != nil {
		return x.applyDeadlines(conn)
	}
	return nil
}

func (x *Conn) applyDeadlines(conn *tlstfo.Conn) error {
	if err := conn.SetReadDeadline(x.deadline[0]); err != nil {
		return err
	}
	return conn.SetWriteDeadline(x.deadline[1])
}

// CloseWrite sends close_notify, once the handshake is complete.
func (x *Conn) CloseWrite() error {
	<-x.done
	if conn := x.ready.Load(); conn != nil {
		return conn.CloseWrite()
	}
	return x.failure()
}
