package tlstfo

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// versions are those with which the engine and crypto/tls run a connection.
var versions = []uint16{tls.VersionTLS13, tls.VersionTLS12}

func upTo(version uint16) *tls.Config {
	if version == tls.VersionTLS13 {
		return nil
	}
	return &tls.Config{MaxVersion: version}
}

// TestDeliveredAfterDeadline: what a Write was told is written arrives, although its deadline passes before the handshake is
// complete; the next Write has that deadline.
func TestDeliveredAfterDeadline(t *testing.T) {
	ca := newAuthority(t)
	for _, version := range versions {
		for _, extended := range []bool{false, true} {
			bubble(t, fmt.Sprintf("%s, extended %v", tls.VersionName(version), extended), func(t *testing.T) {
				got := make(chan string, 1)
				c := piped(t, &Dialer{TLSConfig: upTo(version), Early: all}, ca, func(s *tls.Conn) {
					time.Sleep(time.Second)
					b, _ := io.ReadAll(s)
					got <- string(b)
				})
				c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
				if n, err := c.Write([]byte("hello")); n != 5 || err != nil {
					t.Fatal(n, err)
				}
				<-c.HandshakeDone()
				if extended {
					c.SetWriteDeadline(time.Now().Add(time.Second))
					if n, err := c.Write([]byte("world")); n != 5 || err != nil {
						t.Error(n, err)
					}
				} else if n, err := c.Write([]byte("world")); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Error(n, err)
				}
				c.SetWriteDeadline(time.Time{})
				synctest.Wait()
				if err := c.Close(); extended && err != nil {
					t.Error("Close:", err)
				}
				want := "hello"
				if extended {
					want = "helloworld"
				}
				if b := <-got; b != want {
					t.Errorf("%q arrived, want %q", b, want)
				}
			})
		}
	}
}

// TestDeadlineOfLastFlight: over a pipe, a write deadline that passes before the handshake is complete cuts no flight, and
// harms nothing.
func TestDeadlineOfLastFlight(t *testing.T) {
	ca := newAuthority(t)
	for _, version := range versions {
		bubble(t, tls.VersionName(version), func(t *testing.T) {
			c := piped(t, &Dialer{TLSConfig: upTo(version)}, ca, func(s *tls.Conn) {
				time.Sleep(time.Second)
				echo(s)
			})
			c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
			if n, err := c.Write([]byte("hello")); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error(n, err)
			}
			<-c.HandshakeDone()
			synctest.Wait()
			c.SetWriteDeadline(time.Time{})
			exchange(t, c, "hello")
		})
	}
}

// TestDeliveryIsNotCut: neither deadlines that pass while what DialEarly took waits for the server, nor Close, cut it.
func TestDeliveryIsNotCut(t *testing.T) {
	ca := newAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{ca.issue(nil, "test.example")}}
	for _, version := range versions {
		open, got := make(chan struct{}), make(chan int, 1)
		addr := rawServer(t, func(conn net.Conn) {
			<-open
			b, _ := io.ReadAll(tls.Server(conn, config))
			got <- len(b)
		})
		d := &Dialer{TLSConfig: &tls.Config{RootCAs: ca.pool, ServerName: "test.example", MaxVersion: version}}
		const size = maxUnread + 100_000
		c, err := d.DialEarly(t.Context(), "tcp", addr, make([]byte, size))
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(-time.Second))
		close(open)
		<-c.HandshakeDone()
		c.SetDeadline(time.Now().Add(-time.Second))
		if err := c.Close(); err != nil {
			t.Error("Close:", err)
		}
		if n := <-got; n != size {
			t.Errorf("%s: %d bytes of %d arrived", tls.VersionName(version), n, size)
		}
	}
}

// TestWriteWaitsItsTurn: a Write that comes while the server does not take what was written before waits within its
// deadline, and may be tried again.
func TestWriteWaitsItsTurn(t *testing.T) {
	ca := newAuthority(t)
	for _, version := range versions {
		for _, size := range []int{5, maxFirst + 5} { // a Write that was gathered, or a part of it
			bubble(t, fmt.Sprintf("%s, %d bytes", tls.VersionName(version), size), func(t *testing.T) {
				got := make(chan int, 1)
				c := piped(t, &Dialer{TLSConfig: upTo(version), Early: all}, ca, func(s *tls.Conn) {
					s.Handshake()
					time.Sleep(time.Second)
					b, _ := io.ReadAll(s)
					got <- len(b)
				})
				late := func(n, want int, err error) {
					t.Helper()
					if n != want || !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Error(n, err)
					}
				}
				c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
				n, err := c.Write(make([]byte, size))
				if size > maxFirst {
					late(n, maxFirst, err)
				} else if n != size || err != nil {
					t.Error(n, err)
				}
				if err := c.HandshakeContext(t.Context()); err != nil {
					t.Fatal(err)
				}
				for range 2 {
					c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
					n, err := c.Write(make([]byte, 7))
					late(n, 0, err)
					late(0, 0, c.CloseWrite())
				}
				c.SetWriteDeadline(time.Time{})
				if n, err := c.Write(make([]byte, 7)); n != 7 || err != nil {
					t.Error(n, err)
				}
				if err := c.Close(); err != nil {
					t.Error("Close:", err)
				}
				if want, n := min(size, maxFirst)+7, <-got; n != want {
					t.Errorf("%d bytes arrived, want %d", n, want)
				}
			})
		}
	}
}

// TestCloseTellsOfDelivery: Close, and CloseWrite, tell that what was gathered did not arrive, whoever runs the connection.
func TestCloseTellsOfDelivery(t *testing.T) {
	cert := newAuthority(t).issue(nil, "test.example")
	broken := errors.New("broken")
	for _, version := range versions {
		bubble(t, tls.VersionName(version), func(t *testing.T) {
			ours, theirs := net.Pipe()
			defer ours.Close()
			go func() {
				defer theirs.Close()
				tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{cert}}).Handshake()
			}()
			d := &Dialer{Early: all, TLSConfig: &tls.Config{InsecureSkipVerify: true, MaxVersion: version}}
			c := d.Client(&failingWrites{ours, 2, broken}, "") // the hello, and the last flight
			if n, err := c.Write([]byte("hello")); n != 5 || err != nil {
				t.Fatal(n, err)
			}
			<-c.HandshakeDone()
			synctest.Wait()
			if err := c.CloseWrite(); !errors.Is(err, broken) {
				t.Error("CloseWrite:", err)
			}
			if err := c.Close(); !errors.Is(err, broken) {
				t.Error("Close:", err)
			}
		})
	}
}

// TestUnbufferedDeadline: it bounds the wait for the flights, cuts none, and is handed on by the last.
func TestUnbufferedDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		u := newUnbuffered(ours)
		defer u.Close()
		for _, flight := range []string{"one", "two"} {
			u.send([]byte(flight), flight == "two")
		}
		start := time.Now()
		u.SetWriteDeadline(start.Add(time.Second))
		if n, err := u.Write([]byte("x")); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("%d, %v after %v", n, err, time.Since(start))
		}
		b := make([]byte, 6)
		if _, err := io.ReadFull(theirs, b); string(b) != "onetwo" || err != nil {
			t.Errorf("%q, %v", b, err)
		}
		synctest.Wait()
		if n, err := u.Write([]byte("x")); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("%d, %v after %v", n, err, time.Since(start))
		}
		u.SetWriteDeadline(time.Time{})
		go u.Write([]byte("x"))
		if n, err := theirs.Read(b); n != 1 || err != nil {
			t.Error(n, err)
		}
	})
}
