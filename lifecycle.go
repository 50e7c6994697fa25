package tlstfo

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"runtime"
	"slices"
	"time"
)

// The life of a Conn before it is established. begin fixes what goes first;
// run, in the caller's goroutine or one of its own, dials and completes the
// handshake; settle ends that, well or badly, and closes done.

// maxFirst is how much a Conn gathers before it dials.
const maxFirst = 16 << 10

// begin fixes the bytes that go first, of which early are *replayable*.
func (c *Conn) begin(first []byte, early int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.began = true
	c.first, c.early = slices.Clone(first), early
}

// goBegin starts what DialDeferred and Client put off, if nobody did before:
// it asks which of the gathered bytes are *replayable*, and dials.
func (c *Conn) goBegin() {
	c.mu.Lock()
	if c.began {
		c.mu.Unlock()
		return
	}
	c.began = true // from here on Writes wait, and first stays as it is
	if c.cork != nil {
		c.cork.Stop()
	}
	c.mu.Unlock()
	early := 0
	if len(c.first) > 0 && c.dialer.Early != nil {
		early = -1
		defer func() {
			if early < 0 { // it ended the goroutine, or panicked
				c.settle(errEnded)
			}
		}()
		early = max(0, min(c.dialer.Early(slices.Clone(c.first)), len(c.first)))
	}
	c.mu.Lock()
	c.early = early
	c.mu.Unlock()
	c.goRun()
}

// goRun lets run go on in a goroutine of its own, bounded by Dialer.Timeout.
func (c *Conn) goRun() {
	ctx, stop := context.WithDeadlineCause(c.dialCtx, c.dialer.deadline(), ErrTimeout)
	ctx, cancel := context.WithCancelCause(ctx)
	c.mu.Lock()
	c.cancel = cancel
	cause := c.cause
	c.mu.Unlock()
	if cause != nil {
		cancel(cause)
	}
	go func() {
		defer stop()
		defer cancel(nil)
		growStack()
		c.run(ctx)
	}()
}

// growStack takes at once the stack that a handshake needs: growing there step
// by step copies a deep stack each time.
//
//go:noinline
func growStack() {
	var room [12 << 10]byte
	runtime.KeepAlive(&room)
}

// run establishes the connection. What it sends early is *replayable*: the
// bytes that begin was told so of.
func (c *Conn) run(ctx context.Context) error {
	c.settleBy(func() error { return c.establish(ctx) })
	if c.owed != nil {
		c.deliver()
	}
	return c.failure()
}

// settleBy settles with what establish returns. A callback of the application that ends
// the goroutine, or panics, leaves nobody waiting and no connection open.
func (c *Conn) settleBy(establish func() error) {
	err := errEnded
	defer func() { c.settle(err) }()
	err = establish()
}

// settle ends the life before the handshake's end.
func (c *Conn) settle(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancel, c.config, c.dialCtx = nil, nil, nil
	c.readDeadline.stop() // from here on done answers who waits
	c.writeDeadline.stop()
	if c.dropped && err == nil {
		err = net.ErrClosed
	}
	switch {
	case err != nil:
		if e := (*Error)(nil); !errors.As(err, &e) {
			err = &Error{Op: "dial", Addr: c.addr, Err: err, Info: c.info}
		}
		c.err, c.state, c.first = err, tls.ConnectionState{}, nil
		if c.raw != nil {
			c.raw.Close()
		}
	default:
		if len(c.first) > 0 {
			c.owed = make(chan struct{})
		}
		c.startDeadlines(&c.readDeadline, &c.writeDeadline)
	}
	close(c.done)
}

// abandon ends run with an error.
func (c *Conn) abandon(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause == nil {
		c.cause = cause
	}
	if c.cancel != nil {
		c.cancel(cause)
	}
}

