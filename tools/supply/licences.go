package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// allowed are the licences of what may be linked or embedded, by their SPDX identifiers. All of
// them allow that without conditions on our own code. MPL-2.0 asks that changes of its own files
// are published: we change none.
var allowed = []string{"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0", "Unlicense", "Zlib"}

// sameAs maps other names that the classifier has for a licence to its SPDX identifier.
var sameAs = map[string]string{"MIT-0": "MIT", "BSD-2-Clause-FreeBSD": "BSD-2-Clause", "BSD-2-Clause-NetBSD": "BSD-2-Clause"}

// A part is a module or a package with its licences.
type part struct {
	name, version string
	licences      []string
}

// enough is the share of a licence file, in percent, that has to be a known text.
const enough = 75

// licenceFile matches the names of files that hold a licence.
var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|unlicense)([-.].*)?$`)

// writeLicences writes docs/licences.md: the licences of all that is linked into the programs or
// embedded in them. It fails if a part has no licence, or one that is not allowed.
func writeLicences(out io.Writer, root string) error {
	modules, err := linked(root)
	if err != nil {
		return err
	}
	assets, err := assetsOf(root)
	if err != nil {
		return err
	}
	var parts []part
	for _, m := range modules {
		found, err := licencesIn(m.dir)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		parts = append(parts, part{m.name, m.version, found})
	}
	for _, a := range assets {
		found, err := licencesOf(filepath.Join(root, embedded[a.Name].licence))
		if err != nil {
			return err
		}
		if !slices.Contains(found, a.Licence) {
			return fmt.Errorf("%s says that its licence is %s, and %s holds %v", a.Name, a.Licence, embedded[a.Name].licence, found)
		}
		parts = append(parts, part{"npm: " + a.Name, a.Version, found})
	}
	for _, p := range parts {
		if err := p.check(); err != nil {
			return err
		}
	}
	return table(out, parts)
}

// check refuses a part without a licence, or with one that is not allowed.
func (p part) check() error {
	if len(p.licences) == 0 {
		return fmt.Errorf("%s %s has no licence that is known: do not use it, or ask its authors", p.name, p.version)
	}
	for _, l := range p.licences {
		if !slices.Contains(allowed, l) {
			return fmt.Errorf("%s %s has the licence %s, which is not one of %s: do not use it, or add the licence in tools/supply/licences.go with the reason",
				p.name, p.version, l, strings.Join(allowed, ", "))
		}
	}
	return nil
}

func table(out io.Writer, parts []part) error {
	var b bytes.Buffer
	b.WriteString("# Licences\n\nThe licences of all that is linked into the programs of Postern or embedded in them, beside Go's standard library (BSD-3-Clause). " +
		"`make licences` writes this page from the licence files of the modules; `make check` compares it, and refuses a licence that is not one of " +
		strings.Join(allowed, ", ") + ".\n\n| part | version | licence |\n|---|---|---|\n")
	for _, p := range parts {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", p.name, p.version, strings.Join(p.licences, ", "))
	}
	_, err := out.Write(b.Bytes())
	return err
}

// A module is one that is linked.
type module struct{ name, version, dir string }

// linked returns the modules that are linked into the programs for Linux, by name.
func linked(root string) ([]module, error) {
	cmd := exec.Command("go", "list", "-deps", "-f",
		`{{with .Module}}{{if not .Main}}{{with .Replace}}{{.Path}} {{.Version}} {{.Dir}}{{else}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}{{end}}`, "./cmd/...")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOFLAGS=", "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("listing the linked modules: %w", err)
	}
	all := map[string]module{}
	for line := range strings.Lines(string(text)) {
		if fields := strings.SplitN(strings.TrimSpace(line), " ", 3); len(fields) == 3 {
			all[fields[0]] = module{fields[0], fields[1], fields[2]}
		}
	}
	var modules []module
	for _, name := range sorted(all) {
		modules = append(modules, all[name])
	}
	return modules, nil
}

// licencesIn returns the licences in the licence files of a folder.
func licencesIn(dir string) (all []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.IsDir() || !licenceFile.MatchString(e.Name()) {
			continue
		}
		found, err := licencesOf(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// licencesOf returns the licences in a file. It fails if much of the file is no known licence.
func licencesOf(path string) (all []string, err error) {
	text, err := os.ReadFile(path) // #nosec G304 -- of a module or of the repository
	if err != nil {
		return nil, err
	}
	covered := licensecheck.Scan(text)
	for _, m := range covered.Match {
		id := m.ID
		if same, ok := sameAs[id]; ok {
			id = same
		}
		all = append(all, id)
	}
	if covered.Percent < enough {
		return nil, fmt.Errorf("%s: only %.0f%% of it is a known licence (%s)", path, covered.Percent, strings.Join(all, ", "))
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// sorted returns the keys of a map in order.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
