package handshake

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// trace is a file of testdata/rfc8448: named octets of one handshake.
type trace map[string][]byte

func readTrace(t *testing.T, name string) trace {
	t.Helper()
	text, err := os.ReadFile("testdata/rfc8448/" + name + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	tr := make(trace)
	var key string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutSuffix(line, ":"); ok {
			key = name
		} else if line != "" && line[0] != '#' {
			octets, err := hex.DecodeString(line)
			if err != nil {
				t.Fatal(err)
			}
			tr[key] = append(tr[key], octets...)
		}
	}
	return tr
}

// BuildHello makes a trace the Builder of its own hello.
func (tr trace) BuildHello(*Config, io.Reader) (*Hello, error) {
	key, err := ecdh.X25519().NewPrivateKey(tr["client key"])
	return &Hello{
		Raw:  bytes.Clone(tr["client hello"][recordHeaderLen:]),
		Keys: []ShareKey{{Group: tls.X25519, ECDH: key}},
	}, err
}

// client starts a client that repeats the trace.
func (tr trace) client(t *testing.T, cfg *Config) *Client {
	t.Helper()
	cfg.InsecureSkipVerify = true
	cfg.Hello = tr
	c := mustClient(t, cfg)
	tr.expect(t, "client hello", c.AppendOutput(nil))
	return c
}

func (tr trace) expect(t *testing.T, name string, got []byte) {
	t.Helper()
	if want := tr[name]; len(want) == 0 || !bytes.Equal(got, want) {
		t.Fatalf("%s:\n got %x\nwant %x", name, got, want)
	}
}

// feed gives records of the server to the client and returns the last event.
func (tr trace) feed(t *testing.T, c *Client, names ...string) (event Event) {
	t.Helper()
	for _, name := range names {
		c.Feed(tr[name])
	}
	for {
		ev, err := c.Next(testTime)
		if err != nil {
			t.Fatal(err)
		}
		if ev.Kind == EventNone {
			return event
		}
		event = ev
	}
}

// after checks what comes after the handshake: tickets, data, the end.
func (tr trace) after(t *testing.T, c *Client) (session *Session) {
	t.Helper()
	tr.expect(t, "client flight", c.AppendOutput(nil))
	sealer, opener := c.Split()
	next := func(want EventKind) Event {
		t.Helper()
		ev, err := opener.Next(testTime)
		if err != nil || ev.Kind != want {
			t.Fatalf("event %v, %v; want %v", ev.Kind, err, want)
		}
		return ev
	}
	if record := tr["ticket record"]; record != nil {
		opener.Feed(record)
		session = next(EventTicket).Session
	}
	if data := tr["application data"]; data != nil {
		tr.expect(t, "client record", sealer.Seal(nil, data))
		opener.Feed(tr["server record"])
		tr.expect(t, "application data", next(EventData).Data)
	}
	tr.expect(t, "client close", sealer.CloseNotify(nil))
	opener.Feed(tr["server close"])
	next(EventCloseNotify)
	return session
}

func TestRFC8448Simple(t *testing.T) {
	tr := readTrace(t, "simple")
	c := tr.client(t, &Config{})
	if ev := tr.feed(t, c, "server hello", "server flight"); ev.Kind != EventHandshakeComplete {
		t.Fatalf("event %v", ev.Kind)
	}
	session := tr.after(t, c)
	if session.MaxEarlyData != 1024 || session.Lifetime != 30*time.Second {
		t.Errorf("%d bytes of early data, %v", session.MaxEarlyData, session.Lifetime)
	}
	t.Run("Resumed", func(t *testing.T) { testRFC8448Resumed(t, session) })
}

// testRFC8448Resumed resumes the session that the simple handshake gave, so its
// binder proves the ticket's PSK too.
func testRFC8448Resumed(t *testing.T, session *Session) {
	tr := readTrace(t, "resumed")
	hello := tr["client hello"]
	const binders = 2 + 1 + 32
	obfuscated := binary.BigEndian.Uint32(hello[len(hello)-binders-4:])
	age := time.Duration(obfuscated-session.AgeAdd) * time.Millisecond
	c := tr.client(t, &Config{Session: session, TicketAge: age, EarlyData: true})
	n, err := c.WriteEarly(tr["early data"])
	if n != len(tr["early data"]) || err != nil {
		t.Fatal(n, err)
	}
	tr.expect(t, "early record", c.AppendOutput(nil))
	if ev := tr.feed(t, c, "server hello", "server flight"); ev.Kind != EventHandshakeComplete {
		t.Fatalf("event %v", ev.Kind)
	}
	if c.EarlyData() != EarlyAccepted || !c.ConnectionState().DidResume {
		t.Errorf("early data %v, resumed %v", c.EarlyData(), c.ConnectionState().DidResume)
	}
	tr.after(t, c)
}

