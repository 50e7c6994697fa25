package tlstfo

import (
	"cmp"
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// helloConn is a net.Conn whose first Write dials, with what is written.
// crypto/tls writes before it does anything else. Where nothing comes back, the
// first Read opens a hedge: a plain connection that gets the same ClientHello,
// which is harmless to repeat. crypto/tls gets to see the one that is
// answered first. Where the first is alone its Read ends with errSilence at some time.
type helloConn struct {
	ctx     context.Context // of the handshake
	dial    func(hello []byte) (conn net.Conn, w watchdog, err error)
	opening func() // a hedge is about to be opened
	hedge   func(ctx context.Context, hello []byte) (net.Conn, error)
	swap    func(hedge net.Conn) // the hedge was answered first
	took    func(time.Duration)  // the first was, and so long after its SYN-ACK

	// Of the goroutine that reads.
	hello  []byte
	watch  watchdog // until the first byte
	peeked []byte   // read from the hedge before it was chosen

	mu     sync.Mutex
	conn   net.Conn // nil before the first Write
	closed bool
}

// watchdog is how long a connection may stay silent.
type watchdog struct {
	hedge time.Duration // before there is a hedge; 0: there is none
	alone time.Duration // where there is none, or none any more; 0: for ever
}

func (h *helloConn) Write(p []byte) (int, error) {
	if conn := h.get(); conn != nil {
		return conn.Write(p)
	}
	conn, watch, err := h.dial(p)
	if err != nil {
		return 0, err
	}
	if h.watch = watch; watch.hedge > 0 {
		h.hello = append([]byte(nil), p...)
	}
	if err := h.set(conn); err != nil {
		return 0, err
	}
	return len(p), nil
}

// set takes a connection in use.
func (h *helloConn) set(conn net.Conn) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		conn.Close()
		return net.ErrClosed
	}
	h.conn = conn
	return nil
}

func (h *helloConn) get() net.Conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.conn
}

func (h *helloConn) Read(p []byte) (int, error) {
	conn := h.get()
	switch {
	case conn == nil:
		return 0, net.ErrClosed
	case len(h.peeked) > 0:
		n := copy(p, h.peeked)
		h.peeked = h.peeked[n:]
		return n, nil
	case h.watch.alone == 0 || len(p) == 0:
		return conn.Read(p)
	}
	began, watch := time.Now(), h.watch
	h.watch = watchdog{}
	conn.SetReadDeadline(began.Add(cmp.Or(watch.hedge, watch.alone)))
	n, err := conn.Read(p)
	if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && watch.hedge > 0 {
		conn.SetReadDeadline(time.Time{})
		n, err = h.race(conn, p, watch.alone)
	}
	if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
		reset(conn)
		return 0, errSilence
	}
	conn.SetReadDeadline(time.Time{})
	if n > 0 && h.get() == conn {
		h.took(time.Since(began))
	}
	return n, err
}

// race reads from a silent connection or from its hedge, whichever is answered
// first, and closes the other. Once one of them has failed the other has so long left.
func (h *helloConn) race(first net.Conn, p []byte, left time.Duration) (int, error) {
	h.opening()
	ctx, cancel := context.WithCancel(h.ctx)
	var mu sync.Mutex
	var chosen net.Conn
	choose := func(conn net.Conn) bool {
		mu.Lock()
		defer mu.Unlock()
		if chosen == nil {
			chosen = conn
		}
		return chosen == conn
	}
	var hedge net.Conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if hedge == nil {
				first.SetReadDeadline(time.Now().Add(left))
			}
		}()
		conn, err := h.hedge(ctx, h.hello)
		if err != nil {
			return
		}
		stop := context.AfterFunc(ctx, func() { reset(conn) })
		answer := make([]byte, 4<<10)
		n, _ := conn.Read(answer)
		if stop() && n > 0 && choose(conn) {
			hedge, h.peeked = conn, answer[:n]
			reset(first)
			return
		}
		reset(conn)
	}()
	n, err := first.Read(p)
	if n > 0 && choose(first) {
		cancel()
		<-done
		return n, nil
	}
	timer := time.AfterFunc(left, cancel) // the first failed, or is not wanted any more
	<-done
	timer.Stop()
	cancel()
	if hedge == nil {
		return 0, err
	}
	if err := h.set(hedge); err != nil {
		return 0, err
	}
	h.swap(hedge)
	return h.Read(p)
}

func (h *helloConn) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	if h.conn != nil {
		return h.conn.Close()
	}
	return nil
}

func (h *helloConn) LocalAddr() net.Addr {
	if conn := h.get(); conn != nil {
		return conn.LocalAddr()
	}
	return &net.TCPAddr{}
}

func (h *helloConn) RemoteAddr() net.Addr {
	if conn := h.get(); conn != nil {
		return conn.RemoteAddr()
	}
	return &net.TCPAddr{}
}

func (h *helloConn) SetDeadline(t time.Time) error {
	if conn := h.get(); conn != nil {
		return conn.SetDeadline(t)
	}
	return nil
}

func (h *helloConn) SetReadDeadline(t time.Time) error {
	if conn := h.get(); conn != nil {
		return conn.SetReadDeadline(t)
	}
	return nil
}

func (h *helloConn) SetWriteDeadline(t time.Time) error {
	if conn := h.get(); conn != nil {
		return conn.SetWriteDeadline(t)
	}
	return nil
}
