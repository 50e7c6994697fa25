package tlstfo

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/internal/testpeer"
)

// TestSlowDrip: a server that sends a byte now and then, and never an end,
// does not outlive the context, nor Dialer.Timeout.
func TestSlowDrip(t *testing.T) {
	noLeak(t)
	addr := rawServer(t, func(conn net.Conn) {
		conn.Write([]byte{22, 3, 3, 0x3f, 0xff, 2, 0, 0x3f, 0xfb}) // a ServerHello of 16 KiB
		for {
			if _, err := conn.Write([]byte{0}); err != nil {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	d := &Dialer{TLSConfig: &tls.Config{ServerName: "test.example"}, Timeout: 200 * time.Millisecond}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := d.DialContext(ctx, "tcp", addr); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("DialContext: %v", err)
	}
	c, err := d.DialDeferred(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("x")); !errors.Is(err, ErrTimeout) {
		t.Errorf("Write: %v", err)
	}
	c.Close()
}

// TestSlowDripEarly: nor does one that had early data. Bytes do come, so that it
// is not taken for silence.
func TestSlowDripEarly(t *testing.T) {
	o := newOrigin(t)
	d := o.dialer()
	o.prime(t, d)
	slow := segmentation(func(conn net.Conn) net.Conn { return &trickle{Conn: conn, pause: 5 * time.Millisecond} })
	o.segments.Store(&slow)
	d.Timeout = 200 * time.Millisecond
	c, err := d.DialEarly(t.Context(), "tcp", o.addr, []byte("GET"))
	if err == nil {
		err = c.Handshake()
		c.Close()
	}
	if !errors.Is(err, ErrTimeout) {
		t.Errorf("DialEarly: %v", err)
	}
}

// trickle is a connection that writes some records at once, and then a byte now and then.
type trickle struct {
	net.Conn
	records int
	pause   time.Duration
}

func (c *trickle) Write(p []byte) (done int, err error) {
	for done < len(p) && err == nil {
		n := 1
		if c.records > 0 {
			n = 5 + int(binary.BigEndian.Uint16(p[done+3:]))
			c.records--
		} else {
			time.Sleep(c.pause)
		}
		n, err = c.Conn.Write(p[done : done+n])
		done += n
	}
	return done, err
}

// TestSlowDripPhases: wherever in the handshake it is, with early data or
// without, Dialer.Timeout ends it, on time.
func TestSlowDripPhases(t *testing.T) {
	for _, phase := range []struct {
		name    string
		records int
		keys    bool // the client has the handshake keys
	}{{"in ServerHello", 0, false}, {"behind ServerHello", 1, true}, {"under handshake keys", 2, true}} {
		bubble(t, phase.name, func(t *testing.T) { testSlowDrip(t, phase.records, phase.keys, false) })
		bubble(t, phase.name+", with early data", func(t *testing.T) { testSlowDrip(t, phase.records, phase.keys, true) })
	}
}

func testSlowDrip(t *testing.T, records int, keys, early bool) {
	ca, _, server := newPeer(t)
	var log lockedBuffer
	d := &Dialer{TLSConfig: &tls.Config{RootCAs: ca.Pool(), ServerName: "test.example", KeyLogWriter: &log}, Timeout: time.Minute, Early: all}
	var served sync.WaitGroup
	defer served.Wait()
	connect := func(slow trickle) *Conn {
		ours, theirs := net.Pipe()
		slow.Conn = newQueuedConn(theirs)
		served.Go(func() { server.ServeConn(&slow, func(c *testpeer.ServerConn) { io.Copy(c, c) }) })
		return d.Client(ours, "pipe")
	}
	if early {
		c := connect(trickle{})
		io.WriteString(c, "prime")
		finish(t, c, "prime")
		if err := d.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	log.take()

	c := connect(trickle{records: records, pause: time.Second})
	start := time.Now()
	if early {
		if _, err := io.WriteString(c, "GET"); err != nil {
			t.Fatal(err)
		}
	}
	err := c.Handshake()
	if took := time.Since(start); !errors.Is(err, ErrTimeout) || took < d.Timeout || took > d.Timeout+time.Second {
		t.Errorf("%v after %v", err, took)
	}
	if info := c.Info().Early; info.Offered != early || info.Accepted {
		t.Errorf("%+v", info)
	}
	if secrets := log.take(); strings.Contains(secrets, "SERVER_HANDSHAKE_TRAFFIC_SECRET") != keys ||
		strings.Contains(secrets, "CLIENT_EARLY_TRAFFIC_SECRET") != early || strings.Contains(secrets, "CLIENT_TRAFFIC_SECRET_0") {
		t.Errorf("the client has the secrets\n%s", secrets)
	}
	c.Close()
}
