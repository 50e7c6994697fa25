package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/tlstfo/tlstfo"
)

// conn is what a *tlstfo.Conn and a *tls.Conn have in common.
type conn interface {
	net.Conn
	Handshake() error
	ConnectionState() tls.ConnectionState
}

var (
	classical = []tls.CurveID{tls.X25519}
	hybrid    = []tls.CurveID{tls.X25519MLKEM768, tls.X25519} // as the default begins
)

func rows(s *servers) []*row {
	return []*row{
		{name: "full handshake, X25519", ops: 40, ours: handshakes(s, ours(s, classical, false)), theirs: handshakes(s, theirs(s, classical, false))},
		{name: "full handshake, X25519MLKEM768", ops: 40, ours: handshakes(s, ours(s, hybrid, false)), theirs: handshakes(s, theirs(s, hybrid, false))},
		{name: "resumed handshake, X25519", ops: 60, ours: handshakes(s, ours(s, classical, true)), theirs: handshakes(s, theirs(s, classical, true))},
		{name: "resumed handshake, X25519MLKEM768", ops: 60, ours: handshakes(s, ours(s, hybrid, true)), theirs: handshakes(s, theirs(s, hybrid, true))},
		{name: "dial with early data, X25519", ops: 40, ours: earlyDials(s), theirs: resumedDials(s)},
		{name: "bulk send", ops: 16, unit: bulk, ours: sends(s, ours(s, classical, false)), theirs: sends(s, theirs(s, classical, false))},
		{name: "bulk receive", ops: 16, unit: bulk, ours: receives(s, ours(s, classical, false)), theirs: receives(s, theirs(s, classical, false))},
	}
}

// side makes TLS clients over transports. It may have a session to resume.
type side struct {
	groups  []tls.CurveID
	resumes bool
	client  func(net.Conn) conn
}

func config(s *servers, groups []tls.CurveID) *tls.Config {
	return &tls.Config{ServerName: serverName, RootCAs: s.roots, CurvePreferences: groups, MinVersion: tls.VersionTLS13}
}

func ours(s *servers, groups []tls.CurveID, resume bool) *side {
	d := &tlstfo.Dialer{TLSConfig: config(s, groups)}
	key := ""
	if resume {
		d.Sessions, key = new(lastSession), serverName
	}
	return &side{groups, resume, func(c net.Conn) conn { return d.Client(c, key) }}
}

func theirs(s *servers, groups []tls.CurveID, resume bool) *side {
	cfg := config(s, groups)
	if resume {
		cfg.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	}
	return &side{groups, resume, func(c net.Conn) conn { return tls.Client(c, cfg) }}
}

// lastSession is a SessionCache that gives its one session out again and
// again, as that of crypto/tls does, so that a round of resumptions needs no
// other connections.
type lastSession struct {
	mu      sync.Mutex
	session *tlstfo.Session
}

func (l *lastSession) Put(_ string, s *tlstfo.Session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.session = s
}

func (l *lastSession) Take(string) *tlstfo.Session {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.session
}

// open makes a connection to the crypto/tls server and checks that it is what
// the comparison needs: the same group and suite on both sides.
func (s *side) open(at string) (conn, error) {
	raw, err := net.Dial("tcp", at)
	if err != nil {
		return nil, err
	}
	c := s.client(raw)
	if err := exchange(c); err != nil {
		raw.Close()
		return nil, err
	}
	if err := check(c.ConnectionState(), s.groups); err != nil {
		raw.Close()
		return nil, err
	}
	return c, nil
}

func check(state tls.ConnectionState, groups []tls.CurveID) error {
	if state.CipherSuite != suite() || state.CurveID != groups[0] {
		return fmt.Errorf("the connection has %s and %s", tls.CipherSuiteName(state.CipherSuite), state.CurveID)
	}
	return nil
}

// suite is what both sides negotiate: the first of their common preference.
var suite = sync.OnceValue(func() uint16 { return tls.TLS_AES_128_GCM_SHA256 })

