package interop

import (
	"crypto/tls"
	"testing"

	utls "github.com/refraction-networking/utls"

	"github.com/tlstfo/tlstfo/handshake"
	"github.com/tlstfo/tlstfo/handshake/utlshello"
	"github.com/tlstfo/tlstfo/internal/netlab"
)

// fingerprints are the hellos that client processes can send. It is never changed.
var fingerprints = map[string]utls.ClientHelloID{
	"chrome": utls.HelloChrome_Auto, "firefox": utls.HelloFirefox_Auto, "safari": utls.HelloSafari_Auto,
	"edge": utls.HelloEdge_Auto, "ios": utls.HelloIOS_Auto, "randomized": utls.HelloRandomizedALPN,
}

// hello is the Builder of a client process; nil is the compact hello.
func (p profile) hello() handshake.Builder {
	if p.Fingerprint == "" {
		return nil
	}
	id := fingerprints[p.Fingerprint]
	if p.Seed != 0 {
		id.Seed = &utls.PRNGSeed{p.Seed}
	}
	return utlshello.Fingerprint(id)
}

// classical leaves out the group that is too long for a SYN.
var classical = []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}

// TestFingerprintWarm: under a fingerprint that fits the SYN a warm request takes one round trip, with hello and request in it; Chrome's takes two,
// and one if its post-quantum share is left out.
func TestFingerprintWarm(t *testing.T) {
	versions(t, func(t *testing.T, lab *netlab.Lab, ip string) {
		n := startNginx(t, lab, nil)
		ca := n.credentials().ca
		var users []*user
		for name := range fingerprints {
			p := profile{CA: ca, Fingerprint: name}
			if name == "randomized" {
				p.Groups = classical // one seed in two has the post-quantum share
			}
			u := newUser(t, lab, ip, p)
			users = append(users, u)
			u.get(early) // the first of all users asks for the cookie
			x := u.get(early)
			if name != "chrome" {
				x.wantEarly(t)
				u.get(dial).want(t, 2, true)
				continue
			}
			x.want(t, 2, true)
			if !x.Early.Accepted || x.Overflow == 0 || x.SynBytes == 0 {
				t.Errorf("Chrome: early data %+v (%s), %d bytes in the SYN, %d over; want it accepted although it did not fit", x.Early, x.EarlyReason, x.SynBytes, x.Overflow)
			}
			small := newUser(t, lab, ip, profile{CA: ca, Fingerprint: name, Groups: classical})
			users = append(users, small)
			small.get(early).want(t, 2, false)
			small.get(early).wantEarly(t)
		}
		n.check(users...)
	})
}

// TestFingerprintOneRoundTrip measures the warm request under Firefox's hello.
func TestFingerprintOneRoundTrip(t *testing.T) {
	lab := startLab(t)
	ip := lab.Server.IPv4.String()
	n := startNginx(t, lab, nil)
	u := newUser(t, lab, ip, profile{CA: n.credentials().ca, Fingerprint: "firefox"})
	u.get(early).want(t, 3, false)
	t.Logf("first response byte after %.2f round trips", bestTrips(t, func() *exchange { return u.get(early) }))
	n.check(u)
}

// TestFingerprintSServer: OpenSSL takes every fingerprint's early data, and asks for another share where it wants P-384.
func TestFingerprintSServer(t *testing.T) {
	lab := startLab(t)
	ip := lab.Server.IPv4.String()
	s := startSServer(t, lab, newCredentials(t), ip)
	var users []*user
	for name := range fingerprints {
		u := newUser(t, lab, ip, profile{CA: s.cred.ca, Fingerprint: name})
		u.early = 2
		users = append(users, u)
		if x := s.get(u, early); x.Resumed || x.HelloRetryRequest || x.Version != tls.VersionTLS13 {
			t.Errorf("%s: %+v", name, x.summary())
		}
		if x := s.get(u, early); !x.Resumed || !x.Early.Accepted {
			t.Errorf("%s: %+v", name, x.summary())
		}
	}
	s.restart(ip, "-groups", "P-384")
	for _, u := range users {
		if x := s.get(u, early); x.Resumed || !x.HelloRetryRequest || x.Group != uint16(tls.CurveP384) || x.EarlyReason != "hello retry request" {
			t.Errorf("%+v", x.summary())
		}
	}
	s.check(users...)
}

// TestFingerprintNginxRetry: nginx that has P-384 only asks for a share of it, with and without a session, which it resumes. Early data is
// refused by that, and comes again under traffic keys.
func TestFingerprintNginxRetry(t *testing.T) {
	lab := startLab(t)
	n := startNginx(t, lab, func(s *settings) { s.Curve = "secp384r1" })
	var users []*user
	for _, name := range []string{"chrome", "firefox", "safari"} {
		u := newUser(t, lab, lab.Server.IPv4.String(), profile{CA: n.credentials().ca, Fingerprint: name})
		users = append(users, u)
		for i, way := range []string{dial, dial, early} {
			x := u.get(way)
			if x.Err != "" || x.Resumed != (i > 0) || !x.HelloRetryRequest || x.Group != uint16(tls.CurveP384) || x.Early.Accepted || x.Redials != 0 {
				t.Errorf("%s, request %d: %+v", name, i, x.summary())
			}
			if way == early && (!x.Early.Offered || x.EarlyReason != "hello retry request" || x.Early.Resent == 0) {
				t.Errorf("%s: early data %+v (%s)", name, x.Early, x.EarlyReason)
			}
		}
	}
	n.check(users...)
}

// TestFingerprintSeeds: OpenSSL, which checks every share, takes randomized hellos, and their sessions and early data.
func TestFingerprintSeeds(t *testing.T) {
	lab := startLab(t)
	n := startNginx(t, lab, nil)
	var users []*user
	for seed := byte(1); len(users) < 15; seed++ {
		id := fingerprints["randomized"]
		id.Seed = &utls.PRNGSeed{seed}
		spec, err := utls.UTLSIdToSpec(id)
		if err != nil {
			t.Fatal(err)
		}
		if spec.TLSVersMax != utls.VersionTLS13 {
			continue
		}
		u := newUser(t, lab, lab.Server.IPv4.String(), profile{CA: n.credentials().ca, Fingerprint: "randomized", Seed: seed})
		users = append(users, u)
		if x := u.get(dial); x.Err != "" || x.Resumed || x.Version != tls.VersionTLS13 {
			t.Errorf("seed %d: %+v", seed, x.summary())
		}
		if x := u.get(early); !x.Resumed || !x.Early.Accepted {
			t.Errorf("seed %d: %+v", seed, x.summary())
		}
	}
	n.check(users...)
}

// TestFingerprintTLS12: a server without TLS 1.3 is dialled again through crypto/tls.
func TestFingerprintTLS12(t *testing.T) {
	lab := startLab(t)
	ip := lab.Server.IPv4.String()
	n := startNginx(t, lab, func(s *settings) { s.TLS12 = true })
	u := newUser(t, lab, ip, profile{CA: n.credentials().ca, Fingerprint: "firefox"})
	x := u.get(early)
	if x.Version != tls.VersionTLS12 || x.CryptoTLS == "" || x.Redials != 1 {
		t.Errorf("%+v", x.summary())
	}
	n.check(u)
}
