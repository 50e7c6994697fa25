package tfogrpc

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

// nginxConfig is an nginx before a backend.
const nginxConfig = `
daemon off;
user root;
worker_processes 1;
pid DIR/nginx.pid;
error_log stderr warn;
events { worker_connections 64; }
http {
	access_log off;
	client_body_temp_path DIR/body;
	proxy_temp_path DIR/proxy;
	fastcgi_temp_path DIR/fastcgi;
	uwsgi_temp_path DIR/uwsgi;
	scgi_temp_path DIR/scgi;
	server {
		listen 443 ssl http2 fastopen=256;
		listen [::]:443 ssl http2 fastopen=256 ipv6only=on;
		ssl_certificate DIR/cert.pem;
		ssl_certificate_key DIR/key.pem;
		ssl_protocols TLSv1.2 TLSv1.3;
		ssl_early_data on;
		location / { grpc_pass grpc://unix:DIR/backend; }
	}
}
`

// serveNginx starts nginx, and a backend, in the folder of the files.
func serveNginx(t *testing.T, lab *netlab.Lab, f files) {
	t.Helper()
	if _, err := exec.LookPath("nginx"); err != nil {
		netlab.Missing(t, "nginx (install the package nginx)")
	}
	dir := string(f)
	serve(t, lab, "backend", filepath.Join(dir, "backend"))
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(nginxConfig, "DIR", dir)), 0o644); err != nil {
		t.Fatal(err)
	}
	launch(t, lab.Server.Command(context.Background(), "nginx", "-p", dir, "-c", path, "-e", "stderr"))
	awaitListening(t, lab)
}

// haproxyConfig is a HAProxy before a backend.
const haproxyConfig = `
defaults
	mode http
	timeout connect 10s
	timeout client 10s
	timeout server 10s
frontend tls
	bind :443 tfo ssl crt DIR/both.pem alpn h2 allow-0rtt
	bind :::443 v6only tfo ssl crt DIR/both.pem alpn h2 allow-0rtt
	default_backend grpc
backend grpc
	server one unix@DIR/backend proto h2
`

// serveHAProxy starts HAProxy, and a backend, in the folder of the files.
func serveHAProxy(t *testing.T, lab *netlab.Lab, f files) {
	t.Helper()
	if _, err := exec.LookPath("haproxy"); err != nil {
		netlab.Missing(t, "haproxy (install the package haproxy)")
	}
	dir := string(f)
	serve(t, lab, "backend", filepath.Join(dir, "backend"))
	cert, err1 := os.ReadFile(f.cert())
	key, err2 := os.ReadFile(f.key())
	config := []byte(strings.ReplaceAll(haproxyConfig, "DIR", dir))
	path := filepath.Join(dir, "haproxy.cfg")
	err3 := os.WriteFile(filepath.Join(dir, "both.pem"), append(cert, key...), 0o644)
	if err := errors.Join(err1, err2, err3, os.WriteFile(path, config, 0o644)); err != nil {
		t.Fatal(err)
	}
	launch(t, lab.Server.Command(context.Background(), "haproxy", "-db", "-f", path))
	awaitListening(t, lab)
}

// awaitListening waits until something on the server's host listens on the port, over IPv4 and, where there is any, over IPv6.
func awaitListening(t *testing.T, lab *netlab.Lab) {
	t.Helper()
	if out, err := lab.Server.Func(soon(t), "listening").CombinedOutput(); err != nil {
		t.Fatalf("the server does not listen: %v\n%s", err, out)
	}
}

// listeningMain looks instead of connecting: no server sees it.
func listeningMain([]string) error {
	listening := regexp.MustCompile(`:01BB [0-9A-F]+:0000 0A `) // port 443, and the state, as the kernel prints them
	for range 500 {
		v4, err := os.ReadFile("/proc/thread-self/net/tcp")
		if err != nil {
			return err
		}
		v6, err := os.ReadFile("/proc/thread-self/net/tcp6")
		if listening.Match(v4) && (err != nil || listening.Match(v6)) {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return errors.New("nothing listens")
}
