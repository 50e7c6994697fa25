package interop

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"text/template"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

// haproxy is a HAProxy in the lab and what its configuration depends on.
type haproxy struct {
	t    *testing.T
	lab  *netlab.Lab
	cred *credentials
	*server
	logged string // by processes that were stopped

	settings
	CA, Both, Page, TicketKey string
}

// haproxyConfig answers every request itself, after it has read the whole body, and logs what it got.
var haproxyConfig = template.Must(template.New("haproxy").Parse(`
global
	log stdout len 8192 format raw daemon
defaults
	mode http
	timeout client 10s
	timeout http-request 10s
	timeout http-keep-alive 10s
frontend tls
	bind :443 {{template "bind" .}}
	bind :::443 v6only {{template "bind" .}}
	option http-buffer-request
	http-request set-var(txn.body) req.body,base64
	log-format '{"request":"%HM %HU %HV","base64":"%[var(txn.body)]"}'
	log global
	http-request return status 200 content-type text/plain file {{.Page}}
{{define "bind"}}tfo ssl crt {{.Both}} alpn http/1.1 {{if .KeepTickets}}tls-ticket-keys {{.TicketKey}}{{end -}}
	{{if not .NoEarly}} allow-0rtt{{end}}{{if .Curve}} curves {{.Curve}}{{end}}{{if .TLS12}} ssl-max-ver TLSv1.2{{end -}}
	{{if .Verify}} verify {{.Verify}} ca-file {{.CA}}{{end}}{{end}}
`))

func startHAProxy(t *testing.T, lab *netlab.Lab, change func(*settings)) *haproxy {
	t.Helper()
	need(t, "haproxy")
	cred := newCredentials(t)
	h := &haproxy{t: t, lab: lab, cred: cred, CA: cred.ca, Both: cred.both, Page: cred.write(t, "page.txt", []byte(body))}
	var keys bytes.Buffer
	for range 3 { // the least that it wants
		keys.WriteString(base64.StdEncoding.EncodeToString(randomKey()) + "\n")
	}
	h.TicketKey = h.cred.write(h.t, "ticket.keys", keys.Bytes())
	if change != nil {
		change(&h.settings)
	}
	h.start()
	return h
}

func (h *haproxy) credentials() *credentials { return h.cred }

// earlyTurns: HAProxy takes early data and answers after the handshake.
func (h *haproxy) earlyTurns() int { return 2 }

func (h *haproxy) start() {
	h.t.Helper()
	var config bytes.Buffer
	if err := haproxyConfig.Execute(&config, h); err != nil {
		h.t.Fatal(err)
	}
	path := h.cred.write(h.t, "haproxy.cfg", config.Bytes())
	h.server = serve(h.t, h.lab, func(ctx context.Context) *exec.Cmd { return h.lab.Server.Command(ctx, "haproxy", "-db", "-f", path) })
}

func (h *haproxy) change(change func(*settings)) {
	h.t.Helper()
	change(&h.settings)
	h.restart()
}

func (h *haproxy) restart() {
	h.t.Helper()
	h.end()
	h.start()
}

func (h *haproxy) end() {
	h.t.Helper()
	h.stop()
	h.logged += h.output.String()
}

func (h *haproxy) check(users ...*user) {
	h.t.Helper()
	h.end()
	var log []delivered
	for line := range strings.Lines(h.logged) {
		if !strings.HasPrefix(line, "{") {
			continue // its own messages
		}
		var d struct{ Request, Base64 string }
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			h.t.Fatalf("HAProxy's log: %v: %s", err, line)
		}
		content, _ := base64.StdEncoding.DecodeString(d.Base64) // "-" if there is none
		log = append(log, delivered{Request: d.Request, Body: string(content)})
	}
	checkDelivered(h.t, log, users)
}
