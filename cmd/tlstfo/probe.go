package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"time"

	"github.com/tlstfo/tlstfo"
)

const probeHelp = `usage: tlstfo probe [flags] HOST[:PORT]

Tells how many round trips connections to a server take, with net/http and with
tlstfo, and what stands in the way of one. It makes four connections, each with
one HEAD request for /: with net/http at first contact and again, and over
tlstfo at first contact and again. The last one sends the request as early data
if a ticket allows it: a request that is harmless when replayed, as far as the
server follows RFC 9110. All go to the one address that the first one chose.

Round trips are counted from what happened (TCP's handshake, TLS's, a second
hello, the request), up to the first byte of the response. The times are
measured, and have the server's time in them.

  -connect HOST:PORT
                  dial this instead of HOST:PORT
  -cacert FILE    trust the certificates in this PEM file, instead of the system's
  -servername NAME
                  the name to ask the server for and to verify (HOST)
  -timeout D      the time that one connection may take, 0 for no limit (10s)
  -json           print a JSON object instead

The members of the JSON object, all of them always there:
  server          HOST:PORT as given
  address         the address that was probed
  rtt_ms          the shortest time from a SYN to its SYN-ACK
  tfo             cookie: had (the system had one before), given, none (asked for, and
                  none came), unknown; syn_data: accepted, refused, lost, not tried,
                  unknown; syn_bytes (of the last connection); why (no data was in its SYN,
                  or was not acknowledged)
  tls             version, cipher_suite, alpn; group: of the first contact; group_again:
                  of the last connection; second_hello: the server asked for one at
                  first contact; engine: tlstfo or crypto/tls, why_engine
  tickets         count: at first contact, -1 if not known; lifetime_s; early_limit: bytes,
                  0 if no early data is allowed; resumed: the server took one
  early           offered, accepted, bytes, reason
  http            status; too_early: an early request was answered 425; problem: why there
                  is no response, or ""
  round_trips     net_http_first, net_http_again, tlstfo_first, tlstfo_again: 0 if not known
  first_byte_ms   the same members; 0 if not known
  obstacles       what stands in the way of one round trip, in sentences
  error           why the server could not be probed, or ""

The exit code is 0 if all connections could be made, whatever came of them; 1 if
not; 2 if the command line is wrong.
`

// probeOptions are the flags of probe.
type probeOptions struct {
	options
	server string // HOST:PORT
	host   string
}

func (o *probeOptions) flags() *flag.FlagSet {
	set := flag.NewFlagSet("probe", flag.ContinueOnError)
	set.SetOutput(io.Discard) // run shows the error
	set.StringVar(&o.caCert, "cacert", "", "")
	set.StringVar(&o.serverName, "servername", "", "")
	set.StringVar(&o.connect, "connect", "", "")
	set.DurationVar(&o.timeout, "timeout", 10*time.Second, "")
	set.BoolVar(&o.json, "json", false, "")
	return set
}

// parse reads the command line. Flags may follow the host.
func (o *probeOptions) parse(args []string) error {
	rest, err := parseFlags(o.flags(), args)
	switch {
	case err != nil:
		return err
	case len(rest) == 0:
		return usageError("the host is missing")
	case len(rest) > 1:
		return usageError(fmt.Sprintf("one host at a time, not %q too", rest[1]))
	case o.timeout < 0:
		return usageError("-timeout must not be negative")
	case strings.ContainsAny(rest[0], "/@?#"):
		return usageError("give HOST or HOST:PORT, and no URL")
	}
	if o.connect != "" {
		if _, port, err := net.SplitHostPort(o.connect); err != nil || port == "" {
			return usageError("-connect is HOST:PORT")
		}
	}
	host, port := strings.Trim(rest[0], "[]"), "443"
	if h, p, err := net.SplitHostPort(rest[0]); err == nil {
		host, port = h, p
	} else if strings.Contains(host, ":") && net.ParseIP(host) == nil {
		return usageError(fmt.Sprintf("%q is not HOST:PORT", rest[0]))
	}
	if host == "" || port == "" {
		return usageError("the host is missing")
	}
	o.host, o.server = host, net.JoinHostPort(host, port)
	o.url, o.method = "https://"+o.server+"/", "HEAD"
	return nil
}

// parseFlags parses flags, and returns the arguments between and behind them.
func parseFlags(set *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := set.Parse(args); errors.Is(err, flag.ErrHelp) {
			return nil, err
		} else if err != nil {
			return nil, usageError(err.Error())
		}
		if set.NArg() == 0 {
			return rest, nil
		}
		rest = append(rest, set.Arg(0))
		args = set.Args()[1:]
	}
}

// probe is the subcommand.
func probe(ctx context.Context, args []string, std streams) error {
	var o probeOptions
	if err := o.parse(args); errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(std.out, probeHelp)
		return nil
	} else if err != nil {
		return err
	}
	req, err := newRequest(&o.options, nil)
	if err != nil {
		return err
	}
	config, err := tlsConfig(&o.options, req.host)
	if err != nil {
		return err
	}
	config.NextProtos = []string{"http/1.1"}
	p := &prober{options: &o, req: req, config: config, progress: newProgress(std.err, terminalOf(std.err))}
	err = p.run(ctx)
	p.progress.done()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	f := p.findings()
	if o.json {
		if err != nil {
			f.Error = message(err)
		}
		enc := json.NewEncoder(std.out)
		enc.SetEscapeHTML(false)
		if jsonErr := enc.Encode(f); err == nil {
			err = jsonErr
		}
		return err
	}
	if err != nil {
		return err
	}
	_, err = io.WriteString(std.out, f.words())
	return err
}

// prober makes the connections of a probe.
type prober struct {
	options  *probeOptions
	req      *request
	config   *tls.Config
	progress *progress

	dialer   *tlstfo.Dialer
	sessions ticketCounter
	std      [2]stdContact // net/http, at first contact and again
	own      [2]contact    // tlstfo
}

// run makes the connections one after the other, all to the same address.
func (p *prober) run(ctx context.Context) error {
	addr := cmp.Or(p.options.connect, p.options.server)
	std := newStdClient(p.config)
	for i, when := range []string{"at first contact", "again"} {
		p.progress.say("net/http, " + when)
		if err := p.within(ctx, func(ctx context.Context) (err error) {
			p.std[i], err = std.contact(ctx, addr, p.req)
			return err
		}); err != nil {
			return err
		}
		addr = p.std[i].remote
	}
	const endless = math.MaxInt64 // the context ends it
	config := p.config.Clone()
	config.ClientSessionCache = tls.NewLRUClientSessionCache(0) // for what crypto/tls runs
	p.dialer = &tlstfo.Dialer{TLSConfig: config, Sessions: &p.sessions, Timeout: endless}
	for i, when := range []string{"at first contact", "again"} {
		p.progress.say("tlstfo, " + when)
		if err := p.within(ctx, func(ctx context.Context) (err error) {
			p.own[i], err = p.contact(ctx, addr, i == 1)
			return err
		}); err != nil {
			return err
		}
		if i == 0 {
			p.own[i].tickets = p.sessions.all()
		}
	}
	return nil
}

// within runs a connection within the timeout.
func (p *prober) within(ctx context.Context, connect func(context.Context) error) error {
	if d := p.options.timeout; d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, d, fmt.Errorf("no answer from %s within %v (see -timeout)", p.options.server, d))
		defer cancel()
	}
	err := connect(ctx)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
