// Command supply says what the programs are made of:
//
//	supply sbom PROGRAM…              a CycloneDX document of these programs, on standard output
//	supply licences                   docs/licences.md, on standard output
//	supply vulnerabilities PROGRAM    runs govulncheck, PROGRAM, where its database can be reached
//
// It is run in the folder of the repository. The same input gives the same bytes.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "supply:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	switch {
	case len(args) > 1 && args[0] == "sbom":
		return writeSBOM(out, ".", args[1:])
	case len(args) == 1 && args[0] == "licences":
		return writeLicences(out, ".")
	case len(args) == 2 && args[0] == "vulnerabilities":
		return checkVulnerabilities(out, args[1])
	}
	return errors.New("use it as supply sbom PROGRAM…, supply licences, or supply vulnerabilities GOVULNCHECK")
}
