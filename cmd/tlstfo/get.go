package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/tlstfo/tlstfo"
)

const getHelp = `usage: tlstfo get [flags] URL

Requests an https:// URL over HTTP/1.1 or HTTP/2. The ClientHello rides in the SYN where
the system has a TCP Fast Open cookie of the server. GET, HEAD, OPTIONS and
TRACE requests without a body ride there too, as TLS 1.3 early data, where a
ticket of the server allows it: these may be replayed by an attacker, so
nothing else is ever early. Redirects are not followed.

  -n N            make N requests one after the other, each on a new connection (1)
  -early MODE     auto: safe requests ride in early data where a ticket allows it (default)
                  never: no early data
  -tfo MODE       auto: TCP Fast Open where system and server have it (default)
                  never: no TCP Fast Open
  -http VERSION   auto: HTTP/1.1 or HTTP/2, as the server chooses (default)
                  1.1, 2: nothing else
  -fingerprint NAME
                  send the ClientHello of a browser: chrome, firefox, safari, edge, ios,
                  chrome-120 ... (the compact hello, which fits a SYN)

  -X METHOD       the request method (GET, or POST with -d)
  -d DATA         the request body; @FILE reads it from a file, @- from standard input;
                  more than one are joined with &
  -H 'NAME: VALUE'
                  a request header field; may be given more than once

  -cacert FILE    trust the certificates in this PEM file, instead of the system's
  -cert FILE      a client certificate, PEM
  -key FILE       its key, PEM (the file of -cert)
  -servername NAME
                  the name to ask the server for and to verify (the URL's host)
  -connect HOST:PORT
                  dial this instead of the URL's host and port

  -sessions DIR   keep tickets in this folder between runs. Whoever reads it can
                  impersonate the servers to you
  -timeout D      the time that one request may take, 0 for no limit (30s)
  -wait D         pause between requests (0)
  -json           print one JSON object per request instead of the body

The members of the JSON object, all of them always there:
  n               the number of the request, from 1
  status, proto, body_bytes, body_sha256
                  the response
  tls, alpn, resumed, remote
                  the connection
  early           offered, accepted, bytes (sent early), reason
  tfo             way, cookie (sent, asked or none), syn_bytes (data in the SYN),
                  syn_acked, why (no data was in the SYN, or was not acknowledged)
  ms              dns; connect: to the SYN-ACK; first_byte: from the start of the dial,
                  after dns, to the first byte of the response; total: dns, dial and response
  error           why there is no response, or ""

The exit code is 0 if every request got a response, whatever its status; 1 if
not; 2 if the command line is wrong.
`

// options are the flags of get.
type options struct {
	n          int
	early      string
	tfo        string
	http       string
	hello      string // -fingerprint
	method     string
	data       []string
	fields     []string
	caCert     string
	cert, key  string
	serverName string
	connect    string
	sessions   string
	timeout    time.Duration
	wait       time.Duration
	json       bool
	url        string
}

func (o *options) flags() *flag.FlagSet {
	set := flag.NewFlagSet("get", flag.ContinueOnError)
	set.SetOutput(io.Discard) // run shows the error
	list := func(to *[]string) func(string) error {
		return func(s string) error { *to = append(*to, s); return nil }
	}
	set.IntVar(&o.n, "n", 1, "")
	set.StringVar(&o.early, "early", "auto", "")
	set.StringVar(&o.tfo, "tfo", "auto", "")
	set.StringVar(&o.http, "http", "auto", "")
	set.StringVar(&o.hello, "fingerprint", "", "")
	set.StringVar(&o.method, "X", "", "")
	set.Func("d", "", list(&o.data))
	set.Func("H", "", list(&o.fields))
	set.StringVar(&o.caCert, "cacert", "", "")
	set.StringVar(&o.cert, "cert", "", "")
	set.StringVar(&o.key, "key", "", "")
	set.StringVar(&o.serverName, "servername", "", "")
	set.StringVar(&o.connect, "connect", "", "")
	set.StringVar(&o.sessions, "sessions", "", "")
	set.DurationVar(&o.timeout, "timeout", 30*time.Second, "")
	set.DurationVar(&o.wait, "wait", 0, "")
	set.BoolVar(&o.json, "json", false, "")
	return set
}