// exchange sends a small request and reads its answer, and the tickets that
// come before.
func exchange(c net.Conn) error {
	if _, err := c.Write(smallRequest); err != nil {
		return err
	}
	var answer [smallAnswer]byte
	_, err := io.ReadFull(c, answer[:])
	return err
}

const smallBody, smallAnswer = 192, 256

var smallRequest = append(request(smallBody, smallAnswer), make([]byte, smallBody)...)

// handshakes measures handshakes over connections that are there.
func handshakes(s *servers, side *side) func(int) (batch, error) {
	return func(ops int) (batch, error) {
		warm, err := side.open(s.std) // gets the session
		if err != nil {
			return batch{}, err
		}
		warm.Close()
		raws := make([]net.Conn, ops)
		conns := make([]conn, ops)
		for i := range raws {
			if raws[i], err = net.Dial("tcp", s.std); err != nil {
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
func earlyDials(s *servers) func(int) (batch, error) {
	ctx := context.Background()
	d := &tlstfo.Dialer{TLSConfig: config(s, classical)}
	return func(ops int) (batch, error) {
		c, err := d.DialContext(ctx, "tcp", s.peer)
		if err != nil {
			return batch{}, err
		}
		if err := errors.Join(exchange(c), check(c.(conn).ConnectionState(), classical), c.Close(), d.Flush(ctx)); err != nil {
			return batch{}, err
		}
		return batch{func() error { return repeat(ops, func() error { return earlyDial(ctx, d, s.peer) }) }, func() error { return nil }}, nil
	}
}

// earlyDial sends a request that counts as *replayable*: the server only answers
// it.
func earlyDial(ctx context.Context, d *tlstfo.Dialer, at string) error {
	c, err := d.DialEarly(ctx, "tcp", at, smallRequest)
	if err != nil {
		return err
	}
	var answer [smallAnswer]byte
	if _, err := io.ReadFull(c, answer[:]); err != nil {
		return err
	}
	if info := c.Info(); !info.Early.Accepted {
		return fmt.Errorf("early data was not accepted: %s", info.Early.Reason)
	}
	if err := c.Close(); err != nil {
		return err
	}
	return d.Flush(ctx)
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
		if err := exchange(c); err != nil {
			return err
		}
		if resumed && !c.(conn).ConnectionState().DidResume {
			return errNotResumed
		}
		return c.Close()
	}
	return func(ops int) (batch, error) {
		if err := dial(false); err != nil {
			return batch{}, err
		}
		return batch{func() error { return repeat(ops, func() error { return dial(true) }) }, func() error { return nil }}, nil
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

const (
	bulk     = 1 << 20
	bulkStep = 32 << 10 // what io.Copy reads and writes at once
)

// sends measures bulk sending on a connection that is there.
func sends(s *servers, side *side) func(int) (batch, error) {
	return transfers(s, side, func(c net.Conn, buf []byte) error {
		if _, err := c.Write(request(bulk, 1)); err != nil {
			return err
		}
		for left := bulk; left > 0; left -= bulkStep {
			if _, err := c.Write(buf[:bulkStep]); err != nil {
				return err
			}
		}
		_, err := io.ReadFull(c, buf[:1])
		return err
	})
}

// receives measures bulk receiving.
func receives(s *servers, side *side) func(int) (batch, error) {
	return transfers(s, side, func(c net.Conn, buf []byte) error {
		if _, err := c.Write(request(0, bulk)); err != nil {
			return err
		}
		for left := bulk; left > 0; {
			n, err := c.Read(buf)
			if err != nil {
				return err
			}
			left -= n
		}
		return nil
	})
}

func transfers(s *servers, side *side, once func(c net.Conn, buf []byte) error) func(int) (batch, error) {
	return func(ops int) (batch, error) {
		c, err := side.open(s.std)
		if err != nil {
			return batch{}, err
		}
		buf := make([]byte, bulkStep)
		for range 4 { // buffers and record sizes grow at first
			if err := once(c, buf); err != nil {
				return batch{}, err
			}
		}
		run := func() error { return repeat(ops, func() error { return once(c, buf) }) }
		return batch{run, c.Close}, nil
	}
}
