package tlstfo

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/tlstfo/tlstfo/tfo"
)

// TestOtherAddress: early data that a SYN took to an address where nobody
// listens is never early again. It goes under traffic keys to the next address, and Info
// says so; with FailOnReject it does not go at all.
func TestOtherAddress(t *testing.T) {
	const noCookie = 34 // TCP_FASTOPEN_NO_COOKIE: data rides in the SYN, cookie or not
	for _, fail := range []bool{false, true} {
		o := newOrigin(t)
		_, port, _ := net.SplitHostPort(o.addr)
		addr := "many.example:" + port
		d := o.dialer()
		d.NetDialer = &net.Dialer{
			Resolver: resolver([4]byte{127, 0, 0, 2}, [4]byte{127, 0, 0, 1}), // the origin listens on the second
			Control: func(_, _ string, c syscall.RawConn) error {
				return c.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, noCookie, 1) })
			},
		}
		c, err := d.dial(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		finish(t, c, "")
		d.Flush(t.Context())
		o.visit(t)
		if first := c.Info().FastOpen.Attempts[0]; !first.Left || first.Addr.Addr().As4() != [4]byte{127, 0, 0, 2} {
			t.Skipf("no data in a SYN here: %+v", first)
		}
		d.FailOnReject = fail
		d.FastOpen = new(tfo.Memory) // the dial before made the first address suspect
		c, err = d.DialEarly(t.Context(), "tcp", addr, []byte("GET 1"))
		if fail {
			if !errors.Is(err, ErrEarlyDataUncertain) {
				t.Errorf("FailOnReject: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		finish(t, c, "GET 1")
		if v := o.onlyVisit(t); v.data != "GET 1" || v.info.EarlyBytes != 0 {
			t.Errorf("the application got %q, early %q", v.data, v.early())
		}
		if e := c.Info().Early; e.Broken != 5 || e.Offered || e.Reason != EarlyOnceOnly {
			t.Errorf("%+v", e)
		}
	}
}

// TestRefusedSYN: where SYNs with data are answered by resets, and a plain one that joins comes to
// nothing either, the dial is made once more, plainly. What was early goes under traffic keys, once.
func TestRefusedSYN(t *testing.T) {
	const noCookie, redial = 34, 3 // the third socket: after one with Fast Open and its plain twin
	for _, fail := range []bool{false, true} {
		o := newOrigin(t)
		port, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := port.Addr().String()
		port.Close() // now it refuses
		d := o.suspect(t)
		d.seen.acked, d.FailOnReject = false, fail
		d.own.Put(sessionKey("", addr, o.config()), d.own.Take(sessionKey("", o.addr, o.config())))
		var sockets atomic.Int32
		d.NetDialer = &net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
			if sockets.Add(1) == redial {
				l, err := net.Listen("tcp", addr)
				if err != nil {
					return err
				}
				go o.Serve(l, o.handle, nil)
			}
			return c.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, noCookie, 1) })
		}}
		c, err := d.DialEarly(t.Context(), "tcp", addr, []byte("GET 1"))
		var e *Error
		if errors.As(err, &e) && !e.Info.FastOpen.Attempts[0].Left {
			t.Skipf("no data in a SYN here: %+v", e.Info)
		}
		if fail {
			if !errors.Is(err, ErrEarlyDataUncertain) || !errors.Is(err, syscall.ECONNREFUSED) || e.Info.Redials != 0 || sockets.Load() >= redial {
				t.Errorf("FailOnReject: %v after %d sockets", err, sockets.Load())
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		finish(t, c, "GET 1")
		if v := o.onlyVisit(t); v.data != "GET 1" || v.info.EarlyBytes != 0 {
			t.Errorf("the application got %q, early %q", v.data, v.early())
		}
		if info := c.Info(); info.Redials != 1 || info.FastOpen.Way != tfo.WayPlain || info.Early.Broken != 5 || info.Early.Reason != EarlyBroke {
			t.Errorf("%+v", info)
		}
	}
}

// resolver knows every name, by the given addresses.
func resolver(ips ...[4]byte) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			for {
				var size [2]byte
				if _, err := io.ReadFull(theirs, size[:]); err != nil {
					return
				}
				query := make([]byte, binary.BigEndian.Uint16(size[:]))
				if _, err := io.ReadFull(theirs, query); err != nil {
					return
				}
				answer := answerTo(query, ips)
				theirs.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
			}
		}()
		return ours, nil
	}}
}

// answerTo answers a DNS query for IPv4 addresses; there are none of another kind.
func answerTo(query []byte, ips [][4]byte) []byte {
	const header, typeA = 12, 1
	end := header
	for query[end] != 0 {
		end += 1 + int(query[end])
	}
	end += 1 + 4
	answer := append([]byte(nil), query[:end]...)
	copy(answer[2:], []byte{0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}) // an answer with one question
	if binary.BigEndian.Uint16(query[end-4:]) != typeA {
		return answer
	}
	answer[7] = byte(len(ips))
	for _, ip := range ips {
		answer = append(answer, 0xc0, header, 0, typeA, 0, 1, 0, 0, 0, 60, 0, 4)
		answer = append(answer, ip[:]...)
	}
	return answer
}
