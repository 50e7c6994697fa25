package tlstfo

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/tlstfo/tlstfo/handshake"
	"github.com/tlstfo/tlstfo/tfo"
)

// errSilence is the watchdog's word: early data, or a SYN with data, went out,
// the transport is up, and nothing came back.
var errSilence = errors.New("nothing followed the SYN-ACK")

// The watchdog counts in round trips, and stops at the ServerHello: how long a
// server takes to answer a request is none of its business.
const (
	silenceRTTs = 10
	silenceMin  = time.Second
	silenceMax  = 10 * time.Second
)

// silence is the watchdog's patience.
func silence(rtt time.Duration) time.Duration {
	return min(max(silenceRTTs*rtt, silenceMin), silenceMax)
}

// shaking completes one handshake over a transport.
type shaking struct {
	c     *Conn
	plan  plan
	t     *attempt
	raw   net.Conn
	slow  *unbuffered // raw, if that has no buffers
	stop  func() bool // the end of the context closes raw no more
	out   outcome
	guard bool // the watchdog runs
	heard bool // a byte came

	pair     *pair         // nil: there is no hedge
	began    time.Time     // when the first flight had left
	patience time.Duration // how long it may stay silent before there is one
	sent     time.Time     // when it began to be silent; zero if nobody wants to know
	took     time.Duration // what the answer took since then

	// earlyTo is the session that early data left with, on this dial or on one
	// that broke before; nil if none did.
	earlyTo *handshake.Session
}

// run goes from the first flight to the established Conn. A first flight that
// is not sent yet may hold *replayable* early data.
func (s *shaking) run(ctx context.Context) outcome {
	s.out.op = "handshake"
	if !buffers(s.raw) {
		s.slow = newUnbuffered(s.raw)
		s.raw = s.slow
		s.c.mu.Lock()
		s.c.raw = s.raw
		s.c.mu.Unlock()
	}
	raw := s.raw
	s.stop = context.AfterFunc(ctx, func() { raw.Close() })
	defer s.leave()
	first := s
	s.out.err = s.exchange(ctx)
	if s.pair != nil {
		s = s.pair.result(ctx)
	}
	if s.out.err == nil {
		s.out.err = s.complete()
	}
	if !s.stop() && ctx.Err() != nil {
		s.out.err = context.Cause(ctx)
		s.out.unheard = first.unheard()
	}
	if err := s.out.err; err != nil {
		if errors.Is(err, errSilence) {
			reset(s.raw)
		}
		s.raw.Close()
		s.t.info.Early.broke()
		s.c.setInfo(s.t.info)
	}
	s.c.trace.handshakeDone(&s.t.info, s.out.err)
	return s.out
}

// exchange drives the engine until the handshake is complete.
func (s *shaking) exchange(ctx context.Context) error {
	engine := s.t.engine
	if len(s.t.unsent) > 0 {
		if err := s.send(s.t.unsent, false); err != nil {
			return err
		}
	}
	s.guard = s.c.given == nil && (s.t.early > 0 || s.out.synData != nil)
	if s.out.synData != nil {
		slow := s.c.dialer.hosts.get(s.c.hostKey).slow
		s.began, s.patience = time.Now(), hedgeDelay(ctx, s.t.info.RTT, slow)
		if slow > 0 {
			s.sent = s.began
		}
	}
	for {
		ev, err := s.next()
		if err != nil {
			s.sendAlert()
			return err
		}
		switch ev.Kind {
		case handshake.EventEarlyAccepted:
			s.t.info.Early.Accepted = true
			s.earlyResult(EarlyAccepted)
		case handshake.EventEarlyRejected:
			s.earlyResult(rejection(ev.Reason))
		case handshake.EventHandshakeComplete:
			return nil
		case handshake.EventNone:
			if out := engine.AppendOutput(nil); len(out) > 0 {
				if err := s.send(out, false); err != nil {
					return err
				}
			}
			s.watch(ctx)
			n, err := s.raw.Read(engine.Buffer())
			engine.Advance(n)
			s.heard = s.heard || n > 0
			switch {
			case err == nil || n > 0:
			case s.mayHedge() && errors.Is(err, os.ErrDeadlineExceeded):
				s.openHedge(ctx)
			default:
				return s.readError(err)
			}
		}
	}
}

