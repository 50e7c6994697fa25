package tlstfo

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// piped is a Conn over a pipe whose other end runs crypto/tls's server, for
// tests in a bubble with a fake clock.
func piped(t *testing.T, d *Dialer, ca *authority, handle func(*tls.Conn)) *Conn {
	t.Helper()
	cert := ca.issue(func(c *x509.Certificate) { c.NotBefore, c.NotAfter = ca.cert.NotBefore, ca.cert.NotAfter }, "test.example")
	ours, theirs := net.Pipe()
	var most uint16
	if d.TLSConfig != nil {
		most = d.TLSConfig.MaxVersion
	}
	d.TLSConfig = &tls.Config{RootCAs: ca.pool, ServerName: "test.example", MaxVersion: most,
		Time: func() time.Time { return ca.cert.NotBefore.Add(time.Hour) }}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer theirs.Close()
		handle(tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{cert}}))
	}()
	c := d.Client(ours, "")
	t.Cleanup(func() { c.Close(); ours.Close(); <-done })
	return c
}

// bubble runs f in a bubble for each name.
func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

func TestDeferred(t *testing.T) {
	ca := newAuthority(t)
	none := func([]byte) int { return 0 }

	bubble(t, "the first Write is corked, and a second gathers behind it", func(t *testing.T) {
		asked := make(chan string, 1)
		d := &Dialer{Early: func(first []byte) int { asked <- string(first); return 0 }}
		c := piped(t, d, ca, echo)
		start := time.Now()
		for _, s := range []string{"one ", "two"} {
			if n, err := c.Write([]byte(s)); n != len(s) || err != nil {
				t.Fatalf("Write: %d, %v", n, err)
			}
		}
		if time.Since(start) != 0 {
			t.Error("a corked Write waits")
		}
		if got := <-asked; got != "one two" || time.Since(start) != defaultCork {
			t.Errorf("classified %q after %v", got, time.Since(start))
		}
		got := make([]byte, 7)
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "one two" {
			t.Errorf("got %q, %v", got, err)
		}
	})

	bubble(t, "Flush uncorks", func(t *testing.T) {
		c := piped(t, &Dialer{Early: none, Cork: time.Hour}, ca, echo)
		start := time.Now()
		c.Write([]byte("x"))
		c.Flush()
		if err := c.Handshake(); err != nil || time.Since(start) >= time.Hour {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})

	bubble(t, "a full cork dials at once, and the rest waits", func(t *testing.T) {
		c := piped(t, &Dialer{Early: none, Cork: time.Hour}, ca, func(s *tls.Conn) { io.Copy(io.Discard, s) })
		start := time.Now()
		if n, err := c.Write(make([]byte, maxFirst+100)); n != maxFirst+100 || err != nil || time.Since(start) >= time.Hour {
			t.Errorf("%d, %v after %v", n, err, time.Since(start))
		}
	})

	bubble(t, "without Early a Write waits for the handshake", func(t *testing.T) {
		c := piped(t, &Dialer{}, ca, func(s *tls.Conn) {
			time.Sleep(time.Second)
			echo(s)
		})
		start := time.Now()
		if n, err := c.Write([]byte("x")); n != 1 || err != nil || time.Since(start) != time.Second {
			t.Errorf("%d, %v after %v", n, err, time.Since(start))
		}
	})

	bubble(t, "a Read that comes first gives the Write its grace", func(t *testing.T) {
		begun := make(chan struct{})
		c := piped(t, &Dialer{}, ca, func(s *tls.Conn) {
			var b [1]byte
			s.NetConn().Read(b[:0])
			close(begun)
			s.Write([]byte("220 ready"))
			io.Copy(io.Discard, s)
		})
		start := time.Now()
		b := make([]byte, 9)
		if _, err := io.ReadFull(c, b); err != nil || string(b) != "220 ready" {
			t.Fatalf("%q, %v", b, err)
		}
		<-begun
		if time.Since(start) != defaultReadGrace {
			t.Errorf("the hello left after %v, want %v", time.Since(start), defaultReadGrace)
		}
	})

	bubble(t, "a write deadline that passes before the handshake harms nothing", func(t *testing.T) {
		c := piped(t, &Dialer{}, ca, func(s *tls.Conn) {
			time.Sleep(time.Second)
			echo(s)
		})
		start := time.Now()
		c.SetWriteDeadline(start.Add(100 * time.Millisecond))
		if n, err := c.Write([]byte("x")); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 100*time.Millisecond {
			t.Errorf("%d, %v after %v", n, err, time.Since(start))
		}
		c.SetWriteDeadline(time.Time{})
		if n, err := c.Write([]byte("y")); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		b := make([]byte, 1)
		if _, err := io.ReadFull(c, b); err != nil || b[0] != 'y' {
			t.Errorf("%q, %v", b, err)
		}
	})

	bubble(t, "a read deadline binds the grace and the handshake", func(t *testing.T) {
		c := piped(t, &Dialer{ReadGrace: time.Hour}, ca, echo)
		start := time.Now()
		c.SetReadDeadline(start.Add(50 * time.Millisecond))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 50*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})

	bubble(t, "a deadline may be moved while somebody waits", func(t *testing.T) {
		c := piped(t, &Dialer{}, ca, func(s *tls.Conn) { time.Sleep(time.Minute) })
		start := time.Now()
		c.SetDeadline(start.Add(time.Hour))
		go func() {
			time.Sleep(time.Second)
			c.SetDeadline(time.Now().Add(time.Second))
		}()
		if _, err := c.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 2*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})

	bubble(t, "Timeout ends the handshake, for every later call", func(t *testing.T) {
		c := piped(t, &Dialer{Timeout: time.Second}, ca, func(s *tls.Conn) { io.Copy(io.Discard, s.NetConn()) })
		_, err := c.Write([]byte("x"))
		var e *Error
		if !errors.As(err, &e) || !e.Timeout() || !errors.Is(err, ErrTimeout) {
			t.Errorf("Write: %v", err)
		}
		if _, again := c.Read(make([]byte, 1)); again != err {
			t.Errorf("Read: %v", again)
		}
		if again := c.Handshake(); again != err {
			t.Errorf("Handshake: %v", again)
		}
	})

	bubble(t, "Close delivers what is corked", func(t *testing.T) {
		got := make(chan string, 1)
		c := piped(t, &Dialer{Early: none, Cork: time.Hour}, ca, func(s *tls.Conn) {
			b, _ := io.ReadAll(s)
			got <- string(b)
		})
		c.Write([]byte("goodbye"))
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if s := <-got; s != "goodbye" {
			t.Errorf("the server got %q", s)
		}
	})

	bubble(t, "Close says when what is corked is lost", func(t *testing.T) {
		c := piped(t, &Dialer{Early: none, Timeout: time.Second}, ca, func(s *tls.Conn) { io.Copy(io.Discard, s.NetConn()) })
		c.Write([]byte("goodbye"))
		if err := c.Close(); err == nil {
			t.Error("Close returned nil, and nothing was delivered")
		}
	})

	bubble(t, "SetLinger(0) drops what is corked", func(t *testing.T) {
		c := piped(t, &Dialer{Early: none}, ca, func(s *tls.Conn) {
			if n, _ := io.Copy(io.Discard, s.NetConn()); n > 0 {
				t.Errorf("%d bytes were sent", n)
			}
		})
		c.SetLinger(0)
		c.Write([]byte("goodbye"))
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})

	bubble(t, "Close before anything sends nothing", func(t *testing.T) {
		c := piped(t, &Dialer{}, ca, func(s *tls.Conn) {
			if n, _ := io.Copy(io.Discard, s.NetConn()); n > 0 {
				t.Errorf("%d bytes were sent", n)
			}
		})
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write: %v", err)
		}
		if err := c.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("second Close: %v", err)
		}
	})

	bubble(t, "Close unblocks everything", func(t *testing.T) {
		c := piped(t, &Dialer{}, ca, func(s *tls.Conn) { io.Copy(io.Discard, s.NetConn()) })
		var wg sync.WaitGroup
		for name, f := range map[string]func() error{
			"Read":             func() error { _, err := c.Read(make([]byte, 1)); return err },
			"Write":            func() error { _, err := c.Write([]byte("x")); return err },
			"Handshake":        c.Handshake,
			"HandshakeContext": func() error { return c.HandshakeContext(context.Background()) },
			"CloseWrite":       c.CloseWrite,
		} {
			wg.Go(func() {
				if err := f(); !errors.Is(err, net.ErrClosed) {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		synctest.Wait()
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		wg.Wait()
	})

	bubble(t, "HandshakeContext ends with its context", func(t *testing.T) {
		c := piped(t, &Dialer{}, ca, func(s *tls.Conn) { io.Copy(io.Discard, s.NetConn()) })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.HandshakeContext(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	})

	bubble(t, "HandshakeContext with a context that has ended sends nothing and ends the Conn", func(t *testing.T) {
		c := piped(t, &Dialer{Early: none}, ca, func(s *tls.Conn) {
			if n, _ := io.Copy(io.Discard, s.NetConn()); n > 0 {
				t.Errorf("%d bytes were sent", n)
			}
		})
		c.Write([]byte("x"))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.HandshakeContext(ctx); err != context.Canceled {
			t.Errorf("%v", err)
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, context.Canceled) {
			t.Errorf("Write: %v", err)
		}
		if err := c.HandshakeContext(t.Context()); !errors.Is(err, context.Canceled) {
			t.Errorf("the next one: %v", err)
		}
	})

	bubble(t, "HandshakeContext of a handshake that is complete asks no context", func(t *testing.T) {
		c := piped(t, &Dialer{}, ca, echo)
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.HandshakeContext(ctx); err != nil {
			t.Errorf("%v", err)
		}
		exchange(t, c, "still there")
		c.Close()
	})

	bubble(t, "nothing blocks that must not", func(t *testing.T) {
		c := piped(t, &Dialer{}, ca, func(s *tls.Conn) { io.Copy(io.Discard, s.NetConn()) })
		for range 2 {
			if c.LocalAddr() == nil || c.RemoteAddr() == nil {
				t.Error("a nil address")
			}
			if state := c.ConnectionState(); state.HandshakeComplete {
				t.Error("the handshake is called complete")
			} else if _, err := state.ExportKeyingMaterial("x", nil, 1); err == nil {
				t.Error("key material of no handshake")
			}
			if _, err := c.ExportKeyingMaterial("x", nil, 1); err == nil {
				t.Error("key material of no handshake")
			}
			if err := c.VerifyHostname("test.example"); err == nil {
				t.Error("a name verified that nobody proved")
			}
			c.Info()
			go c.Handshake()
			synctest.Wait()
		}
	})
}

// TestDialEarlyInTime: a context that ends as the handshake completes gives
// a Conn or an error, never neither.
func TestDialEarlyInTime(t *testing.T) {
	ca := newAuthority(t)
	arrived := make(chan struct{}, 1)
	addr := stdServer(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(nil, "test.example")}}, func(c *tls.Conn) {
		c.Read(make([]byte, 1))
		arrived <- struct{}{}
		echo(c)
	})
	d := &Dialer{TLSConfig: &tls.Config{RootCAs: ca.pool, ServerName: "test.example"}}
	inTime := 0
	for range 30 { // select chooses at random
		c, err := d.DialEarly(endsLate{t.Context(), arrived}, "tcp", addr, []byte("x"))
		if (c == nil) == (err == nil) {
			t.Fatalf("%v, %v", c, err)
		}
		if c != nil {
			inTime++
			c.Close()
		}
	}
	if inTime == 0 {
		t.Error("every dial failed")
	}
}

// endsLate is a context that ends just when nobody needs it any more.
type endsLate struct {
	context.Context
	after <-chan struct{}
}

func (c endsLate) Done() <-chan struct{} {
	<-c.after
	time.Sleep(time.Millisecond)
	done := make(chan struct{})
	close(done)
	return done
}

// TestNetDialerDeadline: it is for the whole of a dial, as with tls.Dialer.
func TestNetDialerDeadline(t *testing.T) {
	addr := rawServer(t, func(conn net.Conn) { io.Copy(io.Discard, conn) })
	d := &Dialer{TLSConfig: &tls.Config{ServerName: "test.example"}, Timeout: time.Hour,
		NetDialer: &net.Dialer{Deadline: time.Now().Add(500 * time.Millisecond)}}
	c, err := d.DialEarly(t.Context(), "tcp", addr, []byte("x"))
	if err == nil {
		err = c.Handshake()
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}
