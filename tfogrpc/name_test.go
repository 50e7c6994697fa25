package tfogrpc

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"

	"github.com/tlstfo/tlstfo"
)

// TestServerName: whom the server must prove to be, as with credentials.NewTLS.
func TestServerName(t *testing.T) {
	noLeak(t)
	ca := newAuthority(t)
	cert := issue(t, ca, serverName, "other.test", "127.0.0.1", "::1")
	addr := freeAddr(t)
	startGRPC(t, credentials.NewServerTLSFromCert(&cert), addr)
	perAddress := func(name string) grpc.DialOption {
		r := manual.NewBuilderWithScheme("manual")
		r.InitialState(resolver.State{Endpoints: []resolver.Endpoint{{Addresses: []resolver.Address{{Addr: addr, ServerName: name}}}}})
		return grpc.WithResolvers(r)
	}
	for _, test := range []struct {
		name, config, target string
		options              []grpc.DialOption
		sni, authority       string // "" is what the server saw; the error otherwise
		err                  string
	}{
		{"target", "", addr, nil, "", addr, ""},
		{"WithAuthority", "", addr, []grpc.DialOption{grpc.WithAuthority("other.test:1234")}, "other.test", "other.test:1234", ""},
		{"TLSConfig.ServerName", "other.test", addr, nil, "other.test", "other.test", ""},
		{"resolver", "", "manual:///x", []grpc.DialOption{perAddress("other.test")}, "other.test", "other.test", ""},
		{"IPv6", "", addr, []grpc.DialOption{grpc.WithAuthority("[::1]")}, "", "[::1]", ""},
		{"wrong authority", "", addr, []grpc.DialOption{grpc.WithAuthority("wrong.test")}, "", "", "wrong.test"},
		{"wrong TLSConfig.ServerName", "wrong.test", addr, nil, "", "", "wrong.test"},
		{"wrong resolver", "other.test", "manual:///x", []grpc.DialOption{perAddress("wrong.test")}, "", "", "wrong.test"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDialer(ca)
			d.TLSConfig.ServerName = test.config
			s := newSpy(NewCredentials(d))
			cc, err := grpc.NewClient(test.target, append(test.options, grpc.WithTransportCredentials(s), grpc.WithContextDialer(ContextDialer(d)))...)
			if err != nil {
				t.Fatal(err)
			}
			defer cc.Close()
			c := &client{cc, grpc_testing.NewTestServiceClient(cc), t, s}
			resp, err := c.UnaryCall(soon(t), &grpc_testing.SimpleRequest{})
			if test.err == "" {
				if err != nil || resp.ServerId != test.sni || resp.Hostname != test.authority {
					t.Errorf("%v, SNI %q, authority %q", err, resp.GetServerId(), resp.GetHostname())
				}
				return
			}
			var name x509.HostnameError
			if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%v", err)
			}
			if err := <-s.errs; !errors.As(err, &name) || isTemporary(err) {
				t.Errorf("%T %v, temporary %v", err, err, isTemporary(err))
			}
		})
	}
}

func isTemporary(err error) bool {
	var e interface{ Temporary() bool }
	return errors.As(err, &e) && e.Temporary()
}

// TestNoH2: a server that does not choose h2 is an error, and is sent nothing but the alert.
func TestNoH2(t *testing.T) {
	noLeak(t)
	ca := newAuthority(t)
	for name, protos := range map[string][]string{"none": nil, "another": {"http/1.1"}} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(name+" "+tls.VersionName(version), func(t *testing.T) {
				l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{issue(t, ca, serverName)}, NextProtos: protos, MaxVersion: version})
				if err != nil {
					t.Fatal(err)
				}
				heard := make(chan string, 10)
				done := make(chan struct{})
				go func() {
					defer close(done)
					for {
						c, err := l.Accept()
						if err != nil {
							return
						}
						c.SetDeadline(time.Now().Add(10 * time.Second))
						b, _ := io.ReadAll(c)
						c.Close()
						heard <- string(b)
					}
				}()
				defer func() { l.Close(); <-done }()
				c := newClient(t, newDialer(ca), l.Addr().String())
				defer c.Close()
				c.wait(connectivity.TransientFailure)
				if err := <-c.spy.errs; protos == nil && (!errors.Is(err, errNoH2) || !strings.Contains(err.Error(), errNoH2.Error())) || isTemporary(err) {
					t.Errorf("%v", err)
				}
				if said := <-heard; said != "" {
					t.Errorf("the server was sent %q", said)
				}
			})
		}
	}
}

