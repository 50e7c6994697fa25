package main

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/tlstfo/tlstfo/handshake"
)

// readSize is the most that is echoed at once, so that a long record takes
// several turns.
const readSize = 512

// alertDecompressionFailure is not in TLS 1.3 any more.
const alertDecompressionFailure handshake.Alert = 30

// initialWrites returns how often -shim-initial-write is written.
func (o *options) initialWrites() int {
	switch {
	case o.ReadWithUnfinishedWrite:
		return 1
	case o.ShimWritesFirst:
		return o.RepeatShimInitialWrite
	}
	return 0
}

// exchange is what follows on the handshake.
func (c *connection) exchange() error {
	o := c.options()
	if o.SendAlert {
		return c.write(c.sealer.Alert(nil, alertDecompressionFailure))
	}
	if err := c.begin(); err != nil {
		return err
	}
	closed := false
	if !o.ShimShutsDown {
		var err error
		if closed, err = c.echo(); err != nil {
			return err
		}
		if err := c.checkTickets(); err != nil {
			return err
		}
	}
	return c.shutdown(closed)
}

// begin sends what goes before all answers, once. A server may do so before the
// handshake is complete.
func (c *connection) begin() error {
	if c.begun {
		return nil
	}
	c.begun = true
	if err := c.export(); err != nil {
		return err
	}
	return c.writeFirst()
}

// writeFirst makes the initial writes that did not go out as early data.
func (c *connection) writeFirst() error {
	first := []byte(c.options().ShimInitialWrite)
	if len(c.initial) > 0 {
		if err := c.send(c.initial); err != nil {
			return err
		}
	}
	for range c.writes {
		if c.options().ReadWithUnfinishedWrite {
			return c.writeUnfinished(c.sealer.Seal(nil, first))
		}
		if err := c.send(first); err != nil {
			return err
		}
	}
	return nil
}

// send seals p and sends it.
func (c *connection) send(p []byte) error {
	if c.sealer != nil {
		return c.write(c.sealer.Seal(nil, p))
	}
	if _, err := c.server.Write(p); err != nil {
		return err
	}
	return c.flush()
}

// echo answers all data with its complement until the peer is done; closed
// tells that it said so.
func (c *connection) echo() (closed bool, err error) {
	for {
		event, err := c.receive()
		switch {
		case err == io.EOF:
			return false, nil
		case err != nil:
			return false, err
		case event.Kind == handshake.EventCloseNotify:
			return true, nil
		case event.Kind != handshake.EventData:
			return false, wrong("event %d after the handshake", event.Kind)
		}
		if err := c.answerAll(event.Data); err != nil {
			return false, err
		}
	}
}

// answerAll echoes data in turns.
func (c *connection) answerAll(data []byte) error {
	for len(data) > 0 {
		n := min(len(data), readSize)
		if err := c.answer(data[:n]); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// answer echoes one read.
func (c *connection) answer(data []byte) error {
	if c.options().KeyUpdate {
		if err := c.write(c.sealer.KeyUpdate(nil, false)); err != nil {
			return err
		}
	}
	answer := make([]byte, len(data))
	for i, b := range data {
		answer[i] = b ^ 0xff
	}
	return c.send(answer)
}

// receive waits for the next event but tickets, which it keeps.
func (c *connection) receive() (handshake.Event, error) {
	for {
		event, err := c.opener.Next(c.now)
		switch {
		case err != nil:
			return event, err
		case event.Kind == handshake.EventTicket:
			c.newest = event.Session
		case event.Kind != handshake.EventNone:
			return event, nil
		default:
			if err := c.read(c.opener); err != nil {
				return event, err
			}
		}
	}
}

// shutdown ends the connection. closed tells that the peer's close_notify has
// come already.
func (c *connection) shutdown(closed bool) error {
	if !c.options().CheckCloseNotify {
		return nil
	}
	if err := c.write(c.sealer.CloseNotify(nil)); err != nil {
		return err
	}
	for !closed {
		event, err := c.receive()
		switch {
		case err == io.EOF:
			return errors.New("no close_notify: Unexpected SSL_shutdown result: -1 != 1") // the text that the runner looks for
		case err != nil:
			return err
		}
		closed = event.Kind == handshake.EventCloseNotify
	}
	return nil
}

// export sends keying material and traffic secrets as application data.
func (c *connection) export() error {
	o := c.options()
	if o.ExportKeyingMaterial > 0 {
		material, err := c.engine.ExportKeyingMaterial(o.ExportLabel, []byte(o.ExportContext), o.ExportKeyingMaterial)
		if err != nil {
			return err
		}
		if err := c.send(material); err != nil {
			return err
		}
	}
	if o.ExportTrafficSecrets {
		read, write := c.secrets.server, c.secrets.client
		if o.Server {
			read, write = write, read
		}
		if len(read) == 0 || len(read) != len(write) {
			return wrong("the key log has no traffic secrets")
		}
		for _, p := range [][]byte{binary.LittleEndian.AppendUint16(nil, uint16(len(read))), read, write} {
			if err := c.send(p); err != nil {
				return err
			}
		}
	}
	return nil
}
