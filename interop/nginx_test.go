package interop

import (
	"bytes"
	"context"
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

// nginx is an nginx in the lab and what its configuration depends on.
type nginx struct {
	t    *testing.T
	lab  *netlab.Lab
	cred *credentials
	*server

	settings
	Dir, Cert, Key, CA, TicketKey string
	Backend                       string // a Unix socket
}

// nginxConfig has two servers: the one under test answers a plain GET itself and passes the rest on to the second one, so that bodies are read
// and logged. The log is the application's word.
var nginxConfig = template.Must(template.New("nginx").Parse(`
daemon off;
user root;
worker_processes 1;
pid {{.Dir}}/nginx.pid;
error_log {{.Dir}}/error.log info;
events { worker_connections 64; }
http {
	map $request_method:$content_length $has_body { GET: 0; default 1; }
	map $ssl_early_data $early { default $ssl_early_data; "" 0; }
	log_format delivered escape=json '{"request":"$request","body":"$request_body","length":$request_length,"early":"$early"}';
	client_body_temp_path {{.Dir}}/body;
	proxy_temp_path {{.Dir}}/proxy;
	fastcgi_temp_path {{.Dir}}/fastcgi;
	uwsgi_temp_path {{.Dir}}/uwsgi;
	scgi_temp_path {{.Dir}}/scgi;
	default_type text/plain;
	root {{.Dir}};

	server {
		listen 443 ssl fastopen={{or .Queue 256}};
		listen [::]:443 ssl fastopen={{or .Queue 256}} ipv6only=on;
		access_log {{.Dir}}/access.log delivered;
		ssl_certificate {{.Cert}};
		ssl_certificate_key {{.Key}};
		ssl_protocols TLSv1.2 {{if not .TLS12}}TLSv1.3{{end}};
		ssl_early_data {{if .NoEarly}}off{{else}}on{{end}};
		{{if .Curve}}ssl_ecdh_curve {{.Curve}};{{end}}
		{{if .Verify}}ssl_verify_client {{if eq .Verify "required"}}on{{else}}{{.Verify}}{{end}}; ssl_client_certificate {{.CA}};{{end}}
		{{if .KeepTickets}}ssl_session_ticket_key {{.TicketKey}};{{end}}
		location / {
			if ($has_body) { proxy_pass http://unix:{{.Backend}}; }
			try_files /page.txt =404;
		}
	}
	server {
		listen unix:{{.Backend}};
		access_log off;
		error_page 405 =200 /page.txt;
		location / { try_files /page.txt =404; }
	}
}
`))

// startNginx starts nginx after change has adapted its settings.
func startNginx(t *testing.T, lab *netlab.Lab, change func(*settings)) *nginx {
	t.Helper()
	need(t, "nginx")
	cred := newCredentials(t)
	dir, err := os.MkdirTemp("", "nginx") // shorter than t.TempDir: it has a Unix socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	n := &nginx{t: t, lab: lab, cred: cred, Dir: dir, Cert: cred.cert, Key: cred.key, CA: cred.ca, Backend: filepath.Join(dir, "backend")}
	if err := os.WriteFile(filepath.Join(dir, "page.txt"), []byte(body), 0o644); err != nil {
		t.Fatal(err)
	}
	n.TicketKey = cred.write(t, "ticket.key", randomKey())
	if change != nil {
		change(&n.settings)
	}
	n.start()
	return n
}

func (n *nginx) credentials() *credentials { return n.cred }

func (n *nginx) earlyTurns() int { return 1 }

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
	os.Remove(n.Backend)
	n.server = serve(n.t, n.lab, func(ctx context.Context) *exec.Cmd {
		return n.lab.Server.Command(ctx, "nginx", "-p", n.Dir, "-c", n.configure(), "-e", filepath.Join(n.Dir, "error.log"))
	})
}

// change lets nginx reload its configuration, and returns when the worker with the old one is gone.
func (n *nginx) change(change func(*settings)) {
	n.t.Helper()
	change(&n.settings)
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

// restart starts nginx anew. The kernel's Fast Open key stays, and with it the clients' cookies.
func (n *nginx) restart() {
	n.t.Helper()
	n.stop()
	n.start()
}

func (n *nginx) check(users ...*user) {
	n.t.Helper()
	log := n.log()
	checkDelivered(n.t, log, users)
	if n.t.Failed() {
		errorLog, _ := os.ReadFile(filepath.Join(n.Dir, "error.log"))
		n.t.Logf("nginx's logs:\n%+v\n%s", log, errorLog)
	}
}

// log stops nginx and returns what its application saw.
func (n *nginx) log() (log []delivered) {
	n.t.Helper()
	n.stop()
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
	return log
}
