// Package docs holds the pages to the code: what they point to is there.
package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// link is [text](target) or [`text`](target).
var link = regexp.MustCompile("\\[(`?)([^\\]`]+)`?\\]\\(([^)#\\s]+)[^)]*\\)")

// pages are all pages of the repository, from here.
func pages(t *testing.T) (all []string) {
	t.Helper()
	all = append(all, "../README.md")
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

// Every link leads to a file, and where its text is the name of a function, or of
// anything else that is declared, that file declares it.
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
				t.Errorf("%s points to %s, which is not there", page, target)
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

// Every state that the pages draw is one that the database knows, and the other
// way about.
func TestStatesAreTheDatabases(t *testing.T) {
	page, err := os.ReadFile("states.md")
	if err != nil {
		t.Fatal(err)
	}
	schema, err := os.ReadFile("../internal/store/migrations/00001_record.sql")
	if err != nil {
		t.Fatal(err)
	}
	spaces := regexp.MustCompile(`\s+`)
	sql := spaces.ReplaceAllString(string(schema), " ")
	checks := regexp.MustCompile("`((?:\\(|alert_|opened |status |state |answer )[^`]*(?:IN|=)[^`]*)`").FindAllStringSubmatch(string(page), -1)
	if len(checks) < 10 {
		t.Fatalf("only %d checks are quoted", len(checks))
	}
	for _, c := range checks {
		if !strings.Contains(sql, "CHECK ("+c[1]+")") && c[1] != "status = 'scheduled'" {
			t.Errorf("states.md quotes a CHECK that the schema lacks: %s", c[1])
		}
	}
}

// The layout in the README names every package that stands directly in internal.
func TestTheLayoutIsWhole(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir("../internal")
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, e := range entries {
		there[e.Name()] = true
		if e.IsDir() && !strings.Contains(string(readme), "internal/"+e.Name()) {
			t.Errorf("README.md does not say what internal/%s is", e.Name())
		}
	}
	for _, line := range regexp.MustCompile(`(?m)^internal/(\w+)`).FindAllStringSubmatch(string(readme), -1) {
		if !there[line[1]] {
			t.Errorf("README.md names internal/%s, which is not there", line[1])
		}
	}
}
