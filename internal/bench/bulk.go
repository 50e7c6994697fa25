package main

import (
	"io"
	"net"
)

const (
	bulk     = 1 << 20
	bulkStep = 32 << 10 // what io.Copy reads and writes at once
)

// sends measures bulk sending on a connection that is there.
func sends(side *side) func(int) (batch, error) {
	head := request(bulk, 1)
	return transfers(side, func(c net.Conn, buf []byte) error {
		if _, err := c.Write(head); err != nil {
			return err
		}
		for left := bulk; left > 0; left -= bulkStep {
			if _, err := c.Write(buf[:bulkStep]); err != nil {
				return err
			}
		}
		_, err := io.ReadFull(c, buf[:1])
		return err
	})
}

// receives measures bulk receiving.
func receives(side *side) func(int) (batch, error) {
	head := request(0, bulk)
	return transfers(side, func(c net.Conn, buf []byte) error {
		if _, err := c.Write(head); err != nil {
			return err
		}
		for left := bulk; left > 0; {
			n, err := c.Read(buf)
			if err != nil {
				return err
			}
			left -= n
		}
		return nil
	})
}

func transfers(side *side, once func(c net.Conn, buf []byte) error) func(int) (batch, error) {
	return func(ops int) (batch, error) {
		c, err := side.open()
		if err != nil {
			return batch{}, err
		}
		buf := make([]byte, bulkStep)
		for range 4 { // buffers and record sizes grow at first
			if err := once(c, buf); err != nil {
				return batch{}, err
			}
		}
		return batch{func() error { return repeat(ops, func() error { return once(c, buf) }) }, c.Close}, nil
	}
}
