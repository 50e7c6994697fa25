package tlstfo

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tlstfo/tlstfo/handshake"
	"github.com/tlstfo/tlstfo/internal/testpeer"
)

// TestEachByteOnce is a property: for random messages, ways, splits, limits and
// rejections the application reads what was written, each byte once and in order,
// and under early keys, whether or not the server opened it, there is nothing on
// the wire but what was passed for early sending.
func TestEachByteOnce(t *testing.T) {
	rounds := 50
	if testing.Short() {
		rounds = 5
	}
	for i := range 4 { // groups, which mostly wait
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			o := newOnce(t)
			accepted, rejected := 0, 0
			for range rounds {
				seed := rand.Uint64()
				early, err := o.round(t, rand.New(rand.NewPCG(seed, 0)))
				if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				switch {
				case early.Accepted && early.Bytes > 0:
					accepted++
				case early.Bytes > 0:
					rejected++
				}
			}
			t.Logf("early data was accepted %d times, and rejected %d times", accepted, rejected)
			if !testing.Short() && (accepted == 0 || rejected == 0) {
				t.Error("what is to be tested did not happen")
			}
		})
	}
}

// once is an origin of which the wire and the keys are known, and a Dialer for it.
type once struct {
	*origin
	d          *Dialer      // of the round: tickets of others have other limits
	replayable atomic.Int64 // how many of the first bytes Dialer.Early says may be early
	keys, wire lockedBuffer
}

func newOnce(t *testing.T) *once {
	o := &once{origin: newOrigin(t)}
	o.Update(func(c *handshake.ServerConfig) { c.CipherSuites = []uint16{tls.TLS_AES_128_GCM_SHA256} })
	return o
}

// A start begins a connection with the first bytes of the message, of which
// early may be early, and returns how many were taken.
type start struct {
	way
	begin func(ctx context.Context, o *once, message []byte, early int) (*Conn, int, error)
}

var starts = []start{
	{ways[0], func(ctx context.Context, o *once, message []byte, _ int) (*Conn, int, error) {
		c, err := o.d.dial(ctx, "tcp", o.addr)
		return c, 0, err
	}},
	{ways[1], func(ctx context.Context, o *once, message []byte, early int) (*Conn, int, error) {
		c, err := o.d.DialEarly(ctx, "tcp", o.addr, message[:early])
		return c, early, err
	}},
	{ways[2], func(ctx context.Context, o *once, message []byte, _ int) (*Conn, int, error) {
		c, err := o.d.DialDeferred(ctx, "tcp", o.addr)
		return c, 0, err
	}},
	{ways[3], func(ctx context.Context, o *once, message []byte, _ int) (*Conn, int, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", o.addr)
		return o.d.Client(conn, o.addr), 0, err
	}},
	{way{name: "Client over a pipe", early: true}, func(_ context.Context, o *once, message []byte, _ int) (*Conn, int, error) {
		return o.pipe(o.d), 0, nil
	}},
}

