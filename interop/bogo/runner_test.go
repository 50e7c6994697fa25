package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestRunner has BoGo's runner judge the shim in both roles. It needs a runner that was built
// elsewhere: see README.md.
func TestRunner(t *testing.T) {
	runner, folder := os.Getenv("BOGO_RUNNER"), os.Getenv("BOGO_FOLDER")
	if runner == "" || folder == "" {
		t.Skip("not judged: BOGO_RUNNER must name BoGo's runner, a compiled test binary, and BOGO_FOLDER the folder " +
			"ssl/test/runner of BoringSSL's source; README.md tells how to get both")
	}
	shim := filepath.Join(t.TempDir(), "shim")
	if out, err := exec.Command("go", "build", "-o", shim, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, role := range []string{"client", "server"} {
		t.Run(role, func(t *testing.T) { judgeRole(t, runner, folder, shim, role) })
	}
}

// judgeRole runs the tests of a role that are not waived.
func judgeRole(t *testing.T, runner, folder, shim, role string) {
	groups := readTests(t, "tests-"+role+".txt")
	waived := readWaived(t, "waived.txt")
	for group, tests := range groups {
		groups[group] = slices.DeleteFunc(tests, func(name string) bool { return waived[name] != "" })
	}
	results := judge(t, runner, folder, shim, slices.Concat(slices.Collect(maps.Values(groups))...))
	for group, tests := range groups {
		t.Run(group, func(t *testing.T) {
			for _, name := range tests {
				if r := results[name]; r.Actual != "PASS" {
					t.Errorf("%s: %s %s", name, r.Actual, r.Error)
				}
			}
		})
	}
}

type result struct {
	Actual string `json:"actual"` // PASS, FAIL or SKIP
	Error  string `json:"error"`
}

// judge runs the tests named.
func judge(t *testing.T, runner, folder, shim string, tests []string) map[string]result {
	t.Helper()
	config, err := filepath.Abs("shim-config.json")
	if err != nil {
		t.Fatal(err)
	}
	output := filepath.Join(t.TempDir(), "results.json")
	cmd := exec.Command(runner, "-pipe", "-num-workers", "4", "-shim-path", shim, "-shim-config", config,
		"-json-output", output, "-test", strings.Join(tests, ";"))
	cmd.Dir = folder
	log, runErr := cmd.CombinedOutput()
	data, err := os.ReadFile(output)
	var parsed struct{ Tests map[string]result }
	if err == nil {
		err = json.Unmarshal(data, &parsed)
	}
	if err != nil {
		t.Fatalf("the runner gave no results: %v, %v\n%s", err, runErr, log)
	}
	return parsed.Tests
}

// readTests reads a list of tests by group.
func readTests(t *testing.T, name string) map[string][]string {
	t.Helper()
	groups := make(map[string][]string)
	group := ""
	for _, line := range readLines(t, name) {
		if rest, ok := strings.CutPrefix(line, "# group "); ok {
			group = rest
		} else if !strings.HasPrefix(line, "#") {
			groups[group] = append(groups[group], line)
		}
	}
	return groups
}

// readWaived reads the reasons of a list of names.
func readWaived(t *testing.T, name string) map[string]string {
	t.Helper()
	waived := make(map[string]string)
	for _, line := range readLines(t, name) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		test, reason, _ := strings.Cut(line, " ")
		if reason == "" {
			t.Errorf("%s is waived without a reason", test)
		}
		waived[test] = reason
	}
	return waived
}

// readLines returns the lines of a file that are not empty.
func readLines(t *testing.T, name string) []string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(strings.Split(string(data), "\n"), func(line string) bool { return line == "" })
}

// The lists fit each other and what README.md says.
func TestLists(t *testing.T) {
	waived := readWaived(t, "waived.txt")
	client, server, ok := strings.Cut(strings.Join(readLines(t, "README.md"), "\n"), "### Server")
	if !ok {
		t.Fatal("README.md has no results of the server")
	}
	known := make(map[string]bool)
	for role, readme := range map[string]string{"client": client, "server": server} {
		passed, total := 0, 0
		for group, tests := range readTests(t, "tests-"+role+".txt") {
			left := 0
			for _, name := range tests {
				if known[name] {
					t.Errorf("%s is there twice", name)
				}
				known[name] = true
				if waived[name] == "" {
					left++
				}
			}
			if left == 0 {
				t.Errorf("the group %s is waived whole", group)
			}
			if row := fmt.Sprintf("| %s |%s|%s|", group, cell(left), cell(len(tests)-left)); !strings.Contains(readme, row) {
				t.Errorf("the table of the %s does not have %q", role, row)
			}
			passed, total = passed+left, total+len(tests)
		}
		for _, want := range []string{
			fmt.Sprintf("%d of %d pass", passed, total),
			fmt.Sprintf("of the %d that are waived", total-passed),
		} {
			if !strings.Contains(readme, want) {
				t.Errorf("README.md does not say of the %s: %q", role, want)
			}
		}
	}
	for name := range waived {
		if !known[name] {
			t.Errorf("%s is waived, but in no list", name)
		}
	}
}

// cell is a number in a table, which leaves out zeros.
func cell(n int) string {
	if n == 0 {
		return " "
	}
	return fmt.Sprintf(" %d ", n)
}
