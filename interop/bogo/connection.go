package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tlstfo/tlstfo/handshake"
)

// engine is what a Client and a Server have in common.
type engine interface {
	receiver
	AppendOutput(dst []byte) []byte
	Next(now time.Time) (handshake.Event, error)
	Split() (*handshake.Sealer, *handshake.Opener)
	ConnectionState() tls.ConnectionState
	ExportKeyingMaterial(label string, context []byte, length int) ([]byte, error)
	EarlyData() handshake.EarlyStatus
	EarlyReason() handshake.EarlyReason
	PeerSignatureAlgorithm() tls.SignatureScheme
}

// connection is one connection of a test.
type connection struct {
	sets     *optionSets
	shared   *shared
	resuming bool
	now      time.Time // does not move

	*stream
	engine engine
	client *handshake.Client // the engine, if it is one
	server *handshake.Server // the engine, if it is one
	sealer *handshake.Sealer
	opener *handshake.Opener

	offered *handshake.Session // to resume
	newest  *handshake.Session // that came on this connection

	begun    bool   // begin was called
	initial  []byte // of the first of the initial writes, what is still to be sent
	writes   int    // how many more there are
	secrets  keyLog
	verified int        // how often the engine had its peer verified
	failed   bool       // that said no
	sawHello bool       // a server's hook was called
	tickets  *ticketKey // of a server that seals its tickets itself
	selected int        // index of the credential that was used
}

// options returns the set that is valid now: what follows after early data was
// rejected counts as another connection.
func (c *connection) options() *options {
	switch {
	case !c.resuming:
		return &c.sets.initial
	case c.client != nil && c.client.EarlyData() == handshake.EarlyRejected:
		return &c.sets.retry
	}
	return &c.sets.resume
}

// wrongError is a failure that no test expects: the engine's state is not what
// the flags say.
type wrongError struct{ text string }

func (e *wrongError) Error() string { return e.text }

func wrong(format string, args ...any) error { return &wrongError{fmt.Sprintf(format, args...)} }

// run makes the connection and everything that happens on it.
func (c *connection) run() error {
	s, err := dial(c.options())
	if err != nil {
		return err
	}
	c.stream = s
	defer s.close()
	start := c.startClient
	if c.options().Server {
		start = c.startServer
	}
	if err := start(); err != nil {
		return err
	}
	if err := c.early(); err != nil {
		c.flush()
		return err
	}
	if err := c.handshake(); err != nil {
		c.flush()
		return err
	}
	if err := c.checkHandshake(); err != nil {
		return err
	}
	if c.sealer, c.opener = c.engine.Split(); c.sealer == nil {
		return wrong("the engine does not split")
	}
	if err := c.exchange(); err != nil {
		var local *handshake.LocalError
		if errors.As(err, &local) {
			c.write(c.sealer.Alert(nil, local.Alert()))
		}
		return err
	}
	return nil
}

// flush sends what the engine has to say.
func (c *connection) flush() error {
	out := c.engine.AppendOutput(nil)
	if len(out) == 0 {
		return nil
	}
	return c.write(out)
}

// step waits for the engine's next event but EventNone.
func (c *connection) step() (handshake.Event, error) {
	for {
		event, err := c.tryStep()
		if err != nil || event.Kind != handshake.EventNone {
			return event, err
		}
	}
}

// tryStep sends, and reads once if the engine has no event.
func (c *connection) tryStep() (handshake.Event, error) {
	event, err := c.engine.Next(c.now)
	if err != nil {
		return event, err
	}
	if err := c.flush(); err != nil || event.Kind != handshake.EventNone {
		return event, err
	}
	if err := c.halfRTT(); err != nil {
		return event, err
	}
	err = c.read(c.engine)
	if err == io.EOF {
		err = fmt.Errorf("the peer closed in the handshake: %w", io.ErrUnexpectedEOF)
	}
	return event, err
}

// handshake goes on until the handshake is complete.
func (c *connection) handshake() error {
	for {
		event, err := c.step()
		if err != nil {
			return err
		}
		switch event.Kind {
		case handshake.EventHandshakeComplete:
			return nil
		case handshake.EventEarlyRejected:
			// Nothing is sent again. What follows has flags of its own.
			c.initial, c.writes = nil, c.options().initialWrites()
		case handshake.EventEarlyData:
			if err := c.answerAll(event.Data); err != nil {
				return err
			}
		case handshake.EventEarlyAccepted:
		default:
			return wrong("event %d in the handshake", event.Kind)
		}
	}
}