// send writes a flight, beside the reads where it has to. Early data in it is
// *replayable*.
func (s *shaking) send(flight []byte, last bool) error {
	if s.slow != nil {
		return s.slow.send(flight, last)
	}
	_, err := s.raw.Write(flight)
	return err
}

// maxUnread is how much is sent, early data included, before anything of the answer is read.
// A server that answers while it reads waits for us to read, once what it wrote fills
// the buffers on the way; then we must not wait for it to read. This fits the buffers
// that systems give a connection at first. Early data does not gain by more: what is over a
// first congestion window, 15 kB mostly (RFC 6928), leaves when the ServerHello is here as well.
const maxUnread = 64 << 10

// sendAlert writes the alert of an engine that failed, if there is one.
func (s *shaking) sendAlert() {
	if alert := s.t.engine.AppendOutput(nil); len(alert) > 0 {
		s.raw.SetWriteDeadline(time.Now().Add(alertTimeout))
		s.raw.Write(alert)
	}
}

// unheard tells whether no byte came in the time after which there is a hedge, and no hedge was silent for as long: then
// it is the server that says nothing.
func (s *shaking) unheard() bool {
	return !s.heard && passed(s.began, s.patience) && !(s.pair != nil && passed(s.pair.began(), s.patience))
}

// passed tells whether a flight left so long ago; t is zero if it did not.
func passed(t time.Time, patience time.Duration) bool {
	return !t.IsZero() && time.Since(t) >= patience
}

// earlyResult notes what the server said about early data.
func (s *shaking) earlyResult(why EarlyReason) {
	s.t.info.Early.Reason, s.out.earlyTold = why, true
	s.c.trace.earlyResult(s.t.early, why)
}

// next asks the engine for an event. Of a pair only one gets beyond its
// ServerHello.
func (s *shaking) next() (handshake.Event, error) {
	if p := s.pair; p != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.chosen != nil && p.chosen != s {
			return handshake.Event{}, tfo.ErrLost
		}
	}
	engine := s.t.engine
	ev, err := engine.Next(time.Now())
	s.out.beforeHello = s.out.beforeHello && !heardServer(engine.State(), err)
	s.out.accepted = engine.EarlyData() == handshake.EarlyAccepted
	if s.out.beforeHello {
		return ev, err
	}
	if s.pair != nil {
		s.pair.choose(s)
	}
	if !s.sent.IsZero() && s.took == 0 {
		s.took = time.Since(s.sent)
	}
	return ev, err
}

// watch sets the watchdog before a Read: silence is when no byte comes. A hedge
// comes before it, and while that is under way there is none. After
// the ServerHello it is taken off.
func (s *shaking) watch(ctx context.Context) {
	var wait time.Duration
	switch p := s.pair; {
	case !s.guard:
		return
	case !s.out.beforeHello:
		s.guard = false
	case p != nil:
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.failed {
			wait = silence(s.t.info.RTT)
		}
	case s.mayHedge():
		wait = s.patience
	default:
		wait = silence(s.t.info.RTT)
	}
	if wait == 0 {
		s.raw.SetReadDeadline(time.Time{})
		return
	}
	s.raw.SetReadDeadline(time.Now().Add(wait))
}

// heardServer tells whether a ServerHello or HelloRetryRequest was valid. After
// a failure the state is the one in which it happened.
func heardServer(state handshake.State, err error) bool {
	var local *handshake.LocalError
	var remote *handshake.RemoteError
	switch {
	case errors.As(err, &local):
		state = local.State
	case errors.As(err, &remote):
		state = remote.State
	}
	return state != handshake.StateIdle && state != handshake.StateServerHello
}

