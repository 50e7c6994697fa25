package utlshello

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	utls "github.com/refraction-networking/utls"

	"github.com/tlstfo/tlstfo/handshake"
)

// TestConfigTable keeps the table of the package documentation complete and true: a field that a new version of utls adds must
// be decided on, and those that are set are those that the table says are.
func TestConfigTable(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(doc), "fields of utls.Config\n")
	listed := make(map[string]string)
	for _, m := range regexp.MustCompile(`(?m)^//\t([A-Z]\w+)  +(\S.*)$`).FindAllStringSubmatch(table, -1) {
		listed[m[1]] = m[2]
	}
	set := reflect.ValueOf(utlsConfig(&handshake.Config{ServerName: "x", NextProtos: []string{"y"}}, strings.NewReader(""))).Elem()
	typ := reflect.TypeFor[utls.Config]()
	for i := range typ.NumField() {
		f := typ.Field(i)
		if !f.IsExported() {
			continue
		}
		text, ok := listed[f.Name]
		if !ok {
			t.Errorf("the table in doc.go does not say what becomes of utls.Config.%s", f.Name)
		}
		unused := strings.HasPrefix(text, "not used") || strings.HasPrefix(text, "servers only")
		if unused != set.Field(i).IsZero() {
			t.Errorf("utls.Config.%s is %v, and the table says %q", f.Name, set.Field(i), text)
		}
		delete(listed, f.Name)
	}
	for name := range listed {
		t.Errorf("the table in doc.go has %s, which utls.Config does not", name)
	}
}
