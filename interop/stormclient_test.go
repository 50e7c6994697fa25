package interop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/tlstfo/tlstfo"
	"github.com/tlstfo/tlstfo/tfo"
)

const (
	stormHosts    = 64 // names
	stormAtOnce   = 24
	stormPatience = patience // of a dial
)

// A stormOrder tells a client process what to do.
type stormOrder struct {
	CA    string
	Hosts []string
	Dials int
	Seed  uint64
}

// storm is a client process that dials.
type storm struct {
	order    stormOrder
	dialer   *tlstfo.Dialer
	sessions *countedSessions
	began    time.Time
	out      *json.Encoder

	mu sync.Mutex
	stormReport
}

// stormMain dials as often as it is told, in all ways, with one Dialer, and reports.
func stormMain(args []string) error {
	s := &storm{began: time.Now(), out: json.NewEncoder(os.Stdout)}
	if err := json.Unmarshal([]byte(args[0]), &s.order); err != nil {
		return err
	}
	config, err := profile{CA: s.order.CA}.config()
	if err != nil {
		return err
	}
	s.sessions = &countedSessions{SessionCache: tlstfo.NewSessionCache(0), keys: map[string]bool{}}
	s.dialer = &tlstfo.Dialer{TLSConfig: config, NetDialer: &net.Dialer{Resolver: hosts(s.order.Hosts...)}, Sessions: s.sessions,
		FastOpen: new(tfo.Memory), Early: tlstfo.ReplayableHTTP1, Timeout: stormPatience}
	s.Errors = map[string]int{}

	s.dials(0, stormPeriod)
	s.Before = s.usage()
	s.dials(stormPeriod, s.order.Dials/4)
	s.Quarter = s.usage()
	s.dials(s.order.Dials/4, s.order.Dials)
	s.After = s.usage()
	s.Ended, s.Hosts, s.Sessions = true, len(s.sessions.keys), s.sessions.count()
	s.Held = held(s.dialer)
	return s.out.Encode(&s.stormReport)
}

// dials makes the dials from the given one on, some at once, and waits for them.
func (s *storm) dials(from, to int) {
	var wg sync.WaitGroup
	limit := make(chan struct{}, stormAtOnce)
	for i := from; i < to; i++ {
		limit <- struct{}{}
		wg.Go(func() {
			defer func() { <-limit }()
			s.note(s.dial(i))
		})
		if i%stormPeriod == 0 {
			s.BackOffs = max(s.BackOffs, len(s.dialer.FastOpen.Snapshot()))
			s.dialer.FastOpen.UnmarshalBinary([]byte{1, 0, 0}) // or else Fast Open would soon be left alone
		}
	}
	wg.Wait()
}

// errGiven is the outcome of a dial that the client itself gave up.
var errGiven = errors.New("given up")

// dial dials and makes a request, in one of several ways. What is early is a GET.
func (s *storm) dial(i int) (*tlstfo.Conn, error) {
	dice := rand.New(rand.NewPCG(s.order.Seed, uint64(i)))
	ctx, cancel := context.WithTimeout(context.Background(), stormPatience)
	defer cancel()
	given := dice.IntN(10) == 0
	if given {
		time.AfterFunc(time.Duration(dice.Int64N(int64(4*stormRTT))), cancel)
	}
	way, method := dice.IntN(3), "POST"
	if way == 0 {
		method = "GET"
	}
	addr := net.JoinHostPort(fmt.Sprintf("host-%d.test", dice.IntN(stormHosts)), port)
	line := fmt.Sprintf("%s /%d HTTP/1.1\n", method, i)

	var conn *tlstfo.Conn
	var err error
	switch way {
	case 0:
		conn, err = s.dialer.DialEarly(ctx, "tcp", addr, []byte(line))
	case 1:
		conn, err = s.dialer.DialDeferred(ctx, "tcp", addr)
	default:
		var nc net.Conn
		if nc, err = s.dialer.DialContext(ctx, "tcp", addr); err == nil {
			conn = nc.(*tlstfo.Conn)
		}
	}
	if err == nil {
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(stormPatience))
		if given && dice.IntN(2) == 0 {
			return conn, errGiven
		}
		if way > 0 {
			_, err = io.WriteString(conn, line)
		}
	}
	if err == nil {
		answer := make([]byte, len(line))
		if _, err = io.ReadFull(conn, answer); err == nil && string(answer) != line {
			err = fmt.Errorf("answer %q to %q", answer, line)
		}
	}
	if err != nil && given {
		err = errGiven
	}
	return conn, err
}

// note counts how a dial ended, and reports from time to time.
func (s *storm) note(conn *tlstfo.Conn, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case errors.Is(err, errGiven):
		s.Given++
	case err != nil:
		s.Failed++
		text := err.Error()
		s.Errors[text[strings.LastIndex(text, ": ")+1:]]++
	default:
		info := conn.Info()
		if info.Early.Accepted {
			s.Early++
		}
		if info.FastOpen.SynAcked {
			s.SynData++
		}
		if info.FastOpen.Why == tfo.ReasonPlainWay || info.FastOpen.Why == tfo.ReasonAvoided {
			s.Plain++
		}
	}
	s.Took = time.Since(s.began)
	if s.Dials++; s.Dials%stormPeriod == 0 {
		s.out.Encode(stormReport{Dials: s.Dials})
	}
}

// usage waits until nothing goes on, or for what a closed connection may take, and says what is held.
func (s *storm) usage() (u usage) {
	ctx, cancel := context.WithTimeout(context.Background(), stormPatience)
	defer cancel()
	s.dialer.Flush(ctx)
	for range 500 {
		files, _ := os.ReadDir("/proc/self/fd")
		u.Goroutines, u.Files = runtime.NumGoroutine(), len(files)
		if s.Before.Goroutines > 0 && u.Goroutines <= s.Before.Goroutines && u.Files <= s.Before.Files {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	runtime.GC()
	runtime.GC() // for sync.Pool and finalizers
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u.Heap, u.Objects = m.HeapAlloc, m.HeapObjects
	return u
}

// countedSessions is a cache whose tickets can be counted.
type countedSessions struct {
	tlstfo.SessionCache
	mu   sync.Mutex
	keys map[string]bool
}

func (c *countedSessions) Put(key string, s *tlstfo.Session) {
	c.mu.Lock()
	c.keys[key] = true
	c.mu.Unlock()
	c.SessionCache.Put(key, s)
}

// Len keeps what a Dialer asks a cache if it can.
func (c *countedSessions) Len(key string) int {
	return c.SessionCache.(interface{ Len(string) int }).Len(key)
}

func (c *countedSessions) count() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range c.keys {
		n += c.Len(key)
	}
	return n
}
