package tlstfo

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/handshake"
	"github.com/tlstfo/tlstfo/internal/testpeer"
)

// TestIdentityAtResumption: before any early byte leaves, the stored identity must
// hold today. Where it does not, the ticket is dropped and the handshake is a full one.
func TestIdentityAtResumption(t *testing.T) {
	no := errors.New("no")
	for name, k := range map[string]struct {
		change func(*tls.Config)
		err    error // of the full handshake that follows
		early  bool
	}{
		"unchanged":      {func(*tls.Config) {}, nil, true},
		"other roots":    {func(c *tls.Config) { c.RootCAs = x509.NewCertPool() }, x509.UnknownAuthorityError{}, false},
		"expired by now": {func(c *tls.Config) { c.Time = func() time.Time { return time.Now().Add(48 * time.Hour) } }, x509.CertificateInvalidError{}, false},
		"VerifyConnection says no to the prediction": {func(c *tls.Config) {
			c.VerifyConnection = func(s tls.ConnectionState) error {
				if s.DidResume && !s.HandshakeComplete {
					return no
				}
				return nil
			}
		}, nil, false},
	} {
		o := newOrigin(t)
		d := o.dialer()
		o.prime(t, d)
		d2 := &Dialer{TLSConfig: o.config(), Sessions: d.own}
		k.change(d2.TLSConfig)
		c, err := d2.DialEarly(t.Context(), "tcp", o.addr, []byte("x"))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		err = c.Handshake()
		if k.err != nil {
			var v *tls.CertificateVerificationError
			if !errors.As(err, &v) {
				t.Errorf("%s: %v", name, err)
			}
			if info := c.Info().Early; info.Offered {
				t.Errorf("%s: %+v", name, info)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		finish(t, c, "x")
		if v := o.onlyVisit(t); (v.early() == "x") != k.early || v.info.State.DidResume != k.early {
			t.Errorf("%s: early %q, resumed %v", name, v.early(), v.info.State.DidResume)
		}
	}
}

// TestCredentialAtResumption: a session ends with the delegated credential of its server (RFC 9345, section 7.4), by the clock that
// certificates are verified with too, and even where no certificate is.
func TestCredentialAtResumption(t *testing.T) {
	now := time.Now()
	config := &tls.Config{InsecureSkipVerify: true, Time: func() time.Time { return now }}
	for after, want := range map[time.Duration]error{0: nil, -time.Second: errExpiredCredential} {
		if _, err := new(verifier).verify(&handshake.Session{CredentialExpiry: now.Add(after)}, config); err != want {
			t.Errorf("%v before its end: %v", after, err)
		}
	}
	if _, err := new(verifier).verify(new(handshake.Session), config); err != nil {
		t.Errorf("without a credential: %v", err)
	}
}

// TestVerifyConnectionStates: VerifyConnection is asked on every handshake, and
// sees what crypto/tls would show; VerifyPeerCertificate on full ones only.
func TestVerifyConnectionStates(t *testing.T) {
	o := newOrigin(t)
	o.Update(func(c *handshake.ServerConfig) { c.NextProtos = []string{"p"} })
	d := o.dialer()
	d.TLSConfig.NextProtos = []string{"p"}
	d.Partition = "mine" // VerifyPeerCertificate alone would keep the sessions private
	var states []tls.ConnectionState
	peers := 0
	d.TLSConfig.VerifyConnection = func(s tls.ConnectionState) error { states = append(states, s); return nil }
	d.TLSConfig.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { peers++; return nil }
	o.prime(t, d)
	c, err := d.DialEarly(t.Context(), "tcp", o.addr, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	finish(t, c, "x")
	if len(states) != 3 || peers != 1 {
		t.Fatalf("VerifyConnection was asked %d times, VerifyPeerCertificate %d times", len(states), peers)
	}
	for i, s := range states {
		if s.DidResume != (i > 0) || s.Version != tls.VersionTLS13 || s.NegotiatedProtocol != "p" || len(s.PeerCertificates) == 0 ||
			len(s.VerifiedChains) == 0 || s.ServerName != "test.example" || s.CipherSuite == 0 {
			t.Errorf("state %d: %+v", i, s)
		}
	}
}

// TestPartition: whose checks differ does not get the sessions.
func TestPartition(t *testing.T) {
	o := newOrigin(t)
	shared := NewSessionCache(0)
	dialer := func(partition string, change func(*tls.Config)) *Dialer {
		d := &Dialer{TLSConfig: o.config(), Sessions: shared, Partition: partition}
		if change != nil {
			change(d.TLSConfig)
		}
		return d
	}
	skip := func(c *tls.Config) { c.InsecureSkipVerify = true }
	get := func(c *tls.Config) {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return new(tls.Certificate), nil }
	}
	cert, _ := o.ca.Issue("client.example")
	with := func(c *tls.Config) { c.Certificates = []tls.Certificate{cert} }
	for name, k := range map[string]struct {
		from, to *Dialer
		resumed  bool
	}{
		"the same":                         {dialer("", nil), dialer("", nil), true},
		"the same name, spelled otherwise": {dialer("", nil), dialer("", func(c *tls.Config) { c.ServerName = "TEST.example." }), true},
		"another partition":                {dialer("a", nil), dialer("b", nil), false},
		"unverified to verifying":          {dialer("", skip), dialer("", nil), false},
		"unverified to unverified":         {dialer("", skip), dialer("", skip), false},
		"unverified in one partition":      {dialer("c", skip), dialer("c", skip), true},
		"a client certificate":             {dialer("", nil), dialer("", with), false},
		"the same client certificate":      {dialer("", with), dialer("", with), true},
		"GetClientCertificate":             {dialer("d", get), dialer("d", get), false},
		"other protocols":                  {dialer("", nil), dialer("", func(c *tls.Config) { c.NextProtos = []string{"p"} }), false},
		"another name":                     {dialer("e", skip), dialer("e", func(c *tls.Config) { c.InsecureSkipVerify, c.ServerName = true, "other.example" }), false},
		"tickets disabled":                 {dialer("", nil), dialer("", func(c *tls.Config) { c.SessionTicketsDisabled = true }), false},
	} {
		o.prime(t, k.from)
		c, err := k.to.Dial("tcp", o.addr)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := c.(*Conn).Info().Resumed; got != k.resumed {
			t.Errorf("%s: resumed %v", name, got)
		}
		c.Close()
		k.to.Flush(t.Context())
		o.visit(t)
		// What is left must not serve the next case.
		for shared.Take(sessionKey(k.to.Partition, o.addr, k.to.TLSConfig)) != nil {
		}
		for shared.Take(sessionKey(k.from.Partition, o.addr, k.from.TLSConfig)) != nil {
		}
	}
}

// TestPlace: what leads to another server has sessions, and what is remembered of servers, of its own.
func TestPlace(t *testing.T) {
	d := &Dialer{TLSConfig: &tls.Config{ServerName: "test.example"}}
	dial := func(network, addr string) *Conn {
		c, err := d.newConn(t.Context(), network, addr)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	client := func(key string) *Conn {
		conn, _ := net.Pipe()
		return d.Client(conn, key)
	}
	const addr, path = "test.example:443", "/tmp/a"
	for name, k := range map[string]struct {
		a, b *Conn
		same bool
	}{
		"a host's name in another case": {dial("tcp", addr), dial("tcp", "Test.Example:443"), true},
		"IPv4 and IPv6":                 {dial("tcp4", addr), dial("tcp6", addr), true},
		"another port":                  {dial("tcp", addr), dial("tcp", "test.example:444"), false},
		"a path":                        {dial("unix", path), dial("unix", path), true},
		"a path in another case":        {dial("unix", path), dial("unix", "/tmp/A"), false},
		"a path of another network":     {dial("unix", path), dial("unixpacket", path), false},
		"a path like an address":        {dial("unix", addr), dial("tcp", addr), false},
		"a key of Client":               {client("key"), client("key"), true},
		"such a key in another case":    {client("key"), client("Key"), false},
		"such a key like an address":    {client(addr), dial("tcp", addr), false},
	} {
		if (k.a.sessionKey == k.b.sessionKey) != k.same || (k.a.hostKey == k.b.hostKey) != k.same {
			t.Errorf("%s: the same keys: %v, %v, want %v", name, k.a.sessionKey == k.b.sessionKey, k.a.hostKey == k.b.hostKey, k.same)
		}
	}
}

// TestUnverifiedSession: a session without a verified chain is of no use to
// who verifies, even from a cache that hands it out.
func TestUnverifiedSession(t *testing.T) {
	o, evil := newOrigin(t), newOrigin(t)
	d := &Dialer{TLSConfig: &tls.Config{InsecureSkipVerify: true, ServerName: "test.example"}, Sessions: NewSessionCache(0), Partition: "p"}
	evil.prime(t, d)
	stolen := d.Sessions.Take(sessionKey("p", evil.addr, d.TLSConfig))
	if stolen == nil {
		t.Fatal("no session")
	}
	d2 := o.dialer()
	d2.init()
	d2.own.Put(sessionKey("", o.addr, d2.TLSConfig), stolen)
	c, err := d2.DialEarly(t.Context(), "tcp", o.addr, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	finish(t, c, "x")
	if info := c.Info(); info.Early.Reason != EarlyIdentity || info.Resumed || info.Early.Offered {
		t.Errorf("%+v", info)
	}
}

// TestClock: a ticket whose age is in doubt is resumed without early data.
func TestClock(t *testing.T) {
	o := newOrigin(t)
	d := o.dialer()
	o.prime(t, d)
	boot := stamp{wall: time.Now().Add(time.Minute), boot: time.Second, bootID: "another"}
	d.clock.read = func() stamp { return boot }
	c, err := d.DialEarly(t.Context(), "tcp", o.addr, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	finish(t, c, "x")
	if info := c.Info(); info.Early.Reason != EarlyClock || !info.Resumed {
		t.Errorf("%+v", info)
	}
	o.Set(testpeer.Knobs{})
}
