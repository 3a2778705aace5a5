// Command vet runs go vet's analyzers and gosec's together, so that each package and
// its imports are loaded once:
//
//	go vet -vettool=bin/tools/vet ./...
//
// Gosec's own command imports the clients of three AI vendors to explain findings.
// This project does not need them, and compiling them takes minutes.
package main

import (
	"strings"

	"github.com/securego/gosec/v2/goanalysis"
	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/suite/vet"
	"golang.org/x/tools/go/analysis/unitchecker"
)

func main() { unitchecker.Main(append(vet.Suite, withoutTests(goanalysis.Analyzer))...) }

// withoutTests drops findings in test files, as gosec's own command does: tests contain
// invented secrets and open any file.
func withoutTests(a *analysis.Analyzer) *analysis.Analyzer {
	run := a.Run
	a.Run = func(pass *analysis.Pass) (any, error) {
		report := pass.Report
		pass.Report = func(found analysis.Diagnostic) {
			if !strings.HasSuffix(pass.Fset.Position(found.Pos).Filename, "_test.go") {
				report(found)
			}
		}
		return run(pass)
	}
	return a
}
