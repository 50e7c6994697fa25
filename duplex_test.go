package tlstfo

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/handshake"
	"github.com/tlstfo/tlstfo/internal/testpeer"
)

// TestEarlyDuplex: a server that answers while it reads gets early data of any size from DialEarly, which returns
// before any of the answer was read. No more than maxUnread of it is early, and that is what Info says.
func TestEarlyDuplex(t *testing.T) {
	echo := func(s *testpeer.ServerConn) { io.Copy(s, s) }
	const size, much = 16 << 20, 24 << 20 // more than the buffers on the way take
	for name, k := range map[string]struct {
		send    int
		primed  bool
		knobs   testpeer.Knobs
		handle  func(*testpeer.ServerConn)
		answers int
	}{
		"echo":            {size, true, testpeer.Knobs{}, echo, size},
		"echo, refused":   {size, true, testpeer.Knobs{RefuseEarlyData: true}, echo, size},
		"echo, no ticket": {size, false, testpeer.Knobs{}, echo, size},
		"a long answer to the first byte": {2 * maxUnread, true, testpeer.Knobs{}, func(s *testpeer.ServerConn) {
			io.ReadFull(s, make([]byte, 1))
			s.Write(make([]byte, much))
			io.Copy(io.Discard, s)
		}, much},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrigin(t)
			o.Update(func(c *handshake.ServerConfig) { c.MaxEarlyData = 1 << 30 })
			d := o.dialer()
			d.Timeout = 20 * time.Second // what hangs must end
			if k.primed {
				o.prime(t, d)
			}
			o.Set(k.knobs)
			seen := make(chan testpeer.Info, 1)
			addr := rawServer(t, func(conn net.Conn) {
				o.ServeConn(conn, func(s *testpeer.ServerConn) {
					k.handle(s)
					seen <- s.Info()
				})
			})
			if k.primed { // the same server under another address: take its ticket along
				d.own.Put(sessionKey("", addr, d.TLSConfig), d.own.Take(sessionKey("", o.addr, d.TLSConfig)))
			}
			c, err := d.DialEarly(t.Context(), "tcp", addr, make([]byte, k.send))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if n, err := io.CopyN(io.Discard, c, int64(k.answers)); err != nil {
				t.Fatalf("%d bytes came back, %v", n, err)
			}
			if err := c.CloseWrite(); err != nil {
				t.Error(err)
			}
			sent, early := 0, 0
			if k.primed {
				sent = maxUnread
			}
			if k.knobs == (testpeer.Knobs{}) {
				early = sent
			}
			if info, s := c.Info(), <-seen; info.Early.Bytes != sent || s.EarlyBytes != early {
				t.Errorf("%+v; the server got %d bytes early", info.Early, s.EarlyBytes)
			}
		})
	}
}