// TestVerifyConnection: the caller's own is asked, about every connection, the early ones before anything leaves.
func TestVerifyConnection(t *testing.T) {
	ca := newAuthority(t)
	creds := newEarlyCreds(t, issue(t, ca, serverName))
	addr := freeAddr(t)
	startGRPC(t, creds, addr)
	d := newDialer(ca)
	refuse := errors.New("refused by the caller")
	var asked []tls.ConnectionState
	var answer error
	d.TLSConfig.VerifyConnection = func(s tls.ConnectionState) error { asked = append(asked, s); return answer }
	for i, want := range []int{1, 2} {
		asked = nil
		c := newClient(t, d, addr)
		c.ready()
		c.Close()
		// Before the server answered nobody knows the group.
		if len(asked) != want || asked[0].DidResume != (i > 0) || (asked[0].CurveID == 0) != (i > 0) || asked[want-1].CurveID == 0 {
			t.Errorf("connection %d: asked about %+v", i, asked)
		}
	}
	answer = refuse
	c := newClient(t, d, addr)
	c.wait(connectivity.TransientFailure)
	c.Close()
	if err := <-c.spy.errs; !errors.Is(err, refuse) {
		t.Errorf("%v", err)
	}
	if d.TLSConfig.NextProtos != nil {
		t.Error("the caller's config was changed")
	}
}

// TestClone: a clone has its own name, and the sessions of the original.
func TestClone(t *testing.T) {
	d := newDialer(newAuthority(t))
	d.TLSConfig.ServerName = "a.test"
	creds := NewCredentials(d)
	clone := creds.Clone()
	//lint:ignore SA1019 part of the interface
	if err := clone.OverrideServerName("b.test"); err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]credentials.TransportCredentials{"a.test": creds, "b.test": clone, "b.test ": clone.Clone()} {
		//lint:ignore SA1019 grpc-go reads it
		if info := c.Info(); info.ServerName != strings.TrimSpace(want) || info.SecurityProtocol != "tls" {
			t.Errorf("%+v, want %s", info, want)
		}
	}
	if creds.(*transportCredentials).servers != clone.(*transportCredentials).servers {
		t.Error("the sessions are not shared")
	}
	if d.TLSConfig.ServerName != "a.test" {
		t.Error("the caller's config was changed")
	}
	if _, _, err := creds.ServerHandshake(nil); err == nil {
		t.Error("a server handshake")
	}
	if NewCredentials(new(tlstfo.Dialer)).Info().SecurityProtocol != "tls" {
		t.Error("a zero Dialer")
	}
}

// TestServersAreBounded: names without end do not take memory without end.
func TestServersAreBounded(t *testing.T) {
	creds := NewCredentials(newDialer(newAuthority(t))).(*transportCredentials)
	for i := range 3 * maxServers / 2 {
		creds.get(strings.Repeat("x", i))
	}
	if n := len(creds.byName); n != maxServers {
		t.Errorf("%d servers", n)
	}
}

// TestWrite: the preface is taken out of what is written, however it is cut, and nothing else is.
func TestWrite(t *testing.T) {
	for _, test := range []struct {
		writes []string
		want   string
		bad    bool
	}{
		{[]string{preface, "SETTINGS"}, "SETTINGS", false},
		{[]string{preface + "SETTINGS", preface}, "SETTINGS" + preface, false},
		{[]string{preface[:5], "", preface[5:] + "S"}, "S", false},
		{[]string{"GET / HTTP/1.1"}, "", true},
		{[]string{preface[:5], "X"}, "", true},
	} {
		c := &conn{rest: preface}
		var got string
		var err error
		for _, w := range test.writes {
			var n int
			if n, err = c.takePreface([]byte(w)); err == nil {
				got += w[n:]
			}
		}
		if got != test.want || (err != nil) != test.bad {
			t.Errorf("%q became %q, %v", test.writes, got, err)
		}
	}
}

// TestSPIFFE: which certificates have an ID.
func TestSPIFFE(t *testing.T) {
	long := strings.Repeat("x", maxSPIFFEID)
	for _, test := range []struct {
		uris []string
		ok   bool
	}{
		{[]string{"spiffe://example.org/service"}, true},
		{nil, false},
		{[]string{"https://example.org/service"}, false},
		{[]string{"spiffe://example.org/a", "spiffe://example.org/b"}, false},
		{[]string{"spiffe://user@example.org/a"}, false},
		{[]string{"spiffe:example.org"}, false},
		{[]string{"spiffe://example.org"}, false},
		{[]string{"spiffe:///a"}, false},
		{[]string{"spiffe://example.org/" + long}, false},
		{[]string{"spiffe://" + long[:maxSPIFFEDomain+1] + "/a"}, false},
	} {
		cert := new(x509.Certificate)
		for _, text := range test.uris {
			u, err := url.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			cert.URIs = append(cert.URIs, u)
		}
		id := spiffeID(tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}})
		if (id != nil) != test.ok || test.ok && id.String() != test.uris[0] {
			t.Errorf("%.100q: %v", test.uris, id)
		}
	}
	if spiffeID(tls.ConnectionState{}) != nil {
		t.Error("an ID without a certificate")
	}
}