// round primes the Dialer, sends a message by one of the ways, and judges.
func (o *once) round(t *testing.T, rng *rand.Rand) (EarlyInfo, error) {
	o.d = o.dialer()
	o.d.TLSConfig.KeyLogWriter = &o.keys
	o.d.Early = func(first []byte) int { return min(len(first), int(o.replayable.Load())) }
	o.Set(testpeer.Knobs{})
	o.segments.Store(nil)
	o.replayable.Store(0)
	limit := uint32(rng.IntN(3000))
	o.Update(func(c *handshake.ServerConfig) { c.MaxEarlyData = limit })
	by := starts[rng.IntN(len(starts))]
	if by.send == nil {
		by.send = o.overPipe
	}
	prime(t, o.origin, o.d, by.way)
	o.keys.take()
	if rng.IntN(4) == 0 {
		o.Update(func(c *handshake.ServerConfig) { c.MaxEarlyData = limit / 2 }) // the server shrank its limit
	}
	knobs := testpeer.Knobs{RefuseEarlyData: rng.IntN(4) == 0, RefusePSK: rng.IntN(5) == 0, ForceRetry: rng.IntN(5) == 0}
	o.Set(knobs)
	most := []int{1, 20, 2000, 40_000}[rng.IntN(4)] // bytes of the server's in one segment
	o.segment(most, rng.Uint64())

	message := make([]byte, rng.IntN(min(40_000, 4000*most)))
	for j := range message {
		message[j] = byte(rng.Uint32())
	}
	early := rng.IntN(len(message) + 1)
	if !by.early {
		early = 0
	}
	o.replayable.Store(int64(early))
	what := fmt.Sprintf("%s, %d bytes, %d for early sending, segments of %d, limit %d, %+v", by.name, len(message), early, most, limit, knobs)

	c, taken, err := by.begin(t.Context(), o, message, early)
	if err != nil {
		return EarlyInfo{}, fmt.Errorf("%s: %w", what, err)
	}
	defer c.Close()
	echoed := make(chan []byte, 1)
	go func() { b, _ := io.ReadAll(c); echoed <- b }()
	for rest := message[taken:]; len(rest) > 0; {
		n := 1 + rng.IntN(len(rest))
		if m, err := c.Write(rest[:n]); m != n || err != nil {
			return EarlyInfo{}, fmt.Errorf("%s: Write: %d of %d, %w", what, m, n, err)
		}
		rest = rest[n:]
	}
	if err := c.CloseWrite(); err != nil {
		return EarlyInfo{}, fmt.Errorf("%s: CloseWrite: %w", what, err)
	}
	back := <-echoed
	v := o.onlyVisit(t)
	info := c.Info().Early
	if v.data != string(message) || !bytes.Equal(back, message) {
		return info, fmt.Errorf("%s: the application got %d bytes, and %d came back: not what was written", what, len(v.data), len(back))
	}
	c.Close()
	o.d.Flush(t.Context())
	return info, o.judge(v, info, message[:early], limit, what)
}

// judge compares what was early on the wire with what might be, what the Conn
// says of it, and what the server's application saw of it.
func (o *once) judge(v visit, info EarlyInfo, allowed []byte, limit uint32, what string) error {
	wire := []byte(o.wire.take())
	sent, ended, err := earlyOnWire(wire, o.keys.take())
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", what, err)
	case len(sent) > int(limit):
		return fmt.Errorf("%s: %d bytes left early", what, len(sent))
	case !bytes.HasPrefix(allowed, sent):
		return fmt.Errorf("%s: %d bytes left early, and not of what was passed for it", what, len(sent))
	case len(sent) != info.Bytes || ended != info.Accepted:
		return fmt.Errorf("%s: %d bytes left early, EndOfEarlyData %v, and Info says %+v", what, len(sent), ended, info)
	case info.Accepted && v.early() != string(sent) || !info.Accepted && v.info.EarlyBytes > 0:
		return fmt.Errorf("%s: %d bytes left early, %d came early, and Info says %+v", what, len(sent), v.info.EarlyBytes, info)
	}
	return nil
}

// segment makes the next connections send and read at most so many bytes at
// once, and taps them.
func (o *once) segment(most int, seed uint64) {
	o.wire.take()
	f := segmentation(func(conn net.Conn) net.Conn {
		return &shredConn{Conn: &tappedConn{conn, &o.wire}, most: most, rng: rand.New(rand.NewPCG(seed, 1))}
	})
	o.segments.Store(&f)
}

// shredConn reads and writes random pieces.
type shredConn struct {
	net.Conn
	most int

	mu  sync.Mutex
	rng *rand.Rand
}

func (c *shredConn) piece(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return 1 + c.rng.IntN(min(n, c.most))
}

func (c *shredConn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return c.Conn.Read(p[:c.piece(len(p))])
}

func (c *shredConn) Write(p []byte) (done int, err error) {
	for done < len(p) && err == nil {
		var n int
		n, err = c.Conn.Write(p[done : done+c.piece(len(p)-done)])
		done += n
	}
	return done, err
}
