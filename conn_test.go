package tlstfo

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/internal/testpeer"
)

// TestStateLikeStd holds ConnectionState against that of crypto/tls, field by
// field, on a full and on a resumed connection.
func TestStateLikeStd(t *testing.T) {
	ca := newAuthority(t)
	cert := ca.issue(nil, "test.example")
	cert.OCSPStaple, cert.SignedCertificateTimestamps = []byte("staple"), [][]byte{[]byte("timestamp")}
	addr := stdServer(t, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"p"}}, echo)
	config := func() *tls.Config {
		return &tls.Config{RootCAs: ca.pool, ServerName: "test.example.", NextProtos: []string{"p"}, ClientSessionCache: tls.NewLRUClientSessionCache(0)}
	}
	std, d := config(), &Dialer{TLSConfig: config()}
	for i := range 2 {
		want, err := tls.Dial("tcp", addr, std)
		if err != nil {
			t.Fatal(err)
		}
		got, err := d.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		exchange(t, want, "x")
		exchange(t, got, "x")
		a, b := reflect.ValueOf(want.ConnectionState()), reflect.ValueOf(got.(*Conn).ConnectionState())
		for j := range a.NumField() {
			f := a.Type().Field(j)
			if f.IsExported() && !reflect.DeepEqual(a.Field(j).Interface(), b.Field(j).Interface()) {
				t.Errorf("dial %d: %s is %v, and %v with crypto/tls", i, f.Name, b.Field(j), a.Field(j))
			}
		}
		if string(got.(*Conn).OCSPResponse()) != "staple" {
			t.Error("no OCSP response")
		}
		want.Close()
		got.Close()
		d.Flush(t.Context())
	}
}

// TestSlowAnswer: the watchdog stops at the ServerHello. A long poll is no
// silence.
func TestSlowAnswer(t *testing.T) {
	o := newOrigin(t)
	d := o.dialer()
	o.prime(t, d)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		o.ServeConn(conn, func(c *testpeer.ServerConn) {
			io.ReadFull(c, make([]byte, 5))
			time.Sleep(silenceMin + 300*time.Millisecond)
			io.WriteString(c, "late")
		})
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
		t.Errorf("%q, %v", got, err)
	}
	if info := c.Info(); info.Redials != 0 || !info.Early.Accepted {
		t.Errorf("%+v", info)
	}
}

// TestUnixSocket: a network without TCP has no SYN, and everything else.
func TestUnixSocket(t *testing.T) {
	o := newOrigin(t)
	path := filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Skip("no Unix sockets here: ", err)
	}
	defer l.Close()
	go o.Serve(l, o.handle, nil)
	d := o.dialer()
	d.TLSConfig.ServerName = "test.example"
	for i := range 2 {
		c, err := d.DialEarly(t.Context(), "unix", path, []byte("GET"))
		if path == "" || err != nil {
			t.Fatal(err)
		}
		finish(t, c, "GET")
		d.Flush(t.Context())
		if v := o.onlyVisit(t); v.data != "GET" || (v.info.EarlyBytes == 3) != (i == 1) {
			t.Errorf("dial %d: %+v", i, v)
		}
	}
}

// TestManyAtOnce uses a Conn and a Dialer as *tls.Conn may be used: Reads
// beside Writes beside everything else.
func TestManyAtOnce(t *testing.T) {
	noLeak(t)
	o := newOrigin(t)
	d := o.dialer()
	d.Early = ReplayableHTTP1
	var dials sync.WaitGroup
	for range 8 {
		dials.Go(func() {
			for range 10 {
				c, err := d.DialDeferred(t.Context(), "tcp", o.addr)
				if err != nil {
					t.Error(err)
					return
				}
				var wg sync.WaitGroup
				total := make([]byte, 0, 4000)
				wg.Go(func() {
					buf := make([]byte, 300)
					for len(total) < 4*1000 {
						n, err := c.Read(buf)
						total = append(total, buf[:n]...)
						if err != nil {
							t.Errorf("Read after %d: %v", len(total), err)
							return
						}
					}
				})
				for range 4 {
					wg.Go(func() {
						if _, err := c.Write(bytes.Repeat([]byte("w"), 1000)); err != nil {
							t.Errorf("Write: %v", err)
						}
					})
				}
				wg.Go(func() { c.ConnectionState(); c.Info(); c.RemoteAddr(); c.SetReadDeadline(time.Now().Add(time.Minute)) })
				wg.Wait()
				if strings.Trim(string(total), "w") != "" {
					t.Error("mixed up")
				}
				c.Close()
			}
		})
	}
	dials.Wait()
	d.Close()
	d.Flush(t.Context())
	o.Close()
}

// TestIdle: an idle Conn, dialled by whatever way, has no goroutine of its own.
func TestIdle(t *testing.T) {
	o := newOrigin(t)
	d := o.dialer()
	d.Early = all
	o.prime(t, d)
	for _, w := range ways {
		c, err := w.send(t.Context(), d, o.addr, "hello")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
	}
	var stacks string
	for range 50 { // what ends may need a moment
		buf := make([]byte, 1<<20)
		stacks = string(buf[:runtime.Stack(buf, true)])
		if !strings.Contains(stacks, "tlstfo.(*Conn)") && !strings.Contains(stacks, "tlstfo.(*shaking)") {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("a goroutine of an idle Conn:\n%s", stacks)
}

// TestDeadlines after the handshake: they are the transport's, and a Read that
// timed out may be tried again.
func TestDeadlines(t *testing.T) {
	o := newOrigin(t)
	d := o.dialer()
	conn, err := d.Dial("tcp", o.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read: %v", err)
	}
	conn.SetReadDeadline(time.Time{})
	exchange(t, conn, "still there")
	conn.SetWriteDeadline(time.Now().Add(-time.Second))
	if _, err := conn.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Write: %v", err)
	}
	conn.SetWriteDeadline(time.Time{})
	if _, err := conn.Write([]byte("x")); err == nil {
		t.Error("a Write after one that timed out succeeds, although a record was lost")
	}
}
