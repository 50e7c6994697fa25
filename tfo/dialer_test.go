package tfo

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestShareDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		for _, test := range []struct {
			left time.Duration
			n    int
			want time.Duration
		}{
			{30 * time.Second, 3, 10 * time.Second},
			{30 * time.Second, 1, 30 * time.Second},
			{3 * time.Second, 3, 2 * time.Second},
			{time.Second, 3, time.Second},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), test.left)
			share, cancelShare := shareDeadline(ctx, now, test.n)
			if got, _ := share.Deadline(); got.Sub(now) != test.want {
				t.Errorf("%v for %d: %v, want %v", test.left, test.n, got.Sub(now), test.want)
			}
			cancelShare()
			cancel()
		}
		share, cancel := shareDeadline(t.Context(), now, 3)
		defer cancel()
		if _, ok := share.Deadline(); ok {
			t.Error("a deadline out of nothing")
		}
	})
}

func TestBindContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		for _, test := range []struct {
			dialer net.Dialer
			ctx    time.Duration
			want   time.Duration
		}{
			{net.Dialer{}, 0, 0},
			{net.Dialer{Timeout: time.Second}, 0, time.Second},
			{net.Dialer{Deadline: now.Add(time.Second)}, 0, time.Second},
			{net.Dialer{Timeout: 2 * time.Second, Deadline: now.Add(time.Second)}, 3 * time.Second, time.Second},
			{net.Dialer{Timeout: time.Second, Deadline: now.Add(2 * time.Second)}, 3 * time.Second, time.Second},
			{net.Dialer{Timeout: 3 * time.Second}, time.Second, time.Second},
		} {
			ctx := t.Context()
			cancelParent := func() {}
			if test.ctx != 0 {
				ctx, cancelParent = context.WithTimeout(ctx, test.ctx)
			}
			bound, cancel := bindContext(ctx, &test.dialer)
			if test.dialer.Timeout != 0 || !test.dialer.Deadline.IsZero() {
				t.Error("the attempts would be bound once more")
			}
			if deadline, ok := bound.Deadline(); ok != (test.want != 0) || ok && deadline.Sub(now) != test.want {
				t.Errorf("%v, want %v", deadline.Sub(now), test.want)
			}
			cancel()
			cancelParent()
		}
	})
}

func TestAttemptErrors(t *testing.T) {
	late := &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}
	refused := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	for _, test := range []struct {
		errs    attemptErrors
		timeout bool
	}{
		{attemptErrors{refused, late}, true},
		{attemptErrors{late, refused}, false},
		{nil, false},
	} {
		if got := test.errs.Timeout(); got != test.timeout {
			t.Errorf("%v: timeout %v", test.errs, got)
		}
	}
	err := error(&net.OpError{Op: "dial", Net: "tcp", Err: attemptErrors{refused, late}})
	if !errors.Is(err, syscall.ECONNREFUSED) || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v hides a cause", err)
	}
}

func TestStrings(t *testing.T) {
	seen := make(map[string]bool)
	for r := ReasonNone; r <= ReasonAvoided; r++ {
		if s := r.String(); s == "" || seen[s] {
			t.Errorf("reason %d is %q", r, s)
		}
		seen[r.String()] = true
	}
	if s := (ReasonMultipath + 1).String(); s != "reason?" {
		t.Errorf("a reason of tomorrow is %q", s)
	}
	if WayPlain.String() != "plain" || WayFastOpen.String() != "fastopen" {
		t.Error(WayPlain, WayFastOpen)
	}
	if CookieUnknown.String() != "unknown" || CookieAbsent.String() != "absent" || CookiePresent.String() != "present" {
		t.Error(CookieUnknown, CookieAbsent, CookiePresent)
	}
}
