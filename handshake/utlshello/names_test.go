package utlshello

import (
	"strings"
	"testing"

	"github.com/tlstfo/tlstfo/handshake"
)

// Every name is that of a hello that the engine can run.
func TestNamed(t *testing.T) {
	for _, name := range Names() {
		b, err := Named(strings.ToUpper(name))
		if err != nil {
			t.Fatal(err)
		}
		cfg, _ := setup(t, b)
		if _, err := handshake.NewClient(cfg); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if client, version, ok := strings.Cut(name, "-"); ok && !strings.EqualFold(b.name, client+"-"+version) {
			t.Errorf("%s is %s", name, b.name)
		}
	}
	if _, err := Named("netscape"); err == nil || !strings.Contains(err.Error(), "chrome-120") {
		t.Error(err)
	}
}
