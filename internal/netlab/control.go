package netlab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// The owner of a lab and its lab process talk over a socket pair, one request and one response at a time, each a JSON value.
// When the owner's end closes, for whatever reason, the lab process ends.

const (
	opStart   = "start"
	opRTT     = "rtt"
	opFaults  = "faults"
	opPackets = "packets"
	opReset   = "reset"
	opSysctl  = "sysctl"
	opNetstat = "netstat"
	opForget  = "forget"
)

type request struct {
	Op     string
	Config Config        `json:",omitzero"`
	RTT    time.Duration `json:",omitempty"`
	Faults []Fault       `json:",omitempty"`
	Side   Side          `json:",omitempty"`
	Name   string        `json:",omitempty"`
	Value  string        `json:",omitempty"`
}

type response struct {
	Err     string        `json:",omitempty"`
	Errno   syscall.Errno `json:",omitempty"` // the system's error in Err, so that the owner can tell a refusal from a fault
	IPv6    bool          `json:",omitempty"`
	Packets Packets       `json:",omitempty"`
	Lost    int           `json:",omitempty"`
	Text    string        `json:",omitempty"`
}

// callTimeout bounds one exchange: all of them are a few system calls on the other side.
const callTimeout = 30 * time.Second

// control is the owner's end.
type control struct {
	mu   sync.Mutex
	conn net.Conn
	dec  *json.Decoder
	err  error // sticky: after a failed exchange the stream is out of step
}

func newControl(conn net.Conn) *control {
	return &control{conn: conn, dec: json.NewDecoder(conn)}
}

func (c *control) call(req request) (response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return response{}, c.err
	}
	resp, err := c.exchange(req)
	if err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
			err = fmt.Errorf("%w: the lab process is gone", ErrClosed)
		}
		c.err = err
		return response{}, err
	}
	if resp.Err != "" {
		return response{}, &labError{msg: resp.Err, errno: resp.Errno}
	}
	return resp, nil
}

func (c *control) exchange(req request) (resp response, err error) {
	if err = c.conn.SetDeadline(time.Now().Add(callTimeout)); err != nil {
		return resp, err
	}
	if err = json.NewEncoder(c.conn).Encode(req); err != nil {
		return resp, err
	}
	err = c.dec.Decode(&resp)
	return resp, err
}

func (c *control) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = ErrClosed
	}
	c.conn.Close()
}

// labError is an error that happened in the lab process.
type labError struct {
	msg   string
	errno syscall.Errno
}

func (e *labError) Error() string { return e.msg }

func (e *labError) Unwrap() error {
	if e.errno == 0 {
		return nil
	}
	return e.errno
}
