package interop

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

// bodySize is the size of every response: bigger than any record of a handshake, small enough for one record and one
// initial congestion window.
const bodySize = 5000

var body = strings.Repeat("What did the server say to the client? ", bodySize)[:bodySize]

// nginx is an nginx in the lab and what its configuration depends on.
type nginx struct {
	t    *testing.T
	lab  *netlab.Lab
	cred *credentials
	*server

	Dir           string
	Cert, Key, CA string
	NoEarly       bool
	Curve         string // ssl_ecdh_curve
	Protocols     string // ssl_protocols
	VerifyClient  string // ssl_verify_client
	NoTickets     bool
	TicketKey     string // a file, or "" for a key of the process
	BackendSocket string
}

// nginxConfig has two servers: the one under test answers GET itself and passes the rest on to the second one, so that bodies are read and
// logged. The logs are the application's word.
var nginxConfig = template.Must(template.New("nginx").Parse(`
daemon off;
user root;
worker_processes 1;
pid {{.Dir}}/nginx.pid;
error_log {{.Dir}}/error.log info;
events { worker_connections 64; }
http {
	log_format delivered escape=json '{"early":"$ssl_early_data","request":"$request","length":$request_length,'
		'"body":"$request_body","reused":"$ssl_session_reused","protocol":"$ssl_protocol"}';
	client_body_temp_path {{.Dir}}/body;
	proxy_temp_path {{.Dir}}/proxy;
	fastcgi_temp_path {{.Dir}}/fastcgi;
	uwsgi_temp_path {{.Dir}}/uwsgi;
	scgi_temp_path {{.Dir}}/scgi;
	default_type text/plain;
	root {{.Dir}};

	server {
		listen 443 ssl fastopen=256;
		listen [::]:443 ssl fastopen=256 ipv6only=on;
		access_log {{.Dir}}/access.log delivered;
		ssl_certificate {{.Cert}};
		ssl_certificate_key {{.Key}};
		ssl_protocols {{if .Protocols}}{{.Protocols}}{{else}}TLSv1.2 TLSv1.3{{end}};
		ssl_early_data {{if .NoEarly}}off{{else}}on{{end}};
		{{if .Curve}}ssl_ecdh_curve {{.Curve}};{{end}}
		{{if .VerifyClient}}ssl_verify_client {{.VerifyClient}}; ssl_client_certificate {{.CA}};{{end}}
		{{if .NoTickets}}ssl_session_tickets off;{{end}}
		{{if .TicketKey}}ssl_session_ticket_key {{.TicketKey}};{{end}}
		location / {
			if ($request_method != GET) { proxy_pass http://unix:{{.BackendSocket}}; }
			try_files /page.txt =404;
		}
	}
	server {
		listen unix:{{.BackendSocket}};
		access_log off;
		error_page 405 =200 /page.txt;
		location / { try_files /page.txt =404; }
	}
}
`))

// startNginx starts nginx after change has adapted its configuration.
func startNginx(t *testing.T, lab *netlab.Lab, change func(*nginx)) *nginx {
	t.Helper()
	need(t, "nginx")
	cred := newCredentials(t)
	// A Unix socket's path must be short.
	dir, err := os.MkdirTemp("", "nginx")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	n := &nginx{t: t, lab: lab, cred: cred, Dir: dir, Cert: cred.cert, Key: cred.key, CA: cred.ca, BackendSocket: filepath.Join(dir, "backend")}
	if err := os.WriteFile(filepath.Join(dir, "page.txt"), []byte(body), 0o644); err != nil {
		t.Fatal(err)
	}
	n.keepTickets()
	if change != nil {
		change(n)
	}
	n.start()
	return n
}

// keepTickets makes a new ticket key that outlives a restart.
func (n *nginx) keepTickets() {
	n.t.Helper()
	key := make([]byte, 80)
	rand.Read(key)
	n.TicketKey = n.cred.write(n.t, "ticket.key", key)
}

// configure writes the configuration file and returns its path.
func (n *nginx) configure() string {
	n.t.Helper()
	var config bytes.Buffer
	if err := nginxConfig.Execute(&config, n); err != nil {
		n.t.Fatal(err)
	}
	path := filepath.Join(n.Dir, "nginx.conf")
	if err := os.WriteFile(path, config.Bytes(), 0o644); err != nil {
		n.t.Fatal(err)
	}
	return path
}

func (n *nginx) start() {
	n.t.Helper()
	os.Remove(n.BackendSocket)
	n.server = serve(n.t, n.lab, func(ctx context.Context) *exec.Cmd {
		return n.lab.Server.Command(ctx, "nginx", "-p", n.Dir, "-c", n.configure(), "-e", filepath.Join(n.Dir, "error.log"))
	})
}

// reload lets nginx read another configuration, and returns when the workers with the old one are gone.
func (n *nginx) reload(change func()) {
	n.t.Helper()
	change()
	n.configure()
	gone := func() int {
		return strings.Count(string(read(n.t, filepath.Join(n.Dir, "error.log"))), "exited with code 0")
	}
	before := gone()
	n.cmd.Process.Signal(syscall.SIGHUP)
	for range 500 {
		if gone() > before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	n.t.Fatal("nginx did not reload")
}

// restart starts nginx anew with another configuration. The kernel's Fast Open key stays, and with it the clients' cookies.
func (n *nginx) restart(change func()) {
	n.t.Helper()
	n.stop()
	change()
	n.start()
}

// check stops nginx and compares its log with what clients sent.
func (n *nginx) check(users ...*user) {
	n.t.Helper()
	n.stop()
	var log []delivered
	b, err := os.ReadFile(filepath.Join(n.Dir, "access.log"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		n.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var d delivered
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			n.t.Fatalf("nginx's log: %v: %s", err, line)
		}
		log = append(log, d)
	}
	var sent []*answer
	for _, u := range users {
		sent = append(sent, u.sent...)
	}
	checkDelivered(n.t, log, sent)
	if n.t.Failed() {
		errorLog, _ := os.ReadFile(filepath.Join(n.Dir, "error.log"))
		n.t.Logf("nginx's logs:\n%s\n%s", b, errorLog)
	}
}
