package tlstfo

import (
	"crypto/tls"
	"os"
	"reflect"
	"regexp"
	"slices"
	"testing"

	"github.com/tlstfo/tlstfo/handshake"
)

// TestConfigTable keeps the table of the package documentation complete: a
// field that a new Go release adds must be decided on, not ignored.
func TestConfigTable(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	listed := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^//\t([A-Z]\w+)  +\S`).FindAllSubmatch(doc, -1) {
		listed[string(m[1])] = true
	}
	typ := reflect.TypeFor[tls.Config]()
	for i := range typ.NumField() {
		f := typ.Field(i)
		if f.IsExported() && !listed[f.Name] {
			t.Errorf("the table in doc.go does not say what becomes of tls.Config.%s", f.Name)
		}
		delete(listed, f.Name)
	}
	for name := range listed {
		t.Errorf("the table in doc.go has %s, which tls.Config does not", name)
	}
}

func TestWhyStd(t *testing.T) {
	for name, config := range map[string]*tls.Config{
		"MaxVersion":       {MaxVersion: tls.VersionTLS12},
		"ECH":              {EncryptedClientHelloConfigList: []byte{1}},
		"Rand":             {Rand: os.Stdin},
		"CurvePreferences": {CurvePreferences: []tls.CurveID{0xffff}},
	} {
		if whyStd(config) == "" {
			t.Errorf("%s: the engine would run a connection whose config it does not honour", name)
		}
	}
	if why := whyStd(&tls.Config{}); why != "" {
		t.Errorf("the zero config goes to crypto/tls: %s", why)
	}
}

// TestGodebug: a setting changes what it is about. Those that Go sets by itself for programs that name an older version, and
// those of servers and older versions of TLS, leave the engine on.
func TestGodebug(t *testing.T) {
	every := []tls.CurveID{tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024, tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}
	usual := handshake.DefaultGroups()
	classical := every[3:]
	for _, test := range []struct {
		settings   string
		std        bool
		usual, all []tls.CurveID // without CurvePreferences, and where they have every group
	}{
		{"", false, usual, every},
		{"http2client=0,netdns=go", false, usual, every},
		{"tls10server=1,tls3des=1,tlsrsakex=1,tlssha1=1,tlsunsafeekm=1,tlskyber=0", false, usual, every},
		{"x509sha256skid=0,x509keypairleaf=0", false, usual, every},
		{"tlsmlkem=1", false, usual, every},
		{"tlsmlkem=0", false, classical, classical},
		{"tlsmlkem=0,tlsmlkem=1", false, usual, every},
		{"netdns=go, tlsmlkem=0 ", false, classical, classical},
		{"tlssecpmlkem=0", false, append(every[:1:1], classical...), append(every[:1:1], classical...)},
		{"tlsmaxrsasize=16384", true, usual, every},
	} {
		t.Setenv("GODEBUG", test.settings)
		if why := whyStd(&tls.Config{}); (why != "") != test.std {
			t.Errorf("GODEBUG=%q: crypto/tls, as %q", test.settings, why)
		}
		if got := groups(&tls.Config{}); !slices.Equal(got, test.usual) {
			t.Errorf("GODEBUG=%q: %v, want %v", test.settings, got, test.usual)
		}
		if got := groups(&tls.Config{CurvePreferences: every}); !slices.Equal(got, test.all) {
			t.Errorf("GODEBUG=%q, CurvePreferences: %v, want %v", test.settings, got, test.all)
		}
	}
	t.Setenv("GODEBUG", "tlsmlkem=0")
	if whyStd(&tls.Config{CurvePreferences: every[:1]}) == "" {
		t.Error("the engine would run a connection for which it may use no group")
	}
}

// TestGodebugDial: a Dialer obeys.
func TestGodebugDial(t *testing.T) {
	t.Setenv("GODEBUG", "tlsmlkem=0")
	o := newOrigin(t)
	c, err := o.dialer().Dial("tcp", o.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := c.(*Conn).ConnectionState().CurveID; got != tls.X25519 || c.(*Conn).Info().CryptoTLS != "" {
		t.Errorf("group %v, %+v", got, c.(*Conn).Info())
	}
}
