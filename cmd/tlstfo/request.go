package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// request is what is to be requested.
type request struct {
	http      *http.Request // of which each try takes a copy
	method    string
	host      string // of the URL, without the brackets and the zone of an IPv6 literal
	addr      string // host:port to dial
	hostField string // the Host field
	bytes     []byte // as it goes over the wire with HTTP/1.1
}

// newRequest makes the request that the options ask for.
func newRequest(o *options, stdin io.Reader) (*request, error) {
	u, err := parseURL(o.url)
	if err != nil {
		return nil, err
	}
	method, body, err := methodAndBody(o, stdin)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequest(method, u.String(), body)
	if err != nil {
		return nil, usageError(plainURLError(err))
	}
	req.Header.Set("User-Agent", userAgent)
	if body != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded") // as curl -d
	}
	if u.User != nil {
		password, _ := u.User.Password()
		req.SetBasicAuth(u.User.Username(), password)
	}
	if err := addFields(req, o.fields); err != nil {
		return nil, err
	}
	var wire bytes.Buffer
	if err := req.Write(&wire); err != nil {
		return nil, usageError(err.Error())
	}
	host, _, _ := strings.Cut(u.Hostname(), "%")
	port := u.Port()
	if port == "" {
		port = "443"
	}
	addr := cmp.Or(o.connect, net.JoinHostPort(u.Hostname(), port))
	req.URL.Host, req.URL.User = addr, nil // Host and Authorization are set
	return &request{
		http:      req,
		method:    method,
		host:      host,
		addr:      addr,
		hostField: req.Host,
		bytes:     wire.Bytes(),
	}, nil
}

// fresh returns a copy of the request for one try.
func (r *request) fresh(ctx context.Context) (*http.Request, error) {
	req := r.http.Clone(ctx)
	if r.http.GetBody == nil {
		return req, nil
	}
	body, err := r.http.GetBody()
	req.Body = body
	return req, err
}

// parseURL accepts https:// URLs only.
func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, usageError("the URL is wrong: " + plainURLError(err))
	}
	switch {
	case u.Scheme == "http":
		return nil, usageError("http:// has no TLS, and this command speaks nothing else: use https://")
	case u.Scheme != "https" || u.Host == "":
		return nil, usageError("the URL must begin with https:// and a host")
	case u.Hostname() == "":
		return nil, usageError("the URL has no host")
	}
	for _, r := range u.Hostname() {
		if r >= 0x80 {
			return nil, usageError("the URL's host has letters beyond ASCII: write it in its xn-- form")
		}
	}
	return u, nil
}

// plainURLError leaves the URL out of an error: it may hold a password.
func plainURLError(err error) string {
	if e := (*url.Error)(nil); errors.As(err, &e) {
		return e.Err.Error()
	}
	return err.Error()
}

// methodAndBody returns a nil body if no -d was given.
func methodAndBody(o *options, stdin io.Reader) (string, io.Reader, error) {
	method := o.method
	switch {
	case method == http.MethodConnect:
		return "", nil, usageError("-X CONNECT is for proxies")
	case method == "" && o.data == nil:
		method = http.MethodGet
	case method == "":
		method = http.MethodPost
	}
	if o.data == nil {
		return method, nil, nil
	}
	var parts [][]byte
	for _, data := range o.data {
		part := []byte(data)
		if file, ok := strings.CutPrefix(data, "@"); ok {
			var err error
			if file == "-" {
				part, err = io.ReadAll(stdin)
			} else {
				part, err = os.ReadFile(file)
			}
			if err != nil {
				return "", nil, fmt.Errorf("cannot read the request body: %w", err)
			}
		}
		parts = append(parts, part)
	}
	return method, bytes.NewReader(bytes.Join(parts, []byte("&"))), nil
}

// addFields adds header fields as written in -H. The first of a name replaces
// what the command sets itself.
func addFields(req *http.Request, fields []string) error {
	seen := make(map[string]bool)
	for _, field := range fields {
		name, value, ok := strings.Cut(field, ":")
		value = strings.Trim(value, " \t")
		if !ok || !isToken(name) || strings.ContainsFunc(value, isControl) {
			return usageError(fmt.Sprintf("-H %q is not 'Name: value'", field))
		}
		name = http.CanonicalHeaderKey(name)
		switch name {
		case "Content-Length", "Transfer-Encoding", "Trailer":
			return usageError("-H cannot set " + name + ": it follows from -d")
		case "Host":
			if value == "" || strings.ContainsAny(value, " /@") {
				return usageError(fmt.Sprintf("-H %q has no host", field))
			}
			req.Host = value
			continue
		}
		if !seen[name] {
			req.Header.Del(name)
		}
		seen[name] = true
		req.Header.Add(name, value)
	}
	return nil
}

// isToken is RFC 9110, section 5.6.2.
func isToken(s string) bool {
	const marks = "!#$%&'*+-.^_`|~"
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !('0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || strings.ContainsRune(marks, r))
	})
}

func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }
