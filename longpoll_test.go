package tlstfo

import (
	"io"
	"maps"
	"net"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/internal/testpeer"
)

const longSilence = silenceMin + 300*time.Millisecond // more than the watchdog would allow

// pausingConn waits a long time after the first record that is written.
type pausingConn struct {
	net.Conn
	paused bool
}

func (c *pausingConn) Write(p []byte) (int, error) {
	if c.paused {
		return c.Conn.Write(p)
	}
	c.paused = true
	first := min(len(p), 5+int(p[3])<<8+int(p[4]))
	n, err := c.Conn.Write(p[:first])
	if err != nil {
		return n, err
	}
	time.Sleep(longSilence)
	m, err := c.Conn.Write(p[first:])
	return n + m, err
}

// TestSlowAnswerAfterSYNData: where SYN data was acknowledged, there is a hedge before the watchdog. Neither has anything to say once there was a ServerHello, however its bytes
// came: a long poll is answered on the connection that it was sent on.
func TestSlowAnswerAfterSYNData(t *testing.T) {
	cases := maps.Clone(segmentations)
	cases["a pause after the ServerHello"] = func(conn net.Conn) net.Conn { return &pausingConn{Conn: conn} }
	for name, segments := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrigin(t)
			d := o.suspect(t)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					go o.ServeConn(segments(conn), func(c *testpeer.ServerConn) {
						io.ReadFull(c, make([]byte, 5))
						time.Sleep(longSilence)
						io.WriteString(c, "late")
					})
				}
			}()
			// The same server under another address: take its ticket along.
			s := d.own.Take(sessionKey("", o.addr, d.TLSConfig))
			d.own.Put(sessionKey("", l.Addr().String(), d.TLSConfig), s)
			c, err := d.DialEarly(t.Context(), "tcp", l.Addr().String(), []byte("GET 1"))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			got := make([]byte, 4)
			if _, err := io.ReadFull(c, got); err != nil || string(got) != "late" {
				t.Errorf("%q, %v; %+v", got, err, c.Info())
			}
			if marked := d.fastOpen().String(); marked != "" && !c.Info().Hedged { // as on a machine that is busy before the ServerHello
				t.Errorf("taken for a stall: %s", marked)
			}
		})
	}
}