func (s *shaking) readError(err error) error {
	switch {
	case s.guard && errors.Is(err, os.ErrDeadlineExceeded):
		return errSilence
	case err == io.EOF:
		return io.ErrUnexpectedEOF
	case s.slow != nil && s.slow.failure() != nil:
		return s.slow.failure() // that ended the reads
	}
	return err
}

// complete hands over what was promised, and establishes the Conn.
func (s *shaking) complete() error {
	c, t, engine := s.c, s.t, s.t.engine
	state := engine.ConnectionState()
	rest := c.first
	switch {
	case s.out.accepted:
		rest = rest[t.early:]
	case s.earlyTo != nil:
		if err := s.mayResend(); err != nil {
			s.sendAlert()
			return err
		}
		t.info.Early.Resent = t.early // 0 where it left on an earlier dial: Broken counts that
	}
	t.info.Resumed, t.info.HelloRetryRequest = state.DidResume, state.HelloRetryRequest

	flight := engine.AppendOutput(nil)
	sealer, opener := engine.Split()
	opener.Release()
	c.sealer, c.opener = sealer, opener
	if c.config.DynamicRecordSizingDisabled {
		c.sent = smallRecords
	}
	n := 0
	if s.slow == nil {
		n = min(len(rest), maxUnread)
		if s.out.accepted {
			n = min(n, maxUnread-t.early) // the server may not have read that
		}
		flight = c.seal(flight, rest[:n])
	}
	// The rest follows once the Conn is established: a server may want to be
	// read from before it takes everything.
	if err := s.send(flight, true); err != nil {
		return err
	}
	c.dialer.hosts.change(c.hostKey, func(h *host) {
		h.stdUntil = time.Time{}
		if !state.DidResume {
			h.group = state.CurveID
		}
		h.noteSlow(s.took)
	})
	c.mu.Lock()
	c.exporter, c.state, c.info, c.first = engine.Exporter(), state, t.info, rest[n:]
	c.mu.Unlock()
	return nil
}

// mayResend says why early data that was rejected, or that left on a dial that
// broke, may not go again on this connection. The server's identity was
// verified anew by the engine, for the same name and roots, and
// VerifyConnection agreed with it; nothing was read out yet.
func (s *shaking) mayResend() error {
	why := s.c.whatChanged(s.earlyTo, s.t.engine.ConnectionState())
	switch {
	case s.c.dialer.FailOnReject:
		why = "FailOnReject is set"
	case why == "" && !bytes.Equal(s.t.engine.ClientChainSum(), s.earlyTo.ClientCertificate):
		why = "the client certificate changed"
	}
	switch {
	case why == "":
		return nil
	case s.t.early == 0:
		return notAgain(why)
	}
	return &rejectedError{s.t.info.Early.Reason, why}
}

// whatChanged says what makes a connection another than the one that early
// data was meant for; "" if nothing does.
func (c *Conn) whatChanged(before *handshake.Session, now tls.ConnectionState) string {
	switch {
	case now.NegotiatedProtocol != before.ALPN:
		return "the application protocol changed"
	case c.dialer.StrictIdentity && !sameLeaf(now.PeerCertificates, before.PeerCertificates):
		return "the server's certificate changed"
	}
	return ""
}

// notAgain is the error of a redial that must not have the early data of the
// dial before.
func notAgain(why string) error { return errors.New("the early data was not sent again: " + why) }

// rejectedError is ErrEarlyDataRejected with its reasons.
type rejectedError struct {
	reason EarlyReason
	why    string
}

func (e *rejectedError) Error() string {
	return ErrEarlyDataRejected.Error() + " (" + e.reason.String() + ") and it was not sent again: " + e.why
}

func (e *rejectedError) Is(target error) bool { return target == ErrEarlyDataRejected }

// sameLeaf tells whether two chains begin with the same certificate.
func sameLeaf(a, b []*x509.Certificate) bool {
	return len(a) > 0 && len(b) > 0 && a[0].Equal(b[0])
}
