package interop

import (
	"crypto/rand"
	"strings"
	"testing"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

// bodySize is the size of every response: bigger than any record of a handshake, small enough for one record and one
// initial congestion window.
const bodySize = 5000

var body = strings.Repeat("What did the server say to the client? ", bodySize)[:bodySize]

// settings are what the tests vary in a web server.
type settings struct {
	NoEarly bool
	Curve   string // the only group, or ""
	TLS12   bool   // no TLS 1.3
	Verify  string // client certificates: "", "optional" or "required"
	Queue   int    // connections that Fast Open may begin at once, 0: many

	// KeepTickets gives the server a file with ticket keys, so that sessions outlive a restart. (HAProxy then gives no ticket on a
	// resumption, as OpenSSL renews no ticket that an application's key opened, unless told to. nginx tells it.)
	KeepTickets bool
}

// A webServer is one of the servers that are tested alike. Each answers GET and POST with body, over IPv4 and IPv6.
type webServer interface {
	credentials() *credentials
	// change brings other settings into force, as gently as the server can.
	change(func(*settings))
	// restart makes a new process.
	restart()
	// check stops the server and compares its log with what clients sent.
	check(...*user)
	// earlyTurns is how many round trips a response takes whose request was early data.
	earlyTurns() int
}

// webServers runs a test with every web server, over IPv4 and IPv6. Each gets a lab of its own.
func webServers(t *testing.T, change func(*settings), f func(t *testing.T, w webServer, newUser func(profile) *user)) {
	for name, start := range map[string]func(*testing.T, *netlab.Lab, func(*settings)) webServer{
		"nginx": func(t *testing.T, lab *netlab.Lab, change func(*settings)) webServer {
			return startNginx(t, lab, change)
		},
		"HAProxy": func(t *testing.T, lab *netlab.Lab, change func(*settings)) webServer {
			return startHAProxy(t, lab, change)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			versions(t, func(t *testing.T, lab *netlab.Lab, ip string) {
				w := start(t, lab, change)
				f(t, w, func(p profile) *user {
					p.CA = w.credentials().ca
					u := newUser(t, lab, ip, p)
					u.early = w.earlyTurns()
					return u
				})
			})
		})
	}
}

// randomKey is a ticket key as nginx and HAProxy want it: 80 bytes, for a name, AES-256 and HMAC-SHA256.
func randomKey() []byte {
	key := make([]byte, 80)
	rand.Read(key)
	return key
}

// delivered is a request as the server's application saw it.
type delivered struct {
	Request string `json:"request"` // the request line
	Body    string `json:"body"`    // its body
	Length  int    `json:"length"`  // bytes of the request with its head; 0: the server does not say
	Early   string `json:"early"`   // "1" if it came as early data, "0" if not; "": the server does not say
}

// checkDelivered compares what the application saw with what was sent: every request exactly once, every byte of it, and nothing unsafe early.
func checkDelivered(t *testing.T, log []delivered, users []*user) {
	t.Helper()
	saw := map[string][]delivered{}
	for _, d := range log {
		saw[d.Request] = append(saw[d.Request], d)
	}
	for _, u := range users {
		for _, a := range u.sent {
			line := a.order.Method + " " + a.order.Path + " HTTP/1.1"
			if len(saw[line]) == 0 {
				t.Errorf("%q did not reach the application", line)
				continue
			}
			checkOne(t, saw[line][0], a)
			saw[line] = saw[line][1:]
		}
	}
	for line, again := range saw {
		if len(again) > 0 {
			t.Errorf("%q reached the application %d times too often: %+v", line, len(again), again)
		}
	}
}

func checkOne(t *testing.T, d delivered, a *answer) {
	t.Helper()
	isEarly := "0"
	if a.Early.Accepted {
		isEarly = "1"
	}
	if d.Body != a.order.Body || d.Length != 0 && a.size != 0 && d.Length != a.size {
		t.Errorf("%q: the application got %d bytes with the body %q, want %d with %q", d.Request, d.Length, d.Body, a.size, a.order.Body)
	}
	if d.Early != "" && d.Early != isEarly {
		t.Errorf("%q: early data according to the server %s, to the client %s", d.Request, d.Early, isEarly)
	}
	if (a.order.Method != "GET" || a.order.Body != "") && (d.Early == "1" || a.Early.Offered) {
		t.Errorf("%q was early", d.Request)
	}
}
