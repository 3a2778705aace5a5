package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// An asset is a package of npm of which files are embedded in the programs.
type asset struct {
	Name    string
	Version string
	// Integrity is the SHA-512 of the package in base64, after "sha512-".
	Integrity string
	Licence   string `json:"license"`
}

// embedded maps the packages that assets/package.json names to whether they are in the programs,
// and to the file in the repository with the licence.
var embedded = map[string]struct {
	in      bool
	licence string
}{
	"@redocly/cli":        {false, ""}, // only for make docs-lint
	"axe-core":            {false, ""}, // only in tests of pages
	"sass":                {false, ""}, // makes the style sheet
	"@stoplight/elements": {true, "internal/web/static/vendor/elements.LICENSE.txt"},
	"govuk-frontend":      {true, "internal/web/static/app.css.LICENSE.txt"},
	"htmx.org":            {true, "internal/web/static/vendor/htmx.LICENSE.txt"},
	"pdfjs-dist":          {true, "internal/web/static/vendor/pdfjs/LICENSE.txt"},
}

// assetsOf returns the embedded assets, by name. It fails if package.json names a package of which
// it is not known whether it is embedded.
func assetsOf(root string) (all []asset, err error) {
	var named struct{ Dependencies map[string]string }
	if err := readJSON(filepath.Join(root, "assets/package.json"), &named); err != nil {
		return nil, err
	}
	var lock struct{ Packages map[string]asset }
	if err := readJSON(filepath.Join(root, "assets/package-lock.json"), &lock); err != nil {
		return nil, err
	}
	for _, name := range sorted(named.Dependencies) {
		known, ok := embedded[name]
		if !ok {
			return nil, fmt.Errorf("assets/package.json names %s: say in tools/supply/assets.go whether it is embedded", name)
		}
		if !known.in {
			continue
		}
		a, ok := lock.Packages["node_modules/"+name]
		if !ok {
			return nil, fmt.Errorf("assets/package-lock.json lacks %s: run make assets", name)
		}
		a.Name = name
		all = append(all, a)
	}
	return all, nil
}

func readJSON(path string, into any) error {
	text, err := os.ReadFile(path) // #nosec G304 -- files of the repository
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	return nil
}
