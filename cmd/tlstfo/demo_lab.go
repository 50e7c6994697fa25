package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"time"

	"github.com/tlstfo/tlstfo/internal/netlab"
	"github.com/tlstfo/tlstfo/internal/waterfall"
)

// The demonstration's processes in the lab, for netlab.Main. Each gets its
// options as the first JSON value on stdin, and ends with the end of stdin.
func labProcesses() netlab.Funcs {
	return netlab.Funcs{"demo-server": demoServerProcess, "demo-client": demoClientProcess}
}

// demoServerProcess says on stdout whom to trust, once it listens, and then,
// for each value on stdin, the key log since the last one.
func demoServerProcess(args []string) error {
	server, err := newDemoServer(context.Background(), args[0])
	if err != nil {
		return err
	}
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	if err := out.Encode(server.cert); err != nil {
		return err
	}
	go func() {
		defer server.Close()
		for in.Decode(new(struct{})) == nil && out.Encode(server.keys.take()) == nil {
		}
	}()
	return server.serve()
}

// demoOrder has a client make a request. Its answer is a demoAnswer.
type demoOrder struct{ Timeout time.Duration }

type demoAnswer struct {
	KeyLog []byte
	Err    string
}

func demoClientProcess([]string) error {
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	var options demoClientOptions
	if err := in.Decode(&options); err != nil {
		return err
	}
	client, err := newDemoClient(options)
	if err != nil {
		return err
	}
	for {
		var order demoOrder
		if err := in.Decode(&order); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := out.Encode(client.answer(context.Background(), order)); err != nil {
			return err
		}
	}
}

func (c *demoClient) answer(ctx context.Context, order demoOrder) (a demoAnswer) {
	ctx, cancel := context.WithTimeoutCause(ctx, order.Timeout, fmt.Errorf("no response within %v", order.Timeout))
	defer cancel()
	var err error
	if a.KeyLog, err = c.ask(ctx); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		a.Err = message(err)
	}
	return a
}

// labScene is the demonstration in the lab.
type labScene struct {
	lab     *netlab.Lab
	fault   []netlab.Fault
	server  *labProcess
	clients map[bool]*labProcess // by whether it is net/http's
}

func newLabScene(ctx context.Context, o *demoOptions) (*labScene, error) {
	lab, err := netlab.New(netlab.Config{RTT: o.rtt, PayloadBytes: 2000})
	if err != nil {
		return nil, err
	}
	s := &labScene{lab: lab, clients: make(map[bool]*labProcess)}
	if o.fault != "" {
		s.fault = []netlab.Fault{demoFault(o.fault, o.rtt)}
	}
	if err := s.start(ctx, o); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *labScene) start(ctx context.Context, o *demoOptions) (err error) {
	addr := net.JoinHostPort(s.lab.Server.IPv4.String(), "443")
	if s.server, err = startProcess(s.lab.Server.Func(ctx, "demo-server", addr)); err != nil {
		return err
	}
	options := demoClientOptions{Addr: addr, Timeout: o.perRequest()}
	if err := s.server.out.Decode(&options.Cert); err != nil {
		return fmt.Errorf("the demonstration's server did not start: %w", err)
	}
	for _, options.NetHTTP = range []bool{true, false} {
		client, err := startProcess(s.lab.Client.Func(ctx, "demo-client"))
		if err != nil {
			return err
		}
		s.clients[options.NetHTTP] = client
		if err := client.in.Encode(options); err != nil {
			return err
		}
	}
	return nil
}

// ask has a request made, and returns it with its packets.
func (s *labScene) ask(ctx context.Context, netHTTP bool, timeout time.Duration) (x waterfall.Exchange, err error) {
	if err := errors.Join(s.lab.SetFaults(s.fault...), s.lab.ResetLog()); err != nil {
		return x, err
	}
	client := s.clients[netHTTP]
	var a demoAnswer
	if err := client.in.Encode(demoOrder{timeout}); err != nil {
		return x, err
	}
	if err := client.out.Decode(&a); err != nil {
		return x, fmt.Errorf("the demonstration's client ended: %w", err)
	}
	var keys []byte // of the server, for what never reached the client
	if err := errors.Join(s.server.in.Encode(struct{}{}), s.server.out.Decode(&keys)); err != nil {
		return x, fmt.Errorf("the demonstration's server ended: %w", err)
	}
	x = waterfall.Exchange{RTT: s.lab.RTT(), KeyLog: append(a.KeyLog, keys...), Failure: a.Err}
	x.Packets, err = s.lab.Packets()
	return x, err
}

// close ends every process of the scene.
func (s *labScene) close() error {
	err := s.lab.Close()
	for _, p := range []*labProcess{s.server, s.clients[true], s.clients[false]} {
		if p != nil {
			p.stdin.Close()
			p.cmd.Wait() // it was killed with the lab
		}
	}
	return err
}

// labProcess is a process that speaks JSON.
type labProcess struct {
	cmd   *exec.Cmd
	stdin io.Closer
	in    *json.Encoder
	out   *json.Decoder
}

func startProcess(cmd *exec.Cmd) (*labProcess, error) {
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &labProcess{cmd, stdin, json.NewEncoder(stdin), json.NewDecoder(stdout)}, nil
}
