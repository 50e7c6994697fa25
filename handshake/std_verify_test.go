package handshake

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"reflect"
	"testing"
	"time"
)

// sideBySide connects a client of crypto/tls and one of ours, each with its
// hooks, to the same server, and returns their states and errors.
func sideBySide(t *testing.T, server *tls.Config, std *tls.Config, ours *Config) (stdState, state tls.ConnectionState, stdErr, err error) {
	t.Helper()
	std.Time = func() time.Time { return testTime }
	p := newStdPeer(t, server)
	conn := tls.Client(memConn{in: p.toClient, out: p.toServer}, std)
	stdErr = conn.Handshake()
	stdState = conn.ConnectionState()
	conn.Close()

	c := mustClient(t, ours)
	_, _, err = connect(c, newStdPeer(t, server))
	return stdState, c.ConnectionState(), stdErr, err
}

// child issues a certificate of an authority's for another one.
func (a *authority) child(t *testing.T, name string, edit func(*x509.Certificate)) *authority {
	t.Helper()
	key := newKey(t, "ECDSA")
	template := &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: name},
		NotBefore: testTime.Add(-time.Hour), NotAfter: testTime.Add(1000 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	if edit != nil {
		edit(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert: cert, key: key, pool: a.pool}
}

// wantSame fails the test unless both took the server, or both refused it for
// the same reason.
func wantSame(t *testing.T, name string, stdErr, err error) {
	t.Helper()
	var a, b *tls.CertificateVerificationError
	switch isA, isB := errors.As(stdErr, &a), errors.As(err, &b); {
	case (stdErr == nil) != (err == nil) || isA != isB:
		t.Errorf("%s: crypto/tls %v; ours %v", name, stdErr, err)
	case isA && (a.Err.Error() != b.Err.Error() || reflect.TypeOf(a.Err) != reflect.TypeOf(b.Err) || len(a.UnverifiedCertificates) != len(b.UnverifiedCertificates)):
		t.Errorf("%s: crypto/tls %v; ours %v", name, a, b)
	}
}

// Servers' chains that are good, bad and odd: both stacks say the same.
func TestChainsAsStd(t *testing.T) {
	root, other := newAuthority(t), newAuthority(t)
	inter := root.child(t, "intermediate", nil)
	last := inter.child(t, "last", func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true })
	below := last.child(t, "below the last", nil)
	notCA := root.child(t, "no authority", func(c *x509.Certificate) { c.IsCA, c.KeyUsage = false, x509.KeyUsageDigitalSignature })
	noSign := root.child(t, "may not sign", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign })
	old := root.child(t, "expired", func(c *x509.Certificate) { c.NotAfter = testTime.Add(-time.Second) })
	narrow := root.child(t, "narrow", func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"example.org"}
	})
	fits := root.child(t, "fits", func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"example.com"} })
	mail := root.child(t, "for mail", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection} })
	chain := func(a *authority, edit func(*x509.Certificate), more ...*authority) tls.Certificate {
		cert := a.issue(t, newKey(t, "ECDSA"), edit)
		for _, m := range more {
			cert.Certificate = append(cert.Certificate, m.cert.Raw)
		}
		return cert
	}
	with := func(edit func(*x509.Certificate)) tls.Certificate { return chain(root, edit) }
	self := chain(root, nil)
	selfRoots := x509.NewCertPool()
	if leaf, err := x509.ParseCertificate(self.Certificate[0]); err == nil {
		selfRoots.AddCert(leaf)
	}
	garbage := chain(root, nil)
	garbage.Certificate = append(garbage.Certificate, []byte{0x30, 0x01, 0x00})
	trailing := chain(root, nil)
	trailing.Certificate = append(trailing.Certificate, append(bytes.Clone(inter.cert.Raw), 0))
	many := chain(last, nil, last, inter)
	for range 60 {
		many.Certificate = append(many.Certificate, other.cert.Raw)
	}
	twice := chain(inter, nil, inter, inter, root, root)

	for _, c := range []struct {
		name  string
		cert  tls.Certificate
		roots *x509.CertPool
	}{
		{"root and leaf", chain(root, nil), root.pool},
		{"with the root in it", chain(root, nil, root), root.pool},
		{"an intermediate", chain(inter, nil, inter), root.pool},
		{"without the intermediate", chain(inter, nil), root.pool},
		{"two intermediates", chain(last, nil, last, inter), root.pool},
		{"in another order", chain(last, nil, inter, root, last), root.pool},
		{"each twice", twice, root.pool},
		{"with sixty strangers", many, root.pool},
		{"too long for its path length", chain(below, nil, below, last, inter), root.pool},
		{"signed by no authority", chain(notCA, nil, notCA), root.pool},
		{"signed by one that may not sign", chain(noSign, nil, noSign), root.pool},
		{"an expired intermediate", chain(old, nil, old), root.pool},
		{"name constraints that forbid", chain(narrow, nil, narrow), root.pool},
		{"name constraints that allow", chain(fits, nil, fits), root.pool},
		{"an intermediate for mail", chain(mail, nil, mail), root.pool},
		{"another root", chain(root, nil), other.pool},
		{"another root of the same name, sent along", chain(other, nil, other), root.pool},
		{"no root at all", chain(root, nil), x509.NewCertPool()},
		{"the leaf as root", self, selfRoots},
		{"garbage behind the leaf", garbage, root.pool},
		{"a byte too much behind the leaf", trailing, root.pool},
		{"expired", with(func(c *x509.Certificate) { c.NotAfter = testTime.Add(-time.Second) }), root.pool},
		{"expires now", with(func(c *x509.Certificate) { c.NotAfter = testTime }), root.pool},
		{"not yet valid", with(func(c *x509.Certificate) { c.NotBefore = testTime.Add(time.Second) }), root.pool},
		{"valid from now on", with(func(c *x509.Certificate) { c.NotBefore = testTime }), root.pool},
		{"for clients only", with(func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[1:] }), root.pool},
		{"for anything", with(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }), root.pool},
		{"for nothing in particular", with(func(c *x509.Certificate) { c.ExtKeyUsage = nil }), root.pool},
		{"without keyUsage", with(func(c *x509.Certificate) { c.KeyUsage = 0 }), root.pool},
		{"a leaf that is an authority", with(func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }), root.pool},
		{"an unknown critical extension", with(func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: []int{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
		}), root.pool},
		{"no name but the common one", with(func(c *x509.Certificate) { c.DNSNames, c.Subject.CommonName = nil, "example.com" }), root.pool},
	} {
		server := &tls.Config{Certificates: []tls.Certificate{c.cert}, Time: func() time.Time { return testTime }}
		std := &tls.Config{ServerName: "example.com", RootCAs: c.roots}
		ours := &Config{ServerName: "example.com", RootCAs: c.roots}
		a, b, stdErr, err := sideBySide(t, server, std, ours)
		wantSame(t, c.name, stdErr, err)
		if len(a.VerifiedChains) != len(b.VerifiedChains) || len(a.PeerCertificates) != len(b.PeerCertificates) {
			t.Errorf("%s: %d chains of %d certificates; ours %d of %d", c.name, len(a.VerifiedChains), len(a.PeerCertificates), len(b.VerifiedChains), len(b.PeerCertificates))
		}
	}

	// The one difference: a key that may not sign (section 4.4.2.2), which
	// crypto/tls lets pass. The last keyUsage allows nothing at all.
	for name, edit := range map[string]func(c *x509.Certificate){
		"keyAgreement": func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement },
		"nothing": func(c *x509.Certificate) {
			c.KeyUsage = 0
			c.ExtraExtensions = []pkix.Extension{{Id: []int{2, 5, 29, 15}, Critical: true, Value: []byte{3, 1, 0}}}
		},
	} {
		server := &tls.Config{Certificates: []tls.Certificate{with(edit)}, Time: func() time.Time { return testTime }}
		_, _, stdErr, err := sideBySide(t, server, &tls.Config{ServerName: "example.com", RootCAs: root.pool}, &Config{ServerName: "example.com", RootCAs: root.pool})
		if stdErr != nil || !errors.Is(err, FaultBadCertificateKeyUsage) {
			t.Errorf("keyUsage %s: crypto/tls %v; ours %v", name, stdErr, err)
		}
	}
}

