package interop

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"strings"

	"github.com/tlstfo/tlstfo"
	"github.com/tlstfo/tlstfo/tfohttp"
)

// The ways in which the process of httpMain makes a request: over the versions of HTTP by name.
const (
	http1 = "http/1.1"
	http2 = "h2"
)

// httpMain makes requests as clientMain, through a tfohttp.Transport for each version of HTTP. Every one dials: between them the connections are closed.
func httpMain(args []string) error {
	var p profile
	if err := json.Unmarshal([]byte(args[0]), &p); err != nil {
		return err
	}
	config, err := p.config()
	if err != nil {
		return err
	}
	transports := map[string]*tfohttp.Transport{}
	for way, set := range map[string]func(*http.Protocols, bool){http1: (*http.Protocols).SetHTTP1, http2: (*http.Protocols).SetHTTP2} {
		only := new(http.Protocols)
		set(only, true)
		transports[way] = &tfohttp.Transport{
			Dialer:    &tlstfo.Dialer{TLSConfig: config.Clone(), NoFastOpen: p.NoFastOpen, Timeout: patience},
			Protocols: only,
			Proxy:     func(*http.Request) (*url.URL, error) { return nil, nil },
		}
	}
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var o order
		if err := in.Decode(&o); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		a := &answer{}
		if err := doHTTP(transports[o.Way], o, a); err != nil {
			a.Err = err.Error()
		}
		if err := out.Encode(a); err != nil {
			return err
		}
	}
}

// doHTTP makes one request.
func doHTTP(t *tfohttp.Transport, o order, a *answer) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	switch o.Method {
	case "SUITE":
		return suiteHTTP(ctx, t, "https://"+o.Addr)
	case "MIX":
		return mixHTTP(ctx, t, "https://"+o.Addr)
	case "SHORT":
		host, _, err := net.SplitHostPort(o.Addr)
		if err != nil {
			return err
		}
		return shortHTTP(ctx, t, "https://"+net.JoinHostPort(host, shortPort))
	case "PUSH":
		return pushHTTP(ctx, t, "https://"+o.Addr)
	}
	var conn *tfohttp.Conn
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) { conn = i.Conn.(*tfohttp.Conn) },
	}), o.Method, "https://"+o.Addr+o.Path, strings.NewReader(o.Body))
	if err != nil {
		return err
	}
	if req.Host = serverName; o.Body == "" {
		req.Body = nil
	}
	resp, err := t.RoundTrip(req)
	if err != nil {
		return err
	}
	if err := fillResponse(a, resp); err != nil {
		return err
	}
	fill(a, conn.TLS())
	t.CloseIdleConnections()
	return t.Flush(ctx)
}