func TestRFC8448HelloRetryRequest(t *testing.T) {
	tr := readTrace(t, "retry")
	c := tr.client(t, &Config{rand: bytes.NewReader(tr["second client key"])})
	tr.feed(t, c, "retry request")
	// The second hello of the trace has padding (RFC 7685), which RFC 8446,
	// section 4.1.2, leaves to the client. All else must be the same.
	second, _ := viewHello(tr["second client hello"][recordHeaderLen:])
	unpadded := trim(second, extPadding)
	if got := c.AppendOutput(nil); !bytes.Equal(got[recordHeaderLen:], unpadded) || !bytes.Equal(got[:3], tr["second client hello"][:3]) {
		t.Fatalf("second hello:\n got %x\nwant %x", got[recordHeaderLen:], unpadded)
	}
	// Go on as if it had been sent with the padding.
	request := tr["retry request"][recordHeaderLen:]
	first := sha256.Sum256(tr["client hello"][recordHeaderLen:])
	c.transcript.Reset()
	c.transcript.Write(messageHash(first[:]))
	c.transcript.Write(request)
	c.transcript.Write(second.message)
	c.hello = second
	if ev := tr.feed(t, c, "server hello", "server flight"); ev.Kind != EventHandshakeComplete {
		t.Fatalf("event %v", ev.Kind)
	}
	if !c.Retried() || c.Group() != tls.CurveP256 {
		t.Errorf("retried %v, group %v", c.Retried(), c.Group())
	}
	tr.after(t, c)
}

// trim takes an extension out of a hello.
func trim(v helloView, typ uint16) []byte {
	data, _ := v.extension(typ)
	message := bytes.Clone(v.message[:len(v.message)-len(v.extensions)])
	for list := v.extensions; ; {
		before := list
		var t uint16
		var d = data
		if !nextExtension(&list, &t, &d) {
			break
		}
		if t != typ {
			message = append(message, before[:len(before)-len(list)]...)
		}
	}
	n := len(message) - messageHeaderLen
	message[1], message[2], message[3] = byte(n>>16), byte(n>>8), byte(n)
	at := len(v.message) - len(v.extensions) - 2
	binary.BigEndian.PutUint16(message[at:], uint16(len(message)-at-2))
	return message
}

// recordedSigner signs what the trace signs, with the signature of the trace:
// RSA-PSS is randomized.
type recordedSigner struct {
	t      *testing.T
	public crypto.PublicKey
	tr     trace
}

func (s recordedSigner) Public() crypto.PublicKey { return s.public }

func (s recordedSigner) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	want := sha256.Sum256(s.tr["client signed"])
	pss, ok := opts.(*rsa.PSSOptions)
	if !bytes.Equal(digest, want[:]) || !ok || pss.Hash != crypto.SHA256 || pss.SaltLength != rsa.PSSSaltLengthEqualsHash {
		s.t.Errorf("signed %x with %+v, want %x", digest, opts, want)
	}
	return s.tr["client signature"], nil
}

func TestRFC8448ClientAuthentication(t *testing.T) {
	tr := readTrace(t, "clientauth")
	leaf, err := x509.ParseCertificate(tr["client certificate"])
	if err != nil {
		t.Fatal(err)
	}
	c := tr.client(t, &Config{Certificates: []tls.Certificate{{
		Certificate: [][]byte{leaf.Raw},
		PrivateKey:  recordedSigner{t, leaf.PublicKey, tr},
	}}})
	if ev := tr.feed(t, c, "server hello", "server flight"); ev.Kind != EventHandshakeComplete {
		t.Fatalf("event %v", ev.Kind)
	}
	tr.after(t, c)
}

func TestRFC8448Compatibility(t *testing.T) {
	tr := readTrace(t, "compatibility")
	c := tr.client(t, &Config{})
	if ev := tr.feed(t, c, "server hello", "server flight"); ev.Kind != EventHandshakeComplete {
		t.Fatalf("event %v", ev.Kind)
	}
	tr.after(t, c)
}
