package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/tlstfo/tlstfo"
)

// handshakes measures handshakes over connections that are there.
func handshakes(side *side) func(int) (batch, error) {
	return func(ops int) (batch, error) {
		warm, err := side.open() // gets the session
		if err != nil {
			return batch{}, err
		}
		warm.Close()
		raws := make([]net.Conn, ops)
		conns := make([]conn, ops)
		for i := range raws {
			if raws[i], err = net.Dial("tcp", side.servers.std); err != nil {
				return batch{}, err
			}
		}
		return batch{
			run: func() error {
				for i, raw := range raws {
					conns[i] = side.client(raw)
					if err := conns[i].Handshake(); err != nil {
						return err
					}
				}
				return nil
			},
			end: func() error {
				var err error
				for i, raw := range raws {
					if conns[i] == nil || conns[i].ConnectionState().DidResume != side.resumes {
						err = errNotResumed
					}
					raw.Close()
				}
				return err
			},
		}, nil
	}
}

var errNotResumed = errors.New("resumption is not as it should be")

// earlyDials measures dials with the request in early data. A dial is over
// when it has its ticket for the next one: the server answers before it gives
// tickets, so that Close has to wait for it.
func earlyDials(s *servers, fastOpen bool) func(int) (batch, error) {
	ctx := context.Background()
	d := &tlstfo.Dialer{TLSConfig: config(s, classical), NoFastOpen: !fastOpen}
	return func(ops int) (batch, error) {
		c, err := d.DialContext(ctx, "tcp", s.peer)
		if err != nil {
			return batch{}, err
		}
		if err := errors.Join(s.exchange(c), s.check(c, tls.X25519), c.Close(), d.Flush(ctx)); err != nil {
			return batch{}, err
		}
		misses := 0
		run := func() error {
			return repeat(ops, func() error {
				err := earlyDial(ctx, d, s)
				if errors.Is(err, errNoTicket) && misses <= ops/20 {
					misses++
					return nil
				}
				return err
			})
		}
		return batch{run, nothing}, nil
	}
}

// errNoTicket: the machine was so busy that the last ticket came too late. The
// dial has fetched new ones.
var errNoTicket = errors.New("no ticket")

// earlyDial sends the small request as *replayable*: the server only answers it.
func earlyDial(ctx context.Context, d *tlstfo.Dialer, s *servers) error {
	c, err := d.DialEarly(ctx, "tcp", s.peer, s.small)
	if err != nil {
		return err
	}
	var answer [smallAnswer]byte
	if _, err := io.ReadFull(c, answer[:]); err != nil {
		return err
	}
	info := c.Info()
	if err := errors.Join(c.Close(), d.Flush(ctx)); err != nil {
		return err
	}
	switch {
	case info.Early.Accepted:
		return nil
	case info.Early.Reason == tlstfo.EarlyNoSession:
		return errNoTicket
	}
	return fmt.Errorf("early data was not accepted: %s", info.Early.Reason)
}

// resumedDials measures what crypto/tls has for the same.
func resumedDials(s *servers) func(int) (batch, error) {
	cfg := config(s, classical)
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	d := &tls.Dialer{Config: cfg}
	dial := func(resumed bool) error {
		c, err := d.DialContext(context.Background(), "tcp", s.peer)
		if err != nil {
			return err
		}
		if err := s.exchange(c); err != nil {
			return err
		}
		if resumed && !c.(conn).ConnectionState().DidResume {
			return errNotResumed
		}
		return errors.Join(s.check(c, tls.X25519), c.Close())
	}
	return func(ops int) (batch, error) {
		if err := dial(false); err != nil {
			return batch{}, err
		}
		return batch{func() error { return repeat(ops, func() error { return dial(true) }) }, nothing}, nil
	}
}

func repeat(n int, f func() error) error {
	for range n {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

func nothing() error { return nil }
