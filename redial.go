package tlstfo

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"

	"github.com/tlstfo/tlstfo/handshake"
	"github.com/tlstfo/tlstfo/tfo"
)

// outcome is how a try ended.
type outcome struct {
	err         error
	op          string             // "dial", "handshake"
	left        bool               // bytes of a flight may have left this machine
	earlyLeft   bool               // and early data among them
	early       int                // how many bytes of it
	earlyTo     *handshake.Session // with which session
	earlyTold   bool               // the server said what became of it
	synData     *tfo.Attempt       // the attempt whose SYN carried data that was acknowledged; nil: none
	info        ConnInfo           // of a dial that failed
	beforeHello bool               // no valid ServerHello came
	stalled     bool               // a hedge was answered, and no byte came on the connection that it was for
	unheard     bool               // the dial was given up, and no byte had come in the time after which there is a hedge, nor was the hedge silent for as long
	hedged      bool               // there was a hedge
	redials     int                // 1 if it was answered first
	accepted    bool               // the server accepted the early data
}

// noteEarly says that early data may have left with an attempt.
func (out *outcome) noteEarly(t *attempt) {
	out.earlyLeft, out.early, out.earlyTo = true, t.early, t.session.hs
}

// silent tells whether nothing came on a connection whose SYN data was
// acknowledged.
func (out *outcome) silent() bool {
	return out.synData != nil && (out.stalled || out.unheard || errors.Is(out.err, errSilence))
}

// earlyToBlame tells whether early data may be why a try broke. Who gives up a
// dial, or refuses what the server says, blames nobody.
func (out *outcome) earlyToBlame(ctx context.Context) bool {
	if out.earlyLeft && out.stalled {
		return true
	}
	switch cause := context.Cause(ctx); {
	case !out.earlyLeft || !out.beforeHello || errors.Is(out.err, handshake.FaultAbandoned):
		return false
	case cause != nil && !errors.Is(cause, ErrTimeout):
		return false
	}
	return out.op != "dial" || !isTimeout(out.err)
}

// wrap makes the error that the caller sees.
func (c *Conn) wrap(out outcome, condition error) error {
	err := out.err
	if condition != nil {
		err = fmt.Errorf("%w: %w", condition, err)
	}
	return &Error{Op: out.op, Addr: c.addr, Err: err, Info: c.Info()}
}

// mayBeOlder tells whether the caller allows TLS below 1.3.
func (c *Conn) mayBeOlder() bool { return c.config.MinVersion < tls.VersionTLS13 }

// redial decides what a dial that failed is worth: a plan that is stripped
// further, or nothing. An unauthenticated answer may be forged, so that it decides about
// this call, and at most for a short time about later ones.
func (c *Conn) redial(p plan, out outcome) (plan, bool) {
	if c.given != nil {
		return p, false
	}
	if p.std != "" { // crypto/tls had the whole range of versions; only the way there can be to blame
		p.hedged = p.hedged || out.hedged
		if p.plain || out.synData == nil || !errors.Is(out.err, errSilence) {
			return p, false
		}
		p.plain, p.redial = true, rootCause(out.err)
		return p, true
	}
	if out.earlyLeft && c.dialer.FailOnReject {
		return p, false
	}
	noEarly := func(why EarlyReason) {
		if p.noEarly == EarlyNone && len(p.early) > 0 {
			p.noEarly = why
		}
	}
	if out.earlyLeft {
		noEarly(EarlyBroke) // for all redials of this call
	}
	if out.silent() || out.hedged {
		p.plain = true // and so there is no second hedge
	}
	p.hedged = p.hedged || out.hedged
	switch {
	case errors.Is(out.err, handshake.FaultAbandoned):
		// The PSK of a post-quantum lineage was refused: once more, with the
		// hybrid and without the PSK.
		p.noEarly, p.noSession = EarlyNotResumed, true
		p.redial = "the session was not resumed, and its key exchange was post-quantum"
		return p, true

	case out.op == "dial":
		// A reset in answer to a SYN with data: some middleboxes do that.
		if !out.left || p.plain || isTimeout(out.err) {
			return p, false
		}
		p.plain = true
		p.redial = "the connection was refused when data rode in the SYN"
		return p, true

	case !out.beforeHello:
		return p, false

	case c.mayBeOlder() && (isOlder(out.err) || c.dialer.Hello == nil && (looksOlder(out.err) || !out.earlyLeft && brokeOff(out.err))):
		// Who hangs up on a hello that looks like another program's would be shown that it is not: the hello of
		// crypto/tls goes only to a server that says that it is older.
		p.std = "the server answered as one without TLS 1.3: " + rootCause(out.err)
		p.redial = p.std
		return p, true

	case errors.Is(out.err, errSilence) && out.synData != nil:
		p.redial = rootCause(out.err)
		return p, true

	case out.earlyLeft:
		p.redial = "the connection broke on early data: " + rootCause(out.err)
		return p, true
	}
	return p, false
}

// brokeOff tells whether the transport ended: an EOF or a reset. A close_notify says no more than the EOF that follows it.
func brokeOff(err error) bool {
	var remote *handshake.RemoteError
	if errors.As(err, &remote) && remote.Alert == handshake.AlertCloseNotify {
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || isReset(err)
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout() || errors.Is(err, context.DeadlineExceeded)
}

func rootCause(err error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err.Error()
		}
		err = next
	}
}
