package tlstfo

import (
	"io"
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/handshake"
	"github.com/tlstfo/tlstfo/internal/testpeer"
)

// TestUnreadBound: where the buffers take maxUnread and little more, and the server reads nothing more for a long answer,
// what follows accepted early data in the last flight must not wait for it.
func TestUnreadBound(t *testing.T) {
	o := newOrigin(t)
	o.Update(func(c *handshake.ServerConfig) { c.MaxEarlyData = 1 << 20 })
	path := filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go o.Serve(l, func(s *testpeer.ServerConn) {
		io.ReadFull(s, make([]byte, 1))
		s.Write(make([]byte, 4<<20))
		io.Copy(io.Discard, s)
	}, nil)
	d := o.dialer()
	d.Timeout = 10 * time.Second // what hangs must end
	d.NetDialer = &net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			// The kernel doubles it, and counts what a packet takes of its memory.
			syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, maxUnread*3/4)
		})
	}}
	for i := range 2 {
		c, err := d.DialEarly(t.Context(), "unix", path, make([]byte, 2*maxUnread))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, c, 4<<20); err != nil {
			t.Fatal(err)
		}
		if info := c.Info().Early; info.Accepted != (i == 1) {
			t.Errorf("%+v", info)
		}
		c.Close()
		d.Flush(t.Context())
	}
}
