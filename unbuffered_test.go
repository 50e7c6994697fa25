package tlstfo

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tlstfo/tlstfo/handshake"
	"github.com/tlstfo/tlstfo/internal/testpeer"
)

// pipeOrigin is a 0-RTT server at the other end of pipes, for bubbles with a fake clock as well.
type pipeOrigin struct {
	*testpeer.Server
	t *testing.T
	d *Dialer
}

func newPipeOrigin(t *testing.T) *pipeOrigin {
	t.Helper()
	ca, _, s := newPeer(t)
	d := &Dialer{Early: all, TLSConfig: &tls.Config{RootCAs: ca.Pool(), ServerName: "test.example"}}
	start := time.Now()
	d.clock.read = func() stamp { // that of the bubble, if there is one
		return stamp{wall: time.Now(), boot: time.Since(start), bootID: "test"}
	}
	return &pipeOrigin{s, t, d}
}

// dial returns a client whose server runs handle, and a channel that is closed when that is over; wrap changes the server's end.
func (o *pipeOrigin) dial(handle func(*testpeer.ServerConn), wrap segmentation) (*Conn, <-chan struct{}) {
	ours, theirs := net.Pipe()
	over := make(chan struct{})
	go func() {
		defer close(over)
		o.ServeConn(wrap(theirs), handle)
	}()
	o.t.Cleanup(func() { ours.Close(); <-over })
	return o.d.Client(ours, "key"), over
}

// prime gets tickets.
func (o *pipeOrigin) prime() {
	o.t.Helper()
	c, _ := o.dial(func(c *testpeer.ServerConn) { io.Copy(c, c) }, whole)
	exchangeAll(o.t, c, "prime")
}

// exchangeAll sends a message and reads its echo beside, as a pipe wants it, and all that follows.
func exchangeAll(t *testing.T, c *Conn, message string) {
	t.Helper()
	wrote := make(chan error, 1)
	go func() {
		_, err := io.WriteString(c, message)
		wrote <- cmp.Or(err, c.CloseWrite())
	}()
	got, err := io.ReadAll(c)
	if string(got) != message || err != nil {
		t.Errorf("%d bytes of %d came back, %v", len(got), len(message), err)
	}
	if err := <-wrote; err != nil {
		t.Errorf("Write: %v", err)
	}
	c.Close()
}

var whole = segmentations["one segment"]

// TestPipeEarly: a server that answers early data before it has read all of it, or our Finished, waits
// for us to read. What it did not take of the early data goes again, in order.
func TestPipeEarly(t *testing.T) {
	for name, knobs := range map[string]testpeer.Knobs{
		"accepted": {}, "refused": {RefuseEarlyData: true}, "not resumed": {RefusePSK: true}, "retry": {ForceRetry: true},
	} {
		for segments, wrap := range map[string]segmentation{"one segment": whole, "byte by byte": segmentations["byte by byte"]} {
			bubble(t, name+", "+segments, func(t *testing.T) {
				o := newPipeOrigin(t)
				for _, size := range []int{1, 100, 2000, maxFirst, maxFirst + 5000} {
					o.Set(testpeer.Knobs{})
					o.prime()
					o.Set(knobs)
					message := string(bytes.Repeat([]byte("m"), size-1)) + "."
					var got bytes.Buffer
					var seen testpeer.Info
					start := time.Now()
					c, over := o.dial(func(s *testpeer.ServerConn) {
						io.Copy(s, io.TeeReader(s, &got))
						seen = s.Info()
					}, wrap)
					exchangeAll(t, c, message)
					<-over
					if time.Since(start) > 10*time.Millisecond { // the cork
						t.Errorf("size %d: after %v", size, time.Since(start))
					}
					want := min(size, maxFirst)
					if knobs != (testpeer.Knobs{}) {
						want = 0
					}
					if info := c.Info().Early; got.String() != message || seen.EarlyBytes != want || info.Bytes != min(size, maxFirst) {
						t.Errorf("size %d: the application got %d bytes, %d early; %+v", size, got.Len(), seen.EarlyBytes, info)
					}
				}
			})
		}
	}
}

