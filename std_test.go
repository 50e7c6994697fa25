package tlstfo

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/handshake"
)

// TestRenegotiation: a server that asks for a renegotiation and then says
// nothing more holds up neither Close nor deadlines, nor what tells of the connection. tls.Conn has
// its lock of handshakes all that while, for which its own ConnectionState waits.
func TestRenegotiation(t *testing.T) {
	ca := newAuthority(t)
	var log strings.Builder
	asked := make(chan struct{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		spy := &randomSpy{Conn: conn}
		s := tls.Server(spy, &tls.Config{Certificates: []tls.Certificate{ca.issue(nil, "test.example")}, KeyLogWriter: &log,
			MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}})
		if err := s.Handshake(); err != nil {
			return
		}
		conn.Write(helloRequest(log.String(), spy.random))
		conn.Read(make([]byte, 1)) // the client's hello has come: it waits for ours
		close(asked)
		io.Copy(io.Discard, conn)
	}()
	c, err := Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: ca.pool, ServerName: "test.example",
		MaxVersion: tls.VersionTLS12, Renegotiation: tls.RenegotiateFreelyAsClient})
	if err != nil {
		t.Fatal(err)
	}
	go c.Read(make([]byte, 1))
	select {
	case <-asked:
	case <-time.After(10 * time.Second):
		t.Fatal("the client does not renegotiate")
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		if state := c.ConnectionState(); !state.HandshakeComplete || state.Version != tls.VersionTLS12 || len(state.VerifiedChains) == 0 {
			t.Errorf("%+v", state)
		}
		if err := c.VerifyHostname("test.example"); err != nil {
			t.Error(err)
		}
		c.ExportKeyingMaterial("label", nil, 1)
		c.SetDeadline(time.Now().Add(time.Minute))
		c.Info()
		c.Close()
	}()
	select {
	case <-closed:
	case <-time.After(20 * time.Second):
		t.Error("something waits for the renegotiation")
	}
}

// randomSpy notes the random of the ServerHello that is written through it.
type randomSpy struct {
	net.Conn
	random []byte
}

func (s *randomSpy) Write(p []byte) (int, error) {
	const at = 5 + 4 + 2
	if s.random == nil && len(p) > at+32 && p[0] == 22 {
		s.random = append([]byte(nil), p[at:at+32]...)
	}
	return s.Conn.Write(p)
}

// helloRequest is a server's second protected record of a TLS 1.2 connection
// with AES-128-GCM: the message that asks for a renegotiation (RFC 5246, section 7.4.1.1).
func helloRequest(keyLog string, serverRandom []byte) []byte {
	fields := strings.Fields(keyLog)
	clientRandom, _ := hex.DecodeString(fields[1])
	master, _ := hex.DecodeString(fields[2])
	mac := func(data []byte) []byte {
		h := hmac.New(sha256.New, master)
		h.Write(data)
		return h.Sum(nil)
	}
	seed := append(append([]byte("key expansion"), serverRandom...), clientRandom...)
	var keys []byte
	for a := mac(seed); len(keys) < 40; a = mac(a) { // RFC 5246, section 5
		keys = append(keys, mac(append(append([]byte(nil), a...), seed...))...)
	}
	block, _ := aes.NewCipher(keys[16:32])
	gcm, _ := cipher.NewGCM(block)
	seq := binary.BigEndian.AppendUint64(nil, 1) // Finished had 0
	message := []byte{0, 0, 0, 0}
	record := append([]byte{22, 3, 3, 0, 8 + 4 + 16}, seq...)
	return gcm.Seal(record, append(append([]byte(nil), keys[36:40]...), seq...), message,
		append(append([]byte(nil), seq...), 22, 3, 3, 0, 4))
}

// forgedFailure is a connection that somebody on the path answers: with handshake_failure. The server sees nothing.
type forgedFailure struct{ net.Conn }

func (c forgedFailure) Read(p []byte) (int, error) {
	c.Conn.Read(p)
	c.Conn.Write([]byte{21, 3, 3, 0, 2, 2, 40})
	return 0, io.EOF
}

// TestNotSentAgainStd: early data of a dial that broke goes through crypto/tls to a server that knows the client as it did
// before, and to no other.
func TestNotSentAgainStd(t *testing.T) {
	for _, before := range []tls.ClientAuthType{tls.NoClientCert, tls.RequestClientCert} {
		for _, now := range []tls.ClientAuthType{tls.NoClientCert, tls.RequestClientCert} {
			o := newOrigin(t)
			d := o.dialer()
			d.TLSConfig.Certificates = []tls.Certificate{o.cert}
			o.Update(func(c *handshake.ServerConfig) { c.ClientAuth = before })
			o.prime(t, d)
			o.Update(func(c *handshake.ServerConfig) { c.ClientAuth = now })
			o.script(func(n int, conn net.Conn) net.Conn {
				if n == 1 {
					return forgedFailure{conn}
				}
				return conn
			})
			c, err := d.DialEarly(t.Context(), "tcp", o.addr, []byte("message"))
			if err != nil {
				t.Fatal(err)
			}
			err = c.Handshake()
			if info := c.Info(); info.CryptoTLS == "" || info.Early.Broken == 0 {
				t.Errorf("%v, %v: %+v", before, now, info)
			}
			switch {
			case before == now && err == nil:
				finish(t, c, "message")
			case before == now || !errors.Is(err, ErrEarlyDataUncertain):
				t.Errorf("%v, %v: %v", before, now, err)
			}
			c.Close()
			o.Close()
			for len(o.visits) > 0 {
				if v := <-o.visits; before != now && v.data != "" {
					t.Errorf("%v, %v: the application got %q", before, now, v.data)
				}
			}
		}
	}
}
