package handshake

import (
	"bytes"
	"crypto/tls"
	"slices"
	"testing"
	"time"
)

func TestNewSessionTicketRules(t *testing.T) {
	r := &resumption{suite: suiteByID(tls.TLS_AES_128_GCM_SHA256), template: Session{Secret: make([]byte, 32), CipherSuite: tls.TLS_AES_128_GCM_SHA256}}
	ticket := func(lifetime uint32, rest ...byte) []byte {
		return append([]byte{byte(lifetime >> 24), byte(lifetime >> 16), byte(lifetime >> 8), byte(lifetime), 0, 0, 0, 5}, rest...)
	}
	for _, test := range []struct {
		rule string
		body []byte
		want Fault
		kept bool
	}{
		{"plain", ticket(60, 0, 0, 1, 9, 0, 0), 0, true},
		{"with early data", ticket(60, 1, 1, 0, 1, 9, 0, 8, 0, 42, 0, 4, 0, 0, 1, 0), 0, true},
		{"unknown extensions are ignored", ticket(60, 0, 0, 1, 9, 0, 4, 0x12, 0x34, 0, 0), 0, true},
		{"seven days", ticket(604800, 0, 0, 1, 9, 0, 0), 0, true},
		{"more than seven days", ticket(604801, 0, 0, 1, 9, 0, 0), FaultBadTicket, false},
		{"lifetime zero: discarded", ticket(0, 0, 0, 1, 9, 0, 0), 0, false},
		{"an empty ticket", ticket(60, 0, 0, 0, 0, 0), FaultDecode, false},
		{"an extension twice", ticket(60, 0, 0, 1, 9, 0, 16, 0, 42, 0, 4, 0, 0, 1, 0, 0, 42, 0, 4, 0, 0, 1, 0), FaultDuplicateExtension, false},
		{"bad early_data", ticket(60, 0, 0, 1, 9, 0, 6, 0, 42, 0, 2, 1, 0), FaultDecode, false},
		{"trailing bytes", ticket(60, 0, 0, 1, 9, 0, 0, 1), FaultDecode, false},
		{"cut short", ticket(60, 0, 0, 1, 9), FaultDecode, false},
		{"too large for a hello: discarded", append(ticket(60, 0, 0x80, 0x01), make([]byte, 0x8001+2)...), 0, false},
	} {
		s, fault := r.session(test.body, testTime)
		if fault != test.want || (s != nil) != test.kept {
			t.Errorf("%s: %v, kept %v", test.rule, fault, s != nil)
		}
		if s != nil && (s.AgeAdd != 5 || !bytes.Equal(s.Ticket, []byte{9}) || !s.ReceivedAt.Equal(testTime) || s.Lifetime < time.Minute) {
			t.Errorf("%s: %+v", test.rule, s)
		}
	}
	// The nonce makes each ticket's PSK another (section 4.6.1).
	a, _ := r.session(ticket(60, 1, 1, 0, 1, 9, 0, 0), testTime)
	b, _ := r.session(ticket(60, 1, 2, 0, 1, 9, 0, 0), testTime)
	if bytes.Equal(a.Secret, b.Secret) {
		t.Error("two nonces, one secret")
	}
}

// What the server staples to its certificate is in the state, and in what is
// resumed.
func TestStaples(t *testing.T) {
	cfg, server := testSetup(t)
	scts := [][]byte{[]byte("first"), []byte("second")}
	server.Certificates[0].OCSPStaple, server.Certificates[0].SignedCertificateTimestamps = []byte("response"), scts
	session := resumable(t, cfg, server)
	again := *cfg
	for range 2 {
		c := mustClient(t, &again)
		if _, _, err := connect(c, newStdPeer(t, server)); err != nil {
			t.Fatal(err)
		}
		state := c.ConnectionState()
		if string(state.OCSPResponse) != "response" || !slices.EqualFunc(state.SignedCertificateTimestamps, scts, bytes.Equal) {
			t.Errorf("resumed %v: %q, %q", state.DidResume, state.OCSPResponse, state.SignedCertificateTimestamps)
		}
		if a := c.PeerSignatureAlgorithm(); (a == tls.ECDSAWithP256AndSHA256) == state.DidResume {
			t.Errorf("resumed %v: signature algorithm %v", state.DidResume, a)
		}
		again.Session = session
	}
}