// TestPipeClose: what is early and accepted, and still on its way, is delivered by Close, which takes Timeout
// for it at most, and none after SetLinger(0).
func TestPipeClose(t *testing.T) {
	const pause = 2 * alertTimeout
	for name, k := range map[string]struct {
		timeout time.Duration
		linger  int
		waits   time.Duration
	}{
		"in time":      {2 * pause, -1, pause},
		"too late":     {pause / 2, -1, pause / 2},
		"SetLinger(0)": {2 * pause, 0, 0},
	} {
		bubble(t, name, func(t *testing.T) {
			o := newPipeOrigin(t)
			o.prime()
			o.d.Timeout = k.timeout
			o.Update(func(c *handshake.ServerConfig) { c.NumTickets = -1 })
			message := bytes.Repeat([]byte("m"), maxFirst)
			var got []byte
			c, over := o.dial(func(s *testpeer.ServerConn) { got, _ = io.ReadAll(s) },
				func(conn net.Conn) net.Conn { return &pausingReads{conn, maxFirst / 2, pause} })
			c.Write(message)
			if err := c.Handshake(); err != nil || !c.Info().Early.Accepted {
				t.Fatalf("%v, %+v", err, c.Info())
			}
			c.SetLinger(k.linger)
			start := time.Now()
			err := c.Close()
			if waited := time.Since(start).Round(time.Second); waited != k.waits {
				t.Errorf("Close: %v after %v", err, waited)
			}
			<-over
			if whole := bytes.Equal(got, message); whole != (name == "in time") || (err == nil) != (whole || k.linger == 0) {
				t.Errorf("the application got %d bytes; Close: %v", len(got), err)
			}
		})
	}
}

// pausingReads is a connection that is read from no more for a while, after so many bytes.
type pausingReads struct {
	net.Conn
	left  int
	pause time.Duration
}

func (c *pausingReads) Read(p []byte) (int, error) {
	if c.left == 0 {
		time.Sleep(c.pause)
		c.left = -1
	}
	if c.left > 0 {
		p = p[:min(len(p), c.left)]
	}
	n, err := c.Conn.Read(p)
	if c.left > 0 {
		c.left -= n
	}
	return n, err
}

// TestUnbufferedFails: a flight that cannot be written ends the handshake at once, although
// nobody answers; the last one is for who writes next.
func TestUnbufferedFails(t *testing.T) {
	broken := errors.New("broken")
	bubble(t, "first", func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		d := &Dialer{TLSConfig: &tls.Config{InsecureSkipVerify: true}}
		c := d.Client(&failingWrites{ours, 0, broken}, "")
		start := time.Now()
		if err := c.Handshake(); !errors.Is(err, broken) || time.Since(start) != 0 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
	bubble(t, "last", func(t *testing.T) {
		o := newPipeOrigin(t)
		o.prime()
		ours, theirs := net.Pipe()
		go o.ServeConn(theirs, func(c *testpeer.ServerConn) { io.Copy(c, c) })
		c := o.d.Client(&failingWrites{ours, 1, broken}, "key")
		c.Write([]byte("early"))
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the flight has failed
		if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
			t.Errorf("Read: %v", err)
		}
		for range 2 {
			if n, err := c.Write([]byte("x")); n != 0 || !errors.Is(err, broken) {
				t.Errorf("Write: %d, %v", n, err)
			}
		}
		if err := c.Close(); !errors.Is(err, broken) {
			t.Errorf("Close: %v", err)
		}
	})
}

// failingWrites is a connection on which so many Writes succeed.
type failingWrites struct {
	net.Conn
	good int
	err  error
}

func (c *failingWrites) Write(p []byte) (int, error) {
	if c.good--; c.good < 0 {
		return 0, c.err
	}
	return c.Conn.Write(p)
}

// TestNetConnIsGiven: NetConn is the caller's own transport.
func TestNetConnIsGiven(t *testing.T) {
	o := newPipeOrigin(t)
	ours, theirs := net.Pipe()
	go o.ServeConn(theirs, func(c *testpeer.ServerConn) { io.Copy(c, c) })
	c := o.d.Client(ours, "key")
	exchangeAll(t, c, "message")
	if c.NetConn() != ours {
		t.Errorf("%T", c.NetConn())
	}
}
