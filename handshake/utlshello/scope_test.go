package utlshello

import (
	"testing"

	utls "github.com/refraction-networking/utls"
)

// A scope is that of a fingerprint in every process, whatever is random in it, and of no other.
func TestSessionScope(t *testing.T) {
	scopes := make(map[string]string)
	for name, id := range map[string]utls.ClientHelloID{
		"Chrome 133": utls.HelloChrome_133, "Chrome 131": utls.HelloChrome_131, "Chrome 120": utls.HelloChrome_120,
		"Chrome 102": utls.HelloChrome_102, "Firefox 120": utls.HelloFirefox_120, "Firefox 105": utls.HelloFirefox_105,
		"Safari 16": utls.HelloSafari_16_0, "iOS 14": utls.HelloIOS_14, "one seed": {Client: "Randomized", Version: "0", Seed: &utls.PRNGSeed{3}},
	} {
		scope := Fingerprint(id).SessionScope()
		if other := scopes[scope]; other != "" || scope == "" {
			t.Errorf("%s and %s have the scope %q", name, other, scope)
		}
		scopes[scope] = name
		spec, err := utls.UTLSIdToSpec(id)
		if err != nil {
			t.Fatal(err)
		}
		if id.Seed == nil && (Fingerprint(id).SessionScope() != scope || Spec(&spec).SessionScope() != scope) {
			t.Errorf("%s: the scope changes", name)
		}
	}
	drawn := Fingerprint(utls.HelloRandomized)
	if a, b := drawn.SessionScope(), Fingerprint(utls.HelloRandomized).SessionScope(); a != drawn.SessionScope() || a == b {
		t.Errorf("randomized: %s, then %s, and %s for another", a, drawn.SessionScope(), b)
	}
	// What was captured has GREASE of its own.
	hello := func() *utls.ClientHelloSpec {
		cfg, _ := setup(t, Fingerprint(utls.HelloChrome_133))
		spec := new(utls.ClientHelloSpec)
		if err := capture(spec, firstHello(t, cfg).message); err != nil {
			t.Fatal(err)
		}
		return spec
	}
	if a, b := Spec(hello()).SessionScope(), Spec(hello()).SessionScope(); a != b {
		t.Errorf("two captured hellos of a client: %s, %s", a, b)
	}
	if new(Builder).SessionScope() != "" || Spec(nil).SessionScope() == "" {
		t.Error("the scope of what makes no hello")
	}
}
