// Command vet runs go vet's analyzers and gosec's together, so that each package and
// its imports are loaded once:
//
//	go vet -vettool=bin/tools/vet ./...
//
// Gosec's own command imports the clients of three AI vendors to explain findings.
// This project does not need them, and compiling them takes minutes.
package main

import (
	"encoding/json"
	"os"
	"slices"
	"strings"

	"github.com/securego/gosec/v2/goanalysis"
	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/suite/vet"
	"golang.org/x/tools/go/analysis/unitchecker"
)

func main() {
	analyzers := vet.Suite
	if !testsAlone(os.Args[len(os.Args)-1]) {
		analyzers = append(analyzers, withoutTests(goanalysis.Analyzer))
	}
	unitchecker.Main(analyzers...)
}

// testsAlone reports whether a package has test files only, by the configuration that go vet
// writes for it. Gosec would find nothing there that counts, and costs more than all else.
func testsAlone(configuration string) bool {
	b, err := os.ReadFile(configuration) // #nosec G304 -- go vet names the file
	if err != nil {
		return false
	}
	var unit struct{ GoFiles []string }
	if json.Unmarshal(b, &unit) != nil || len(unit.GoFiles) == 0 {
		return false
	}
	return !slices.ContainsFunc(unit.GoFiles, func(name string) bool { return !isTest(name) })
}

// isTest reports whether a file has tests.
func isTest(name string) bool { return strings.HasSuffix(name, "_test.go") }

// withoutTests drops findings in test files, as gosec's own command does: tests contain
// invented secrets and open any file.
func withoutTests(a *analysis.Analyzer) *analysis.Analyzer {
	run := a.Run
	a.Run = func(pass *analysis.Pass) (any, error) {
		report := pass.Report
		pass.Report = func(found analysis.Diagnostic) {
			if !isTest(pass.Fset.Position(found.Pos).Filename) {
				report(found)
			}
		}
		return run(pass)
	}
	return a
}