// Names, in every form that somebody may hand us: both stacks send the same
// server_name and take the same certificates for it.
func TestNamesAsStd(t *testing.T) {
	ca := newAuthority(t)
	cert := ca.issue(t, newKey(t, "ECDSA"), func(c *x509.Certificate) {
		c.DNSNames = []string{"example.com", "*.wild.example.com", "under_score.example.com", "xn--bcher-kva.example"}
		c.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 1), net.ParseIP("2001:db8::1"), net.ParseIP("fe80::1")}
	})
	for _, name := range []string{
		"example.com", "EXAMPLE.com", "example.com.", "example.com..", ".example.com", "www.example.com", "a.wild.example.com", "A.WILD.example.com",
		"a.b.wild.example.com", "wild.example.com", "*.wild.example.com", ".wild.example.com", "under_score.example.com", "xn--bcher-kva.example", "b\u00fccher.example",
		"192.0.2.1", "192.0.2.2", "192.0.2.1.", "[192.0.2.1]", "2001:db8::1", "[2001:db8::1]", "2001:DB8:0::1", "[2001:db8::1", "::ffff:192.0.2.1",
		"fe80::1%eth0", "[fe80::1%eth0]", "fe80::1", "0300.0.2.1", "3221225985", "example.com:443", " example.com", "exam ple.com", "example.com\x00.org", ".", "a", "[", "]", "%", "example.com%x", "-",
	} {
		var stdName, ourName string
		server := &tls.Config{Time: func() time.Time { return testTime }}
		server.GetCertificate = func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			stdName, ourName = ourName, h.ServerName // the first to come is crypto/tls
			return &cert, nil
		}
		a, b, stdErr, err := sideBySide(t, server, &tls.Config{ServerName: name, RootCAs: ca.pool}, &Config{ServerName: name, RootCAs: ca.pool})
		wantSame(t, fmt.Sprintf("%q", name), stdErr, err)
		if stdName != ourName || a.ServerName != b.ServerName {
			t.Errorf("%q: crypto/tls sends %q, states %q; ours %q, %q", name, stdName, a.ServerName, ourName, b.ServerName)
		}
	}
}

