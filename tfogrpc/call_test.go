package tfogrpc

import (
	"bytes"
	"context"
	"crypto/tls"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/tlstfo/tlstfo"
	"github.com/tlstfo/tlstfo/handshake"
	"github.com/tlstfo/tlstfo/internal/testpeer"
)

// TestStdServer: against grpc-go's own server all is as with credentials.NewTLS. Its tickets are used, and allow no early data.
func TestStdServer(t *testing.T) {
	noLeak(t)
	ca := newAuthority(t)
	addr := freeAddr(t)
	cert := issue(t, ca, serverName)
	startGRPC(t, credentials.NewServerTLSFromCert(&cert), addr)
	d := newDialer(ca)
	for i := range 3 {
		c := newClient(t, d, addr, grpc.WithPerRPCCredentials(token("secret")))
		resp, p := c.call()
		if resp.Username != "token secret" || resp.Hostname != serverName || resp.ServerId != serverName {
			t.Errorf("the server saw token %q, authority %q, SNI %q", resp.Username, resp.Hostname, resp.ServerId)
		}
		info, ok := p.AuthInfo.(credentials.TLSInfo)
		if !ok || info.AuthType() != "tls" || info.SecurityLevel != credentials.PrivacyAndIntegrity {
			t.Fatalf("AuthInfo %T %+v", p.AuthInfo, p.AuthInfo)
		}
		if s := info.State; !s.HandshakeComplete || s.NegotiatedProtocol != "h2" || s.DidResume != (i > 0) || !bytes.Equal(s.PeerCertificates[0].Raw, cert.Certificate[0]) {
			t.Errorf("connection %d: state %+v", i, s)
		}
		if p.Addr.String() != addr || p.LocalAddr.String() == "" {
			t.Errorf("addresses %v, %v", p.Addr, p.LocalAddr)
		}
		c.chat()
		if info := c.info(); info.Early.Offered || info.CryptoTLS != "" || i > 0 && info.Early.Reason != tlstfo.EarlyUnsupportedSession {
			t.Errorf("connection %d: %+v", i, info)
		}
		c.Close()
	}
}

// token is per-RPC credentials that a connection without security never gets.
type token string

func (t token) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	info, _ := credentials.RequestInfoFromContext(ctx)
	if err := credentials.CheckSecurityLevel(info.AuthInfo, credentials.PrivacyAndIntegrity); err != nil {
		return nil, err
	}
	return map[string]string{"authorization": "token " + string(t)}, nil
}
func (token) RequireTransportSecurity() bool { return true }

// TestEarly: with a ticket the opening leaves early and nothing else does, though RPCs wait to be sent.
func TestEarly(t *testing.T) {
	for name, options := range map[string][]grpc.DialOption{
		"default": nil,
		"settings and window": {grpc.WithInitialConnWindowSize(1 << 20), grpc.WithInitialWindowSize(1 << 19),
			grpc.WithMaxHeaderListSize(1 << 16)},
		"one write each": {grpc.WithWriteBufferSize(0)},
		"keepalive":      {grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: time.Minute})},
	} {
		t.Run(name, func(t *testing.T) {
			noLeak(t)
			ca := newAuthority(t)
			creds := newEarlyCreds(t, issue(t, ca, serverName))
			addr := freeAddr(t)
			startGRPC(t, creds, addr)
			d := newDialer(ca)
			for i := range 4 {
				c := newClient(t, d, addr, append(options, grpc.WithPerRPCCredentials(token("secret")))...)
				_, p := c.call() // begins before anything is dialled
				c.chat()
				info := c.info()
				c.Close()
				creds.last(t).checkOpening(t, i > 0)
				if info.Early.Accepted != (i > 0) || i > 0 && info.Early.Bytes != len(opening) || info.Resumed != (i > 0) {
					t.Errorf("connection %d: %+v", i, info)
				}
				if s := p.AuthInfo.(credentials.TLSInfo).State; !s.HandshakeComplete || s.DidResume != (i > 0) || s.ServerName != serverName {
					t.Errorf("connection %d: the peer's state is not final: %+v", i, s)
				}
			}
		})
	}
}

// checkOpening checks that the connection opened with opening, early or not, and that grpc-go's own SETTINGS followed, without a
// second preface.
func (r *recorded) checkOpening(t *testing.T, wantEarly bool) {
	t.Helper()
	early, rest := r.early()
	if wantEarly {
		if string(early) != opening {
			t.Errorf("%q came early, want %q", early, opening)
		}
	} else {
		if len(early) > 0 {
			t.Errorf("%q came early, want nothing", early)
		}
		after, ok := bytes.CutPrefix(rest, []byte(opening))
		if !ok {
			t.Errorf("the connection opened with %q", rest[:min(len(rest), 100)])
		}
		rest = after
	}
	const header, settings = 9, 4
	if len(rest) < header || rest[3] != settings || rest[4] != 0 || bytes.Contains(rest, []byte(preface)) {
		t.Errorf("after the opening came %q, want SETTINGS", rest[:min(len(rest), 100)])
	}
}

