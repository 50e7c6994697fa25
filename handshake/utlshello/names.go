package utlshello

import (
	"fmt"
	"strings"

	utls "github.com/refraction-networking/utls"
)

// named are the presets that follow their clients, and those that the engine can run of the others. It is never changed.
var named = []struct {
	name string
	id   utls.ClientHelloID
}{
	{"chrome", utls.HelloChrome_Auto},
	{"firefox", utls.HelloFirefox_Auto},
	{"safari", utls.HelloSafari_Auto},
	{"edge", utls.HelloEdge_Auto},
	{"ios", utls.HelloIOS_Auto},
	{"randomized", utls.HelloRandomizedALPN},
	{"chrome-133", utls.HelloChrome_133},
	{"chrome-131", utls.HelloChrome_131},
	{"chrome-120", utls.HelloChrome_120},
	{"chrome-106", utls.HelloChrome_106_Shuffle},
	{"chrome-102", utls.HelloChrome_102},
	{"chrome-100", utls.HelloChrome_100},
	{"firefox-120", utls.HelloFirefox_120},
	{"firefox-105", utls.HelloFirefox_105},
	{"firefox-102", utls.HelloFirefox_102},
	{"firefox-99", utls.HelloFirefox_99},
	{"safari-16.0", utls.HelloSafari_16_0},
	{"edge-106", utls.HelloEdge_106},
	{"edge-85", utls.HelloEdge_85},
	{"ios-14", utls.HelloIOS_14},
	{"ios-13", utls.HelloIOS_13},
}

// Named is Fingerprint by name, for programs that have it from a command line or a file: "chrome", "firefox", "safari", "edge", "ios" and
// "randomized" are the presets that utls keeps up to date (ALPN included), and a version behind it, as in "chrome-120", is that one. The
// error lists the names.
func Named(name string) (*Builder, error) {
	for _, n := range named {
		if strings.EqualFold(n.name, name) {
			return Fingerprint(n.id), nil
		}
	}
	return nil, fmt.Errorf("utlshello: there is no fingerprint %q, but %s", name, strings.Join(Names(), ", "))
}

// Names lists the names that Named knows.
func Names() (names []string) {
	for _, n := range named {
		names = append(names, n.name)
	}
	return names
}