// The callbacks of a full handshake come in the same order with the same
// arguments.
func TestCallbacksAsStd(t *testing.T) {
	ca := newAuthority(t)
	inter := ca.child(t, "intermediate", nil)
	cert := inter.issue(t, newKey(t, "ECDSA"), nil)
	cert.Certificate = append(cert.Certificate, inter.cert.Raw)
	cert.OCSPStaple, cert.SignedCertificateTimestamps = []byte("response"), [][]byte{[]byte("timestamp")}
	server := &tls.Config{Certificates: []tls.Certificate{cert}, Time: func() time.Time { return testTime }, NextProtos: []string{"h2"}}
	for _, skip := range []bool{false, true} {
		for fail := range 3 {
			record := func(calls *[]string) (func([][]byte, [][]*x509.Certificate) error, func(tls.ConnectionState) error) {
				answer := func(call string) error {
					*calls = append(*calls, call)
					if len(*calls) == fail {
						return errors.New("no")
					}
					return nil
				}
				return func(raw [][]byte, chains [][]*x509.Certificate) error {
						return answer(fmt.Sprintf("VerifyPeerCertificate %x, %d chains, nil %v", raw, len(chains), chains == nil))
					}, func(s tls.ConnectionState) error {
						return answer(fmt.Sprintf("VerifyConnection %x %v %v %v %q %q %d %d %q %q %x", s.Version, s.HandshakeComplete, s.DidResume, s.CurveID,
							s.NegotiatedProtocol, s.ServerName, len(s.PeerCertificates), len(s.VerifiedChains), s.OCSPResponse, s.SignedCertificateTimestamps, s.TLSUnique))
					}
			}
			var theirs, ours []string
			std := &tls.Config{ServerName: "example.com", RootCAs: ca.pool, InsecureSkipVerify: skip, NextProtos: []string{"h2"}}
			std.VerifyPeerCertificate, std.VerifyConnection = record(&theirs)
			cfg := &Config{ServerName: "example.com", RootCAs: ca.pool, InsecureSkipVerify: skip, NextProtos: []string{"h2"}}
			cfg.VerifyPeerCertificate, cfg.VerifyConnection = record(&ours)
			_, _, stdErr, err := sideBySide(t, server, std, cfg)
			if !reflect.DeepEqual(theirs, ours) || (stdErr == nil) != (err == nil) || len(ours) == 0 {
				t.Errorf("skip %v, the call that fails %d: crypto/tls %v\n%v\nours %v\n%v", skip, fail, stdErr, theirs, err, ours)
			}
		}
	}
}
