package tfo

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"
)

// accepted is what a sink got from one connection: everything up to its end.
type accepted struct {
	data    []byte
	synData bool
}

// sink listens on address and reads every connection to its end.
func sink(t *testing.T, network, address string) (string, <-chan accepted) {
	t.Helper()
	l, err := Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String(), drain(t, l)
}

// drain reads every connection to l to its end.
func drain(t *testing.T, l net.Listener) <-chan accepted {
	got := make(chan accepted, 16)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				info, err := ConnInfo(conn)
				if err != nil && !errors.Is(err, errors.ErrUnsupported) {
					t.Error(err)
				}
				conn.SetDeadline(time.Now().Add(20 * time.Second))
				got <- accepted{readAll(conn), info.SynData}
			}()
		}
	}()
	return got
}

func readAll(conn net.Conn) []byte {
	var data []byte
	buf := make([]byte, 64<<10)
	for {
		n, err := conn.Read(buf)
		data = append(data, buf[:n]...)
		if err != nil {
			return data
		}
	}
}

// flight returns a callback that sends data and counts its calls.
func flight(data []byte, calls *int) FirstFlight {
	return func(context.Context, *Attempt) (Flight, error) {
		if calls != nil {
			*calls++
		}
		return Flight{Data: data}, nil
	}
}

// onceWherePossible sends data, marked Once as often as that is allowed.
func onceWherePossible(data []byte) FirstFlight {
	return func(_ context.Context, a *Attempt) (Flight, error) {
		return Flight{Data: data, Once: a.MayOnce}, nil
	}
}

// dialSink dials, sends data, closes, and returns what the server got.
func dialSink(t *testing.T, d *Dialer, network, address string, data []byte, got <-chan accepted) (*Info, accepted) {
	t.Helper()
	var calls int
	conn, info, err := d.DialContext(t.Context(), network, address, flight(data, &calls))
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if calls != 1 {
		t.Errorf("the callback was called %d times", calls)
	}
	return info, <-got
}

// closedPort returns a port of ip that nobody listens on.
func closedPort(t *testing.T, ip string) string {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// noLeak fails t if goroutines are left over at its end.
func noLeak(t *testing.T) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		var after int
		for range 200 {
			if after = runtime.NumGoroutine(); after <= before {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		stacks := make([]byte, 64<<10)
		t.Errorf("%d goroutines before, %d after:\n%s", before, after, stacks[:runtime.Stack(stacks, true)])
	})
}

// hosts returns a resolver that knows every name by the same addresses.
func hosts(addrs ...string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go answerDNS(server, addrs)
		return client, nil
	}}
}

// answerDNS answers DNS queries over a stream: net takes a connection that is no net.PacketConn for TCP (RFC 1035, section 4.2.2).
func answerDNS(conn net.Conn, addrs []string) {
	defer conn.Close()
	buf := make([]byte, 2048)
	for {
		n, err := conn.Read(buf)
		if err != nil || n < 2+12 {
			return
		}
		query := buf[2:n]
		end := 12
		for query[end] != 0 {
			end += 1 + int(query[end])
		}
		end += 5 // the root label, type, class
		kind := binary.BigEndian.Uint16(query[end-4:])
		answer := append([]byte{0, 0}, query[:2]...)
		answer = append(answer, 0x84, 0x80, 0, 1, 0, 0, 0, 0, 0, 0) // response, authoritative; one question
		answer = append(answer, query[12:end]...)
		count := byte(0)
		for _, s := range addrs {
			ip := netip.MustParseAddr(s)
			if kind == 1 != ip.Is4() {
				continue
			}
			count++
			answer = append(answer, 0xc0, 12) // the name in the question
			answer = binary.BigEndian.AppendUint16(answer, kind)
			answer = append(answer, 0, 1, 0, 0, 0, 60, 0, byte(ip.BitLen()/8))
			answer = append(answer, ip.AsSlice()...)
		}
		answer[2+7] = count
		binary.BigEndian.PutUint16(answer, uint16(len(answer)-2))
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}
