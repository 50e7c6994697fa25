package tlstfo

import (
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestElsewhere: what is built for every system names no error number that only some have. Plan 9 has the fewest; few machines can compile for it as fast as this looks.
func TestElsewhere(t *testing.T) {
	plan9 := []string{"EINVAL", "ENOTDIR", "EISDIR", "ENOENT", "EEXIST", "EMFILE", "EIO", "ENAMETOOLONG", "EINTR", "EPERM", "EBUSY", "ETIMEDOUT", "EPLAN9", "EACCES", "EAFNOSUPPORT"}
	system := build.Default
	system.GOOS, system.GOARCH, system.CgoEnabled = "plan9", "amd64", false
	for _, dir := range []string{".", "tfo", "tfohttp", "handshake", "handshake/utlshello"} {
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for _, f := range files {
			name := filepath.Join(dir, f.Name())
			if built, err := system.MatchFile(dir, f.Name()); err != nil || !built || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
				continue
			}
			seen++
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				s, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "syscall" && strings.HasPrefix(s.Sel.Name, "E") && !slices.Contains(plan9, s.Sel.Name) {
					t.Errorf("%s: syscall.%s", name, s.Sel.Name)
				}
				return true
			})
		}
		if seen == 0 {
			t.Errorf("nothing is built of %s", dir)
		}
	}
}
