// Package docs checks that the files, tests and database constraints that the pages
// name exist.
package docs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// link matches [text](target) and [`text`](target).
var link = regexp.MustCompile("\\[(`?)([^\\]`]+)`?\\]\\(([^)#\\s]+)[^)]*\\)")

// pages returns the paths of the pages at the top and of all pages in docs.
func pages(t *testing.T) (all []string) {
	t.Helper()
	all = append(all, "../README.md", "../CONTRIBUTING.md", "../SECURITY.md", "../CHANGELOG.md")
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".md") {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Every link leads to a file. If its text is an identifier, that file declares it.
func TestLinks(t *testing.T) {
	for _, page := range pages(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range link.FindAllStringSubmatch(string(text), -1) {
			code, name, target := found[1] != "", found[2], found[3]
			if strings.Contains(target, "://") {
				continue
			}
			path := filepath.Join(filepath.Dir(page), target)
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s links to %s, which does not exist", page, target)
				continue
			}
			if code && strings.HasSuffix(target, ".go") && !declares(t, path, name) {
				t.Errorf("%s: %s does not declare %s", page, target, name)
			}
		}
	}
}

func declares(t *testing.T, path, name string) bool {
	t.Helper()
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`(?m)^func (\([^)]*\) )?` + name + `\(|^\s*(type|var|const)?\s*` + name + `\b.*(=|struct|func|interface)`).Match(source)
}

// The layout in the README names every room in internal, and every package in a room.
func TestTheLayoutIsComplete(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, layout, _ := strings.Cut(string(readme), "\ninternal/\n")
	layout, _, _ = strings.Cut(layout, "\n```")
	room := regexp.MustCompile(`(?m)^  (\w+) `)
	lines := room.Split(layout, -1)[1:]
	described := map[string]string{}
	for i, name := range room.FindAllStringSubmatch(layout, -1) {
		described[name[1]] = lines[i]
	}
	for _, dir := range folders(t, "../internal") {
		if _, ok := described[dir]; !ok {
			t.Errorf("README.md does not describe internal/%s", dir)
		}
		for _, inner := range folders(t, "../internal/"+dir) {
			if described[dir] != "" && dir != "web" && !strings.HasSuffix(inner, "test") && !strings.Contains(described[dir], inner) {
				t.Errorf("README.md does not name %s in internal/%s", inner, dir)
			}
		}
		delete(described, dir)
	}
	for name := range described {
		t.Errorf("README.md names internal/%s, which does not exist", name)
	}
}

// folders returns the folders in dir that contain a package.
func folders(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if files, err := filepath.Glob(filepath.Join(dir, e.Name(), "*.go")); e.IsDir() && err == nil && len(files) > 0 {
			all = append(all, e.Name())
		}
	}
	return all
}

// Decisions are numbered without gaps and listed in their README. Each has a date and a
// status.
func TestDecisionsAreNumbered(t *testing.T) {
	list, err := os.ReadFile("adr/README.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("adr/0*.md")
	if err != nil || len(files) == 0 {
		t.Fatalf("no decisions: %v", err)
	}
	for i, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		title, _, _ := strings.Cut(string(text), "\n")
		n := strconv.Itoa(i + 1)
		name := filepath.Base(file)
		if !strings.HasPrefix(name, fmt.Sprintf("%04d-", i+1)) || !strings.HasPrefix(title, "# "+n+". ") {
			t.Errorf("%s, %q: the next number is %s", name, title, n)
		}
		if !strings.Contains(string(list), "- ["+strings.TrimPrefix(title, "# ")+"]("+name+")") {
			t.Errorf("adr/README.md does not list %s as %q", name, title)
		}
		if !regexp.MustCompile(`\n\*\*Date:\*\* \d{4}-\d\d-\d\d\n\n\*\*Status:\*\* (accepted|superseded)`).Match(text) {
			t.Errorf("%s has no date, or no status", name)
		}
	}
}
