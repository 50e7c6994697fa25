package tfo

import (
	"context"
	"errors"
	"net"
	"time"
)

// remember tells the Memory how Fast Open fared in a race that was won, or that is lost.
func (r *race) remember(won bool) {
	for _, l := range r.lanes {
		t := l.first
		if !t.option || t.syn.why == ReasonPaused {
			continue
		}
		if !t.answered {
			t.checkNetwork(nil)
		}
		switch why := l.verdict(won); {
		case why != FailureNone:
			r.dialer.Memory.failed(t.Attempt, why)
		case t.answered:
			r.dialer.Memory.worked(t.Attempt)
		}
	}
}

// verdict says how Fast Open failed on the way to l's address, if it did.
func (l *lane) verdict(won bool) Failure {
	switch t := l.first; {
	case t.answered && t.syn.retransmitted:
		return FailureRetransmitted
	case t.answered:
		return FailureNone
	case l.twin != nil && l.twin.answered && gaveUp(t.Err):
		return FailureNoAnswer
	case l.twin != nil && l.twin.answered:
		return FailureError
	case l.suspicious(won):
		return FailureSuspected
	}
	return FailureNone
}

// suspicious says whether Fast Open may be why l's first attempt came to nothing, for all that is known when another address has won, or none has.
// Otherwise the next dial would lose the same time over it, or, if it has a deadline, fail again.
func (l *lane) suspicious(won bool) bool {
	t, due := l.first, max(twinDelay(l.first.RTT), l.first.RTT)
	switch twin := l.twin; {
	case twin != nil && (!gaveUp(twin.Err) || twin.out() >= due):
		return false // a plain SYN fared no better
	case !gaveUp(t.Err) || t.out() >= due:
		return true
	case won, errors.Is(t.Err, context.Canceled):
		return false // who cancels wants the answer no more, and says nothing of how long it may take
	case t.RTT > 0:
		return t.out() >= t.RTT // a dial in a hurry has no time for more
	}
	return t.out() >= leastTwinDelay
}

// gaveUp tells whether an attempt that ended with err had no answer.
func gaveUp(err error) bool {
	var e net.Error
	return errors.Is(err, ErrLost) || errors.Is(err, context.Canceled) || errors.As(err, &e) && e.Timeout()
}

// out is how long the SYN of an attempt that has ended was out.
func (t *attempt) out() time.Duration {
	if t.start.IsZero() {
		return 0
	}
	return t.elapsed
}
