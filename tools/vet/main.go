// Command vet is go vet with gosec's analyzer beside its own, so that a package
// and what it imports are read once:
//
//	go vet -vettool=bin/tools/vet ./...
//
// Gosec's own command imports the clients of three AI vendors, which explain
// findings. Nothing here needs them, and compiling them takes minutes.
package main

import (
	"strings"

	"github.com/securego/gosec/v2/goanalysis"
	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/suite/vet"
	"golang.org/x/tools/go/analysis/unitchecker"
)

func main() { unitchecker.Main(append(vet.Suite, withoutTests(goanalysis.Analyzer))...) }

// withoutTests leaves tests out, as gosec's own command does: they hold invented
// secrets and open any file.
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