// TestRefused: early data that the server refuses goes again, FailOnReject or not, and the AuthInfo is
// that of the server that answered, not of the one that gave the ticket.
func TestRefused(t *testing.T) {
	noLeak(t)
	ca := newAuthority(t)
	creds := newEarlyCreds(t, issue(t, ca, serverName))
	addr := freeAddr(t)
	startGRPC(t, creds, addr)
	d := newDialer(ca)
	d.FailOnReject = true
	connect := func() (tlstfo.ConnInfo, tls.ConnectionState) {
		t.Helper()
		c := newClient(t, d, addr)
		defer c.Close()
		_, p := c.call()
		return c.info(), p.AuthInfo.(credentials.TLSInfo).State
	}
	connect()
	for name, k := range map[string]testpeer.Knobs{"early data": {RefuseEarlyData: true}, "hello": {ForceRetry: true}} {
		creds.Set(k)
		info, _ := connect()
		if !info.Early.Offered || info.Early.Accepted || !info.Resumed || info.Early.Resent != len(opening) {
			t.Errorf("%s refused: %+v", name, info)
		}
		creds.last(t).checkOpening(t, false)
		creds.Set(testpeer.Knobs{})
	}
	renewed := issue(t, ca, serverName)
	creds.Update(func(c *handshake.ServerConfig) { c.Certificates = []tls.Certificate{renewed} })
	if err := creds.RotateTicketKeys(0); err != nil {
		t.Fatal(err)
	}
	info, state := connect()
	if !info.Early.Offered || info.Resumed || state.DidResume || !bytes.Equal(state.PeerCertificates[0].Raw, renewed.Certificate[0]) {
		t.Errorf("another certificate: %+v\n%+v", info, state)
	}
}

// TestClientCertificate: the server is shown one in the full handshake, and knows it again at resumption. With
// GetClientCertificate sessions stay within one NewCredentials.
func TestClientCertificate(t *testing.T) {
	ca := newAuthority(t)
	creds := newEarlyCreds(t, issue(t, ca, serverName))
	creds.Update(func(c *handshake.ServerConfig) { c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, ca.Pool() })
	addr := freeAddr(t)
	startGRPC(t, creds, addr)
	mine := issue(t, ca, "client.test")
	for _, get := range []bool{false, true} {
		d := newDialer(ca)
		if get {
			d.TLSConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &mine, nil }
		} else {
			d.TLSConfig.Certificates = []tls.Certificate{mine}
		}
		s := newSpy(NewCredentials(d))
		for i := range 2 {
			c := clientWith(t, d, s, addr)
			c.call()
			if info := c.info(); info.Early.Accepted != (i > 0) {
				t.Errorf("GetClientCertificate %v, connection %d: %+v", get, i, info)
			}
			c.Close()
			if seen := creds.last(t).ConnectionState().PeerCertificates; len(seen) != 1 || !bytes.Equal(seen[0].Raw, mine.Certificate[0]) {
				t.Errorf("GetClientCertificate %v, connection %d: the server saw %d certificates", get, i, len(seen))
			}
		}
		c := newClient(t, d, addr)
		c.call()
		if info := c.info(); info.Resumed == get {
			t.Errorf("GetClientCertificate %v, other credentials: %+v", get, info)
		}
		c.Close()
	}
	c := newClient(t, newDialer(ca), addr)
	c.wait(connectivity.TransientFailure)
	c.Close()
}

// TestPolicy: Dialer.EarlyData is asked about the opening, and obeyed.
func TestPolicy(t *testing.T) {
	ca := newAuthority(t)
	creds := newEarlyCreds(t, issue(t, ca, serverName))
	addr := freeAddr(t)
	startGRPC(t, creds, addr)
	d := newDialer(ca)
	var asked []tlstfo.EarlyDataOffer
	d.EarlyData = func(o tlstfo.EarlyDataOffer) bool { asked = append(asked, o); return false }
	for i := range 2 {
		c := newClient(t, d, addr)
		c.call()
		if info := c.info(); info.Early.Offered || info.Resumed != (i > 0) {
			t.Errorf("%+v", info)
		}
		c.Close()
		creds.last(t).checkOpening(t, false)
	}
	if len(asked) != 1 || asked[0].Size != len(opening) || asked[0].ServerName != serverName || asked[0].ALPN != h2 || asked[0].Addr != addr {
		t.Errorf("asked about %+v", asked)
	}
}

// TestCallAuthority: an authority for one call is checked against the certificate of this connection.
func TestCallAuthority(t *testing.T) {
	ca := newAuthority(t)
	creds := newEarlyCreds(t, issue(t, ca, serverName, "also.test"))
	addr := freeAddr(t)
	startGRPC(t, creds, addr)
	d := newDialer(ca)
	check := func(want codes.Code) {
		t.Helper()
		c := newClient(t, d, addr)
		defer c.Close()
		c.ready()
		resp, err := c.TestServiceClient.UnaryCall(soon(t), nil, grpc.CallAuthority("also.test"))
		if status.Code(err) != want || err == nil && resp.Hostname != "also.test" {
			t.Errorf("%v, authority %q; want code %v", err, resp.GetHostname(), want)
		}
	}
	check(codes.OK)
	check(codes.OK) // resumed, with early data
	only := issue(t, ca, serverName)
	creds.Update(func(c *handshake.ServerConfig) { c.Certificates = []tls.Certificate{only} })
	if err := creds.RotateTicketKeys(0); err != nil {
		t.Fatal(err)
	}
	check(codes.Unavailable) // the ticket was of the certificate before
}
