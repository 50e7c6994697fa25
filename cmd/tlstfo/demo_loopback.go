package main

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/tlstfo/tlstfo/internal/netlab"
	"github.com/tlstfo/tlstfo/internal/waterfall"
	"github.com/tlstfo/tlstfo/tfo"
)

// loopbackScene is the demonstration where there can be no lab: client and
// server on loopback, and between them a relay that takes as long as a wire
// would. It sees what they say, and not the packets of TCP itself: those of the
// log are made up after what the relay measured.
type loopbackScene struct {
	server  *demoServer
	served  chan error
	relay   *delayRelay
	clients map[bool]*demoClient // by whether it is net/http's
}

func newLoopbackScene(ctx context.Context, o *demoOptions) (*loopbackScene, error) {
	server, err := newDemoServer(ctx, "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &loopbackScene{server: server, served: make(chan error, 1), clients: make(map[bool]*demoClient)}
	go func() { s.served <- server.serve() }()
	if s.relay, err = newDelayRelay(ctx, server.listener.Addr().String(), o.rtt); err != nil {
		server.Close()
		return nil, err
	}
	options := demoClientOptions{Addr: s.relay.listener.Addr().String(), Cert: server.cert, Timeout: o.perRequest()}
	for _, options.NetHTTP = range []bool{true, false} {
		if s.clients[options.NetHTTP], err = newDemoClient(options); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	return s, nil
}

func (s *loopbackScene) ask(ctx context.Context, netHTTP bool, timeout time.Duration) (waterfall.Exchange, error) {
	s.relay.reset()
	a := s.clients[netHTTP].answer(ctx, demoOrder{timeout})
	x := waterfall.Exchange{RTT: s.relay.rtt, KeyLog: a.KeyLog, Failure: a.Err, Simulated: true, Packets: s.relay.packets()}
	return x, ctx.Err()
}

func (s *loopbackScene) close() error {
	s.relay.close()
	s.server.Close()
	return <-s.served
}

// delayRelay passes on what is said over TCP connections, half a round-trip
// time later each way, and as if TCP's handshake had taken one. Only what
// really came with a SYN goes along with it.
type delayRelay struct {
	listener *tfo.Listener
	to       string
	rtt      time.Duration
	start    time.Time
	wg       sync.WaitGroup

	mu     sync.Mutex
	log    netlab.Packets
	conns  map[net.Conn]struct{}
	closed bool
}

func newDelayRelay(ctx context.Context, to string, rtt time.Duration) (*delayRelay, error) {
	listener, err := new(tfo.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &delayRelay{listener: listener, to: to, rtt: rtt, start: time.Now(), conns: make(map[net.Conn]struct{})}
	r.wg.Go(r.accept)
	return r, nil
}

func (r *delayRelay) accept() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		at := time.Now()
		server, err := net.Dial("tcp", r.to)
		if err != nil {
			client.Close()
			continue
		}
		r.wg.Go(func() { r.connection(client, server, at) })
	}
}

// connection relays a connection that was accepted at a time.
func (r *delayRelay) connection(client, server net.Conn, at time.Time) {
	defer r.forget(client)
	defer r.forget(server)
	if !r.keep(client) || !r.keep(server) {
		return
	}
	info, err := tfo.ConnInfo(client.(*net.TCPConn))
	inSYN := err == nil && info.SynData
	ends := [2]netip.AddrPort{addrPort(client.RemoteAddr()), addrPort(client.LocalAddr())}
	up := &delayedWay{relay: r, from: netlab.ClientSide, src: ends[0], dst: ends[1], notBefore: at.Add(r.rtt)}
	down := &delayedWay{relay: r, from: netlab.ServerSide, src: ends[1], dst: ends[0]}
	if inSYN {
		up.notBefore, up.first = at, netlab.SYN
	} else {
		up.note(at, netlab.SYN, nil)
	}
	down.note(at.Add(r.rtt/2), netlab.SYN|netlab.ACK, nil)
	var ways sync.WaitGroup
	ways.Go(func() { up.carry(client, server) })
	ways.Go(func() { down.carry(server, client) })
	ways.Wait()
}

// delayedWay is one direction of a connection.
type delayedWay struct {
	relay     *delayRelay
	from      netlab.Side
	src, dst  netip.AddrPort
	notBefore time.Time       // what came earlier counts as sent then
	first     netlab.TCPFlags // of the first packet with data
	seq       uint32
}

// note makes an entry of the log.
func (w *delayedWay) note(sent time.Time, flags netlab.TCPFlags, data []byte) {
	r := w.relay
	p := netlab.Packet{Sent: sent.Sub(r.start), Delivered: sent.Add(r.rtt / 2).Sub(r.start), Fate: netlab.Delivered, From: w.from,
		Src: w.src, Dst: w.dst, Flags: flags, Seq: w.seq, Len: len(data), Payload: data}
	w.seq += uint32(len(data))
	if flags.Has(netlab.SYN) {
		w.seq++
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, p)
}

// carry reads, and writes half a round-trip time later.
func (w *delayedWay) carry(from, to net.Conn) {
	type chunk struct {
		due  time.Time
		data []byte
	}
	chunks := make(chan chunk, 64)
	var writer sync.WaitGroup
	writer.Go(func() {
		for c := range chunks {
			time.Sleep(time.Until(c.due))
			to.Write(c.data) // an error shows in the other direction
		}
		if half, ok := to.(interface{ CloseWrite() error }); ok {
			half.CloseWrite()
		}
	})
	defer writer.Wait()
	defer close(chunks)
	for {
		buf := make([]byte, 16<<10)
		n, err := from.Read(buf)
		if n > 0 {
			sent := time.Now()
			if sent.Before(w.notBefore) {
				sent = w.notBefore
			}
			w.note(sent, cmp.Or(w.first, netlab.PSH|netlab.ACK), buf[:n])
			w.first = 0
			chunks <- chunk{sent.Add(w.relay.rtt / 2), buf[:n]}
		}
		if err != nil {
			return
		}
	}
}

func (r *delayRelay) keep(conn net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.conns[conn] = struct{}{}
	}
	return !r.closed
}

func (r *delayRelay) forget(conn net.Conn) {
	conn.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, conn)
}

func (r *delayRelay) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = nil
}

func (r *delayRelay) packets() netlab.Packets {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append(netlab.Packets(nil), r.log...)
}

// close ends all connections.
func (r *delayRelay) close() {
	r.listener.Close()
	r.mu.Lock()
	r.closed = true
	for conn := range r.conns {
		conn.Close()
	}
	r.mu.Unlock()
	r.wg.Wait()
}

func addrPort(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort()
	}
	return netip.AddrPort{}
}
