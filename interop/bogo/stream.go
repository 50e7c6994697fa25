package main

import (
	"encoding/binary"
	"io"
	"net"
	"strconv"
	"time"
)

// timeout is how long a connection may last. The runner loses patience after
// 15 seconds without progress.
const timeout = 30 * time.Second

// stream is the transport to the runner.
type stream struct {
	conn  *net.TCPConn
	async bool   // the engine gets its input byte by byte
	in    []byte // what it did not get yet
	held  []byte // the rest of a write that was left unfinished
}

// receiver is what an engine and an Opener take input with.
type receiver interface {
	Buffer() []byte
	Advance(n int)
	Feed(p []byte)
}

// dial connects to the runner, which tells connections apart by the shim's id.
func dial(o *options) (*stream, error) {
	host := "127.0.0.1"
	if o.IPv6 {
		host = "::1"
	}
	conn, err := net.Dial("tcp", net.JoinHostPort(host, strconv.Itoa(o.Port)))
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(timeout))
	s := &stream{conn: conn.(*net.TCPConn), async: o.Async}
	return s, s.write(binary.LittleEndian.AppendUint64(nil, o.ShimID))
}

// read waits for input and gives it to r, all of it or the next byte.
func (s *stream) read(r receiver) error {
	if !s.async {
		n, err := s.conn.Read(r.Buffer())
		r.Advance(n)
		return err
	}
	if len(s.in) == 0 {
		buf := make([]byte, 16<<10)
		n, err := s.conn.Read(buf)
		if n == 0 {
			return err
		}
		s.in = buf[:n]
	}
	r.Feed(s.in[:1])
	s.in = s.in[1:]
	return nil
}

// write sends p behind what was held back.
func (s *stream) write(p []byte) error {
	p = append(s.held, p...)
	s.held = nil
	if len(p) == 0 {
		return nil
	}
	_, err := s.conn.Write(p)
	return err
}

// writeUnfinished sends one byte of p. The rest goes out before anything that
// is sent later.
func (s *stream) writeUnfinished(p []byte) error {
	s.held = p[1:]
	_, err := s.conn.Write(p[:1])
	return err
}

// close ends our direction and waits for the peer's end: a reset, which a
// close with input unread would cause, could overtake our last alert.
func (s *stream) close() {
	s.conn.CloseWrite()
	io.Copy(io.Discard, s.conn)
	s.conn.Close()
}