// parse reads the command line. Flags may follow the URL.
func (o *options) parse(args []string) error {
	rest, err := parseFlags(o.flags(), args)
	if err != nil {
		return err
	}
	switch {
	case len(rest) == 0:
		return usageError("the URL is missing")
	case len(rest) > 1:
		return usageError(fmt.Sprintf("one URL at a time, not %q too", rest[1]))
	case o.n < 1:
		return usageError("-n must be at least 1")
	case o.early != "auto" && o.early != "never":
		return usageError("-early is auto or never")
	case o.tfo != "auto" && o.tfo != "never":
		return usageError("-tfo is auto or never")
	case !slices.Contains([]string{"auto", "1.1", "2"}, o.http):
		return usageError("-http is auto, 1.1 or 2")
	case o.timeout < 0 || o.wait < 0:
		return usageError("-timeout and -wait must not be negative")
	case o.key != "" && o.cert == "":
		return usageError("-key needs -cert")
	}
	if o.connect != "" {
		if _, port, err := net.SplitHostPort(o.connect); err != nil || port == "" {
			return usageError("-connect is HOST:PORT")
		}
	}
	o.url = rest[0]
	return nil
}

// get is the subcommand.
func get(ctx context.Context, args []string, std streams) error {
	var o options
	if err := o.parse(args); errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(std.out, getHelp)
		return nil
	} else if err != nil {
		return err
	}
	req, err := newRequest(&o, std.in)
	if err != nil {
		return err
	}
	config, err := tlsConfig(&o, req.host)
	if err != nil {
		return err
	}
	hello, err := helloBuilder(o.hello)
	if err != nil {
		return err
	}
	const endless = math.MaxInt64 // -timeout ends the requests, and nothing else does
	dialer := &tlstfo.Dialer{TLSConfig: config, NoFastOpen: o.tfo == "never", Timeout: endless, Hello: hello}
	if o.sessions != "" {
		sessions, err := tlstfo.OpenFileSessions(o.sessions, &tlstfo.FileSessionsOptions{
			OnError: func(err error) { show(std.err, err) },
		})
		if err != nil {
			return err
		}
		defer sessions.Close()
		dialer.Sessions = sessions
	}
	return newClient(&o, dialer, req).fetchAll(ctx, &o, req, std)
}

// fetchAll makes the requests one after the other. One that fails does not
// keep the next from its try.
func (c *client) fetchAll(ctx context.Context, o *options, req *request, std streams) error {
	answered := 0
	for n := 1; n <= o.n && ctx.Err() == nil; n++ {
		progress := newProgress(std.err, terminalOf(std.err))
		progress.say(fmt.Sprintf("request %d of %d: waiting for %s", n, o.n, c.addr))
		body := &bodyWriter{Writer: std.out, begun: progress.done}
		switch {
		case o.json:
			body.Writer = io.Discard
			fallthrough
		case !terminalOf(std.out).is: // where the body would be progress enough
			body.begun = sync.OnceFunc(func() {
				progress.say(fmt.Sprintf("request %d of %d: receiving from %s", n, o.n, c.addr))
			})
		}
		rep := report{N: n}
		err := c.fetch(ctx, o.timeout, req, body, &rep)
		progress.done()
		switch {
		case err == nil:
			answered++
		case ctx.Err() == nil:
			show(std.err, err)
		}
		if o.json {
			if err := rep.print(std.out, err); err != nil {
				return err
			}
		}
		// The tickets of this connection are for the next one. Close bounds the
		// wait: two round trips and the server's time.
		between := newProgress(std.err, terminalOf(std.err))
		between.say(fmt.Sprintf("request %d of %d is over: waiting for tickets, and for the next", n, o.n))
		c.transport.Flush(ctx)
		if n < o.n {
			pause(ctx, o.wait)
		}
		between.done()
	}
	switch {
	case answered == o.n:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return errShown
}

// bodyWriter says when something is written.
type bodyWriter struct {
	io.Writer
	begun func()
}

func (w *bodyWriter) Write(p []byte) (int, error) {
	w.begun()
	return w.Writer.Write(p)
}

// noProxy: the command connects by itself.
func noProxy(*http.Request) (*url.URL, error) { return nil, nil }

// pause waits for a time, or for the end of the context.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
