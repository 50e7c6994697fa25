package tlstfo

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/tlstfo/tlstfo"

// TestImports keeps the layers apart: imports run one way, the engine does no
// I/O, the transport knows no TLS, and only one package knows utls.
func TestImports(t *testing.T) {
	// What each package of this module may import of it.
	own := map[string][]string{
		"":                    {"handshake", "tfo"},
		"handshake":           {},
		"tfo":                 {},
		"internal/netlab":     {},
		"internal/testpeer":   {"handshake"},
		"internal/waterfall":  {"internal/netlab"},
		"tfohttp":             {""},
		"cmd/tlstfo":          {"", "tfo", "tfohttp", "handshake", "handshake/utlshello", "internal/netlab", "internal/testpeer", "internal/waterfall"},
		"interop":             {},
		"interop/bogo":        {"handshake"},
		"internal/bench":      {"", "tfo", "handshake", "internal/netlab", "internal/testpeer"},
		"handshake/utlshello": {"handshake"},
	}
	forbidden := map[string][]string{
		"handshake": {"net", "os", "context", "log"},
		"tfo":       {"crypto"},
	}
	for dir, imports := range productionImports(t) {
		allowed, known := own[dir]
		if !known {
			t.Errorf("package %q has no place in the layers: add it here", dir)
		}
		for path, file := range imports {
			if rest, ok := strings.CutPrefix(path, module); ok && !slices.Contains(allowed, strings.TrimPrefix(rest, "/")) {
				t.Errorf("%s imports %s", file, path)
			}
			for _, f := range forbidden[dir] {
				if path == f || strings.HasPrefix(path, f+"/") && f != "net" {
					t.Errorf("%s imports %s", file, path)
				}
			}
			if strings.HasPrefix(path, "github.com/refraction-networking/utls") && dir != "handshake/utlshello" {
				t.Errorf("%s imports utls", file)
			}
		}
	}
}

// TestEngineIsSansIO: the engine is told the time, and starts nothing.
func TestEngineIsSansIO(t *testing.T) {
	files, _ := filepath.Glob("handshake/*.go")
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(source)) {
			if strings.HasPrefix(strings.TrimSpace(line), "//") {
				continue
			}
			for _, word := range []string{"time.Now(", "time.Since(", "time.After", "\tgo "} {
				if strings.Contains(line, word) {
					t.Errorf("%s: %q", file, word)
				}
			}
		}
	}
}

// productionImports returns the imports of each package, without its tests:
// folder -> path -> a file that imports it.
func productionImports(t *testing.T) map[string]map[string]string {
	t.Helper()
	all := make(map[string]map[string]string)
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			if _, err := os.Stat(filepath.Join(file, "go.mod")); file != "." && err == nil || strings.HasPrefix(d.Name(), ".") && file != "." || d.Name() == "testdata" {
				return filepath.SkipDir // a module of its own, or no package
			}
			return nil
		case !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go"):
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(file))
		if dir == "." {
			dir = ""
		}
		if all[dir] == nil {
			all[dir] = make(map[string]string)
		}
		for _, spec := range parsed.Imports {
			path, _ := strconv.Unquote(spec.Path.Value)
			all[dir][path] = file
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 3 {
		t.Fatal("no packages were found")
	}
	return all
}