// gather copies what is written before a Conn of DialDeferred or Client dials,
// where Dialer.Early may call it *replayable*. It returns how much it took. If
// that is a part of p, then the caller holds wmu.
func (c *Conn) gather(p []byte) (int, error) {
	if c.dialer.Early == nil || len(p) == 0 {
		return 0, nil
	}
	c.mu.Lock()
	if c.closed || c.began {
		c.mu.Unlock()
		return 0, nil // await has the answer
	}
	if t := c.writeDeadline.get(); !t.IsZero() && !time.Now().Before(t) {
		c.mu.Unlock()
		return 0, os.ErrDeadlineExceeded
	}
	taken := min(len(p), maxFirst-len(c.first))
	c.first = append(c.first, p[:taken]...)
	wait := c.dialer.cork()
	full := len(c.first) == maxFirst || wait < 0
	if !full && c.cork == nil {
		c.cork = time.AfterFunc(wait, c.goBegin)
	}
	if 0 < taken && taken < len(p) {
		c.wmu.Lock() // free: nobody else takes it before the handshake, and p alone filled first
	}
	c.mu.Unlock()
	if full {
		c.goBegin()
	}
	return taken, nil
}

// Flush ends the gathering of first writes at once (see Dialer.Cork). It does
// not wait.
func (c *Conn) Flush() error {
	c.mu.Lock()
	gathering := !c.began && len(c.first) > 0
	c.mu.Unlock()
	if gathering {
		c.goBegin()
	}
	return nil
}

// awaitRead is await for Read: before anything was written, it gives the Write
// that is about to come its chance.
func (c *Conn) awaitRead() error {
	select {
	case <-c.done:
		return c.failure()
	default:
	}
	c.mu.Lock()
	began := c.began
	c.mu.Unlock()
	if grace := c.dialer.readGrace(); !began && grace > 0 {
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-c.done:
			return c.failure()
		case <-c.closing:
			return net.ErrClosed
		case <-c.readDeadline.passed():
			return os.ErrDeadlineExceeded
		case <-timer.C:
		}
	}
	return c.await(&c.readDeadline)
}

// await waits until the Conn is established, within a deadline.
func (c *Conn) await(d *deadline) error {
	select {
	case <-c.done: // the usual case, at no cost
		return c.failure()
	default:
	}
	if t := d.get(); !t.IsZero() && !time.Now().Before(t) {
		return os.ErrDeadlineExceeded // without beginning anything
	}
	c.goBegin()
	select {
	case <-c.done:
		return c.failure()
	case <-c.closing:
		return net.ErrClosed
	case <-d.passed():
		return os.ErrDeadlineExceeded
	}
}

// failure is the error of a Conn that is done: nil if it is usable.
func (c *Conn) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	return c.err
}

// established tells whether the handshake is complete.
func (c *Conn) established() bool {
	select {
	case <-c.done:
		return c.err == nil
	default:
		return false
	}
}

// HandshakeDone returns a channel that is closed when the handshake is
// complete, or will never be: Handshake then returns at once with the error.
func (c *Conn) HandshakeDone() <-chan struct{} { return c.done }

// Handshake completes the handshake, dialling first where DialDeferred put that
// off. Both deadlines bind it.
func (c *Conn) Handshake() error {
	select {
	case <-c.done:
		return c.failure()
	default:
	}
	c.goBegin()
	select {
	case <-c.done:
		return c.failure()
	case <-c.closing:
		return net.ErrClosed
	case <-c.readDeadline.passed():
	case <-c.writeDeadline.passed():
	}
	return os.ErrDeadlineExceeded
}

// HandshakeContext completes the handshake, dialling first where DialDeferred
// put that off. Afterwards nothing is replayable any more: all that was handed
// over has been accepted by the server, or goes under traffic keys. A context that ends first, or has ended before, ends the
// Conn, as with *tls.Conn; once the handshake is complete the context does not matter.
func (c *Conn) HandshakeContext(ctx context.Context) error {
	select {
	case <-c.done: // whatever became of the context
		return c.failure()
	default:
	}
	if ctx.Err() != nil {
		c.abandon(context.Cause(ctx)) // before anything is dialled
	}
	c.goBegin()
	select {
	case <-c.done:
	case <-c.closing:
		return net.ErrClosed
	case <-ctx.Done():
		c.abandon(context.Cause(ctx))
		<-c.done
	}
	if err := c.failure(); err == nil || ctx.Err() == nil {
		return err // it may have been complete before the context ended
	}
	return ctx.Err()
}
