package handshake

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"strings"
	"testing"
)

// listing is a Builder of compact hellos in whose lists some numbers are replaced by others.
type listing struct{ suites, groups, algorithms map[uint16]uint16 }

func (l listing) BuildHello(cfg *Config, rand io.Reader) (*Hello, error) {
	h, err := CompactHello{}.BuildHello(cfg, rand)
	if err != nil {
		return nil, err
	}
	v, _ := viewHello(h.Raw)
	groups, _ := v.extension(extSupportedGroups)
	algorithms, _ := v.extension(extSignatureAlgorithms)
	for _, list := range []struct {
		data    []byte // of the hello
		replace map[uint16]uint16
	}{{v.suites, l.suites}, {groups[2:], l.groups}, {algorithms[2:], l.algorithms}} {
		for i := 0; i < len(list.data); i += 2 {
			if to, ok := list.replace[binary.BigEndian.Uint16(list.data[i:])]; ok {
				binary.BigEndian.PutUint16(list.data[i:], to)
			}
		}
	}
	return h, nil
}

// What a server could select of a Builder's lists is supported, or the error names it before anything is sent.
func TestHelloLists(t *testing.T) {
	const chacha, p521, pss512 = tls.TLS_CHACHA20_POLY1305_SHA256, uint16(tls.CurveP521), uint16(tls.PSSWithSHA512)
	suite := func(id uint16) listing { return listing{suites: map[uint16]uint16{chacha: id}} }
	group := func(id uint16) listing { return listing{groups: map[uint16]uint16{p521: id}} }
	algorithm := func(id uint16) listing { return listing{algorithms: map[uint16]uint16{pss512: id}} }
	for _, test := range []struct {
		b    listing
		want string // "": it is taken
	}{
		{suite(tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256), ""}, {suite(0x1a1a), ""}, {suite(0x00ff), ""}, // the last is no suite (RFC 5746)
		{suite(0x1304), "TLS_AES_128_CCM_SHA256"}, {suite(0x1305), "TLS_AES_128_CCM_8_SHA256"}, {suite(0x00c6), "TLS_SM4_GCM_SM3"},
		{suite(0x13ff), "an unknown one (0x13ff)"},
		{listing{suites: map[uint16]uint16{0x1301: 0xc02b, 0x1302: 0xc02c, 0x1303: 0xc02f}}, "no cipher suite for TLS 1.3"},
		{listing{suites: map[uint16]uint16{0x1302: 0x1301}}, "0x1301 twice"},
		{group(0x2a2a), ""}, {group(22), ""}, {group(26), ""}, {group(256), ""}, {group(260), ""}, // secp256k1, brainpoolP256r1, ffdhe
		{group(30), "supported_groups (10): the group x448 (30)"}, {group(31), "brainpoolP256r1tls13"}, {group(41), "curveSM2"},
		{group(0x6399), "a Kyber draft"}, {group(261), "an unknown one (261)"}, {group(23), ""},
		{algorithm(0x0201), ""}, {algorithm(0x0402), ""}, {algorithm(0x0303), ""}, {algorithm(0xfafa), ""}, {algorithm(0x0420), ""},
		{algorithm(0x0808), "signature_algorithms (13): the algorithm ed448"}, {algorithm(0x0809), "rsa_pss_pss_sha256"},
		{algorithm(0x081a), "brainpool"}, {algorithm(0x0905), "mldsa65"}, {algorithm(0x0999), "an unknown one (0x0999)"},
	} {
		_, err := NewClient(&Config{ServerName: "example.com", Hello: test.b})
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%v: %v; want %q", test.b, err, test.want)
		}
	}
	// The same holds for delegated_credential.
	for _, data := range [][]byte{{0, 2, 8, 8}, {0, 3, 4, 3, 4}, {0, 0}, {0, 2, 4, 3, 0}, {0}} {
		if _, err := NewClient(&Config{ServerName: "example.com", Hello: browser{offer: []extension{{extDelegatedCredential, data}}}}); err == nil {
			t.Errorf("delegated_credential %x was taken", data)
		}
	}
}

// keyless is a Builder that forgets the keys of its shares.
type keyless struct{}

func (keyless) BuildHello(cfg *Config, rand io.Reader) (*Hello, error) {
	h, err := CompactHello{}.BuildHello(cfg, rand)
	if err == nil {
		h.Keys = h.Keys[:1]
	}
	return h, err
}

// A share without a key could not be honoured.
func TestHelloKeys(t *testing.T) {
	if _, err := NewClient(&Config{ServerName: "example.com", Hello: keyless{}}); err == nil || !strings.Contains(err.Error(), "no key for the share of group 29") {
		t.Error(err)
	}
}
