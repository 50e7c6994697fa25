package tlstfo

import (
	"crypto/tls"
	"os"
	"reflect"
	"regexp"
	"testing"
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

func TestGodebug(t *testing.T) {
	for value, want := range map[string]bool{
		"":                         false,
		"http2client=0":            false,
		"tls10server=1":            false,
		"tlsmlkem=0":               true,
		"netdns=go,tlsunsafeekm=1": true,
		"x509sha256skid=0":         false, // holds for the engine too
		"tracebacklabels=0,x509sslcertoverrideplatform=0": false, // what Go 1.27 sets for a module that names Go 1.26
	} {
		t.Setenv("GODEBUG", value)
		if got := godebugChangesTLS(); got != want {
			t.Errorf("GODEBUG=%q: %v, want %v", value, got, want)
		}
	}
}
