package main

import (
	"crypto/tls"
	"errors"
	"slices"
	"testing"
)

func TestParseFlags(t *testing.T) {
	sets, err := parseFlags([]string{
		"-port", "4433", "-shim-id", "7", "-async", "-trust-cert", "", "-advertise-alpn", "\x03foo\x02-b",
		"-on-initial-expect-alpn", "foo", "-on-resume-expect-alpn", "-b", "-on-retry-verify-fail",
		"-curves", "29", "-curves", "4588", "-expect-ocsp-response", "AQID", "-expect-selected-credential", "-1",
		"-cert-file", "default", "-new-x509-credential", "-cert-file", "first", "-must-match-issuer",
		"-new-x509-credential", "-cert-file", "second", "-host-name", "example.com",
	})
	if err != nil {
		t.Fatal(err)
	}
	i, r, x := &sets.initial, &sets.resume, &sets.retry
	if i.Port != 4433 || r.ShimID != 7 || !x.Async || i.TrustCert != "" || i.HostName != "example.com" {
		t.Errorf("%+v", i)
	}
	if got := splitProtocols(i.AdvertiseALPN); !slices.Equal(got, []string{"foo", "-b"}) {
		t.Errorf("protocols %q", got)
	}
	if i.ExpectALPN != "foo" || r.ExpectALPN != "-b" || x.ExpectALPN != "" || i.VerifyFail || r.VerifyFail || !x.VerifyFail {
		t.Error("prefixes")
	}
	if !slices.Equal(i.Curves, []uint16{29, 4588}) || !slices.Equal(x.Curves, i.Curves) ||
		string(i.ExpectOCSPResponse) != "\x01\x02\x03" || !slices.Equal(i.ExpectSelectedCredential, []int{-1}) {
		t.Errorf("lists: %+v", i)
	}
	if i.CertFile != "default" || i.MustMatchIssuer || len(i.credentials) != 2 || i.credentials[0].CertFile != "first" ||
		!i.credentials[0].MustMatchIssuer || i.credentials[1].CertFile != "second" {
		t.Errorf("credentials: %+v", i.credentials)
	}
	if i.ShimInitialWrite != "hello" || i.initialWrites() != 0 {
		t.Error("defaults")
	}
}

func TestParseFlagsRefuses(t *testing.T) {
	for _, args := range [][]string{{"-no-such-flag"}, {"-on-resume-no-such-flag"}, {"-max-version", "771"}} {
		if _, err := parseFlags(args); !errors.Is(err, errUnimplemented) {
			t.Errorf("%q: %v", args, err)
		}
	}
	for _, args := range [][]string{{"-port"}, {"-port", "x"}, {"-curves", "70000"}, {"-expect-ocsp-response", "?"}} {
		if _, err := parseFlags(args); err == nil || errors.Is(err, errUnimplemented) {
			t.Errorf("%q: %v", args, err)
		}
	}
}

func TestSelectable(t *testing.T) {
	for _, c := range []struct {
		args []string
		want []string
	}{
		{nil, nil},
		{[]string{"-select-alpn", ""}, nil},
		{[]string{"-select-alpn", "foo"}, []string{"foo"}},
		{[]string{"-decline-alpn"}, nil},
	} {
		sets, err := parseFlags(append(c.args, "-server"))
		if err != nil {
			t.Fatal(err)
		}
		if got := sets.initial.selectable(); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q", c.args, got)
		}
	}
	if got := (&options{RejectALPN: true}).selectable(); len(got) != 1 {
		t.Errorf("-reject-alpn: %q", got)
	}
}

func TestKeyShares(t *testing.T) {
	const hybrid = uint16(tls.X25519MLKEM768)
	for _, c := range []struct {
		name string
		o    options
		want []tls.CurveID
	}{
		{"default", options{}, nil},
		{"none", options{NoKeyShares: true}, []tls.CurveID{}},
		{"one kind", options{Curves: []uint16{23, 24}}, []tls.CurveID{23}},
		{"both kinds", options{Curves: []uint16{23, 24, hybrid}}, []tls.CurveID{23, tls.X25519MLKEM768}},
		{"explicit", options{Curves: []uint16{23, 24}, KeyShares: []uint16{24}}, []tls.CurveID{24}},
		{"hint", options{Curves: []uint16{23, 24}, NoKeyShares: true, ServerSupportedGroupsHint: []uint16{99, 24}}, []tls.CurveID{24}},
		{"unknown hint", options{Curves: []uint16{23, 24}, ServerSupportedGroupsHint: []uint16{99}}, []tls.CurveID{23}},
	} {
		if got := c.o.keyShares(); !slices.Equal(got, c.want) || (got == nil) != (c.want == nil) {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
