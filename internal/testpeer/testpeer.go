// Package testpeer is a small TLS 1.3 server on net.Listener and net.Conn, for
// tests, benchmarks and examples: it accepts early data, and it can be told to
// misbehave. It is no server for the open Internet: it sets no deadlines and no
// limit on connections.
package testpeer

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/tlstfo/tlstfo/handshake"
)

// Server serves connections. Its methods may be called while it serves; what
// they change holds for the connections that come after.
type Server struct {
	mu     sync.Mutex
	config handshake.ServerConfig
	knobs  Knobs
	open   map[io.Closer]struct{} // listeners and connections
	closed bool
	wg     sync.WaitGroup
}

// Knobs make a Server do what a test needs. The zero value is a well-behaved
// server.
type Knobs struct {
	RefuseEarlyData bool // resume, but refuse early data; tickets still allow it
	RefusePSK       bool // resume nothing
	ForceRetry      bool // ask for P-384 or P-521, so that others get a HelloRetryRequest

	CloseAfterRead  int  // close the connection once so many bytes came in; 0: never
	CloseAfterWrite int  // close the connection once so many bytes went out; 0: never
	Reset           bool // close with RST, and without close_notify
	Silent          bool // read, and never answer; the handler is not called
}

// New returns a server that has the certificate, gives tickets under a random
// key, and accepts up to 16 KiB of early data. Update changes that.
func New(cert tls.Certificate) (*Server, error) {
	// The keys are new, so that no ticket under them is older than this.
	start := time.Now().Add(-time.Second)
	keys := new(handshake.TicketKeys)
	if err := keys.Rotate(rand.Reader, 0); err != nil {
		return nil, err
	}
	return &Server{
		config: handshake.ServerConfig{
			Certificates: []tls.Certificate{cert},
			TicketKeys:   keys,
			MaxEarlyData: 16 << 10,
			AntiReplay:   handshake.NewReplayRegister(start, 1<<16),
		},
		open: make(map[io.Closer]struct{}),
	}, nil
}

// Update changes the configuration for connections to come.
func (s *Server) Update(f func(*handshake.ServerConfig)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.config)
}

// Set sets the knobs for connections to come.
func (s *Server) Set(k Knobs) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.knobs = k
}

// RotateTicketKeys makes a new ticket key and keeps at most keep of the old
// ones: 0 makes all tickets useless.
func (s *Server) RotateTicketKeys(keep int) error {
	s.mu.Lock()
	keys := s.config.TicketKeys
	s.mu.Unlock()
	if keys == nil {
		return errors.New("testpeer: there are no ticket keys")
	}
	return keys.Rotate(rand.Reader, keep)
}

// settings returns the configuration of a new connection.
func (s *Server) settings() (*handshake.ServerConfig, Knobs, error) {
	s.mu.Lock()
	cfg, knobs := s.config, s.knobs
	s.mu.Unlock()
	if knobs.RefuseEarlyData && cfg.AntiReplay != nil {
		cfg.AntiReplay = refuseAll{}
	}
	if knobs.RefusePSK && (cfg.TicketKeys != nil || cfg.WrapSession != nil) {
		cfg.WrapSession, cfg.UnwrapSession = nil, nil
		cfg.TicketKeys = new(handshake.TicketKeys)
		if err := cfg.TicketKeys.Rotate(rand.Reader, 0); err != nil {
			return nil, knobs, err
		}
	}
	if knobs.ForceRetry {
		cfg.Groups = []tls.CurveID{tls.CurveP384, tls.CurveP521}
	}
	return &cfg, knobs, nil
}

// refuseAll is an AntiReplay that takes no early data for new.
type refuseAll struct{}

func (refuseAll) Use([32]byte, time.Time) bool { return false }

// ErrServerClosed is what Serve returns after Close.
var ErrServerClosed = errors.New("testpeer: server closed")

// Serve accepts connections until Close, and calls handler in a goroutine for
// each, as soon as early data has come or the handshake is complete. When
// handler returns the connection is closed. Connections whose handshake fails
// never reach a handler; failed, which may be nil, gets their errors.
func (s *Server) Serve(l net.Listener, handler func(*ServerConn), failed func(error)) error {
	if !s.track(l) {
		return ErrServerClosed
	}
	defer s.forget(l)
	for {
		conn, err := l.Accept()
		if err != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.closed {
				return ErrServerClosed
			}
			return err
		}
		if !s.track(conn) {
			continue
		}
		s.wg.Go(func() {
			defer s.forget(conn)
			if err := s.ServeConn(conn, handler); err != nil && failed != nil {
				failed(err)
			}
		})
	}
}

// ServeConn serves one connection, whatever it came over, and closes it. The
// error is the handshake's.
func (s *Server) ServeConn(conn net.Conn, handler func(*ServerConn)) error {
	cfg, knobs, err := s.settings()
	if err != nil {
		conn.Close()
		return err
	}
	if knobs.Silent {
		io.Copy(io.Discard, conn)
		return conn.Close()
	}
	engine, err := handshake.NewServer(cfg)
	if err != nil {
		conn.Close()
		return err
	}
	c := &ServerConn{conn: limit(conn, knobs), raw: conn, engine: engine, knobs: knobs}
	defer c.Close()
	if err := c.start(); err != nil {
		return err
	}
	handler(c)
	return nil
}

// Close closes all listeners and connections, and waits for the handlers.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	for c := range s.open {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
	return nil
}

func (s *Server) track(c io.Closer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		c.Close()
		return false
	}
	s.open[c] = struct{}{}
	return true
}

// forget closes c too: who serves it is done with it.
func (s *Server) forget(c io.Closer) {
	c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}
