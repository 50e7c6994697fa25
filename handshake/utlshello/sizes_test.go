package utlshello

import (
	"crypto/tls"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	utls "github.com/refraction-networking/utls"

	"github.com/tlstfo/tlstfo/handshake"
)

// What a SYN carries over IPv4 at an MTU of 1500, and what early data needs beside its bytes: change_cipher_spec, and a record's
// header, type and tag.
const (
	synBudget = 1420
	earlyCost = 6 + 22
)

// TestSizes: the table of docs/fingerprints.md is what the presets weigh.
func TestSizes(t *testing.T) {
	const file = "../../docs/fingerprints.md"
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	for _, id := range slices.SortedFunc(slices.Values(usable), func(a, b utls.ClientHelloID) int { return strings.Compare(a.Str(), b.Str()) }) {
		fmt.Fprintf(&table, "| `%s` | %s |\n", id.Str(), sizes(t, id, nil))
		if slices.Contains(current, id) && id == utls.HelloChrome_Auto {
			fmt.Fprintf(&table, "| `%s`, CurvePreferences without X25519MLKEM768 | %s |\n", id.Str(), sizes(t, id, []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384}))
		}
	}
	if !strings.Contains(string(doc), table.String()) {
		t.Errorf("%s does not have this table:\n%s", file, table.String())
	}
}

// sizes describes the largest first flights of a preset: they vary by the GREASE of encrypted_client_hello.
func sizes(t *testing.T, id utls.ClientHelloID, groups []tls.CurveID) string {
	first := largest(t, id, groups, nil)
	cfg, _ := resumed(t, id)
	session := *cfg.Session
	if session.Ticket = make([]byte, 256); session.CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
		t.Errorf("%s: the suite is %x", id.Str(), session.CipherSuite)
	}
	warm := largest(t, id, groups, &session)
	room := "no"
	if n := synBudget - warm - earlyCost; n > 0 {
		room = fmt.Sprint(n)
	}
	fits := "no"
	if first <= synBudget {
		fits = "yes"
	}
	return fmt.Sprintf("%d | %s | %d | %s", first, fits, warm, room)
}

func largest(t *testing.T, id utls.ClientHelloID, groups []tls.CurveID, session *handshake.Session) (size int) {
	for range 200 {
		cfg, _ := setup(t, Fingerprint(id))
		cfg.Groups, cfg.Session, cfg.EarlyData = groups, session, session != nil
		c, err := handshake.NewClient(cfg)
		if err != nil {
			t.Fatal(err)
		}
		size = max(size, c.HelloLen())
		h := hellosIn(t, c.AppendOutput(nil))[0]
		if i := h.index(0xfe0d); i < 0 || len(h.extensions[i].data) >= 10+32+224+16 || !isShuffled(id) {
			return size
		}
	}
	t.Fatalf("%s: no hello with the longest GREASE was drawn", id.Str())
	return 0
}
