package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"text/template"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

// A site is a web server that speaks both versions of HTTP, with early data, in the lab. It answers every request with body.
type site struct {
	t *testing.T
	*server
	log func() string

	CA, Cert, Key, Both, Page, Dir string
}

// requested is a request as a site logs it.
type requested struct {
	Request string `json:"request"` // "METHOD path protocol"
	Early   string `json:"early"`   // "1": it came as early data
}

var siteNginx = template.Must(template.New("nginx").Parse(`
daemon off;
user root;
worker_processes 1;
pid {{.Dir}}/nginx.pid;
error_log {{.Dir}}/error.log info;
events { worker_connections 512; }
http {
	map $ssl_early_data $early { default $ssl_early_data; "" 0; }
	log_format requested escape=json '{"request":"$request","early":"$early"}';
	access_log {{.Dir}}/access.log requested;
	client_body_temp_path {{.Dir}}/body;
	proxy_temp_path {{.Dir}}/proxy;
	fastcgi_temp_path {{.Dir}}/fastcgi;
	uwsgi_temp_path {{.Dir}}/uwsgi;
	scgi_temp_path {{.Dir}}/scgi;
	default_type text/plain;
	root {{.Dir}};
	server {
		listen 443 ssl http2 fastopen=256;
		listen [::]:443 ssl http2 fastopen=256 ipv6only=on;
		ssl_certificate {{.Cert}};
		ssl_certificate_key {{.Key}};
		ssl_protocols TLSv1.3;
		ssl_early_data on;
		error_page 405 =200 /page.txt;
		location / { try_files /page.txt =404; }
		location = /pushing { http2_push /pushed; try_files /page.txt =404; }
		location /app/ {
			proxy_pass http://` + backendAddr + `;
			proxy_http_version 1.1;
			proxy_request_buffering off;
			proxy_set_header Early-Data $ssl_early_data;
			client_max_body_size 0;
		}
	}
	server { # ends each connection after a few requests, over HTTP/2 by GOAWAY
		listen ` + shortPort + ` ssl http2 fastopen=256;
		keepalive_requests ` + shortRequests + `;
		ssl_certificate {{.Cert}};
		ssl_certificate_key {{.Key}};
		ssl_protocols TLSv1.3;
		ssl_early_data on;
		error_page 405 =200 /page.txt;
		location / { try_files /page.txt =404; }
	}
}
`))

var siteHAProxy = template.Must(template.New("haproxy").Parse(`
global
	log stdout len 8192 format raw daemon
defaults
	mode http
	timeout client 10s
	timeout http-request 10s
	timeout http-keep-alive 10s
frontend tls
	bind :443 tfo ssl crt {{.Both}} alpn h2,http/1.1 allow-0rtt
	bind :::443 v6only tfo ssl crt {{.Both}} alpn h2,http/1.1 allow-0rtt
	http-request set-var(txn.path) path
	log-format '{"request":"%HM %[var(txn.path)] %HV"}'
	log global
	http-request return status 200 content-type text/plain file {{.Page}} if !{ path_beg /app/ }
	default_backend app
backend app
	timeout connect 10s
	timeout server 10s
	server app ` + backendAddr + `
`))

// startSite starts a site of a kind: "nginx" or "HAProxy".
func startSite(t *testing.T, lab *netlab.Lab, kind string) *site {
	t.Helper()
	need(t, strings.ToLower(kind))
	cred := newCredentials(t)
	s := &site{t: t, CA: cred.ca, Cert: cred.cert, Key: cred.key, Both: cred.both, Dir: t.TempDir()}
	s.Page = filepath.Join(s.Dir, "page.txt")
	if err := os.WriteFile(s.Page, []byte(body), 0o644); err != nil {
		t.Fatal(err)
	}
	about, args := siteNginx, []string{"nginx", "-p", s.Dir, "-e", filepath.Join(s.Dir, "error.log"), "-c"}
	s.log = func() string { return string(read(t, filepath.Join(s.Dir, "access.log"))) }
	if kind == "HAProxy" {
		about, args = siteHAProxy, []string{"haproxy", "-db", "-f"}
		s.log = func() string { return s.output.String() }
	}
	var config bytes.Buffer
	if err := about.Execute(&config, s); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.Dir, "server.conf")
	if err := os.WriteFile(path, config.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	s.server = serve(t, lab, func(ctx context.Context) *exec.Cmd {
		return lab.Server.Command(ctx, args[0], append(args[1:], path)...)
	})
	return s
}

// requests stops the site and returns what it was asked.
func (s *site) requests() (all []requested) {
	s.t.Helper()
	s.stop()
	for line := range strings.Lines(s.log()) {
		if !strings.HasPrefix(line, "{") {
			continue // its own messages
		}
		var r requested
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			s.t.Fatalf("the log: %v: %s", err, line)
		}
		all = append(all, r)
	}
	return all
}

// safely stops the site, and fails the test if anything but a GET came early, or came twice without having come early. It returns how many requests
// there were, and how many came early.
func (s *site) safely() (requests, early int) {
	s.t.Helper()
	times, wasEarly := map[string]int{}, map[string]bool{}
	for _, r := range s.requests() {
		times[r.Request]++
		if r.Early != "1" {
			continue
		}
		early++
		wasEarly[r.Request] = true
		if !strings.HasPrefix(r.Request, "GET ") {
			s.t.Errorf("%q came early", r.Request)
		}
	}
	for request, n := range times {
		if n > 1 && !(n == 2 && wasEarly[request]) {
			s.t.Errorf("%q came %d times", request, n)
		}
	}
	return len(times), early
}
