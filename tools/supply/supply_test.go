package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const root = "../.."

// The document is the same each time, and has every module that `go version -m` shows of each
// program.
func TestTheSBOMIsWhole(t *testing.T) {
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin+"/", "./cmd/...")
	build.Dir = root
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	programs, err := filepath.Glob(filepath.Join(bin, "*"))
	if err != nil || len(programs) < 5 {
		t.Fatalf("%v, %v", programs, err)
	}
	var first, second bytes.Buffer
	must(t, writeSBOM(&first, root, programs))
	must(t, writeSBOM(&second, root, programs))
	if first.String() != second.String() {
		t.Error("two documents of the same programs differ")
	}
	var d document
	must(t, json.Unmarshal(first.Bytes(), &d))
	known := map[string]bool{}
	for _, c := range d.Components {
		if c.Type == "library" && (c.PURL == "" || c.Version == "") {
			t.Errorf("%s has no address or no version", c.Name)
		}
		known[c.Ref] = true
	}
	uses := map[string][]string{}
	for _, of := range d.Dependencies {
		uses[of.Ref] = of.DependsOn
		for _, ref := range of.DependsOn {
			if !known[ref] {
				t.Errorf("%s depends on %s, which is no component", of.Ref, ref)
			}
		}
	}
	for _, program := range programs {
		text, err := exec.Command("go", "version", "-m", program).Output()
		must(t, err)
		refs, n := " "+strings.Join(uses["program/"+filepath.Base(program)], " ")+" ", 0
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) < 3 || fields[0] != "dep" {
				continue
			}
			n++
			if !strings.Contains(refs, " pkg:golang/"+fields[1]+"@"+strings.ReplaceAll(fields[2], "+", "%2B")+" ") {
				t.Errorf("%s: %s %s is not in the document", program, fields[1], fields[2])
			}
		}
		if n < 10 {
			t.Errorf("%s has %d modules", program, n)
		}
		for _, wanted := range []string{" pkg:npm/htmx.org@", " pkg:npm/govuk-frontend@", " pkg:golang/stdlib@1."} {
			if !strings.Contains(refs, wanted) {
				t.Errorf("%s: %s is not in the document", program, wanted)
			}
		}
	}
}

// docs/licences.md has a row for each linked module and each embedded asset, with an allowed
// licence.
func TestTheLicencesAreListed(t *testing.T) {
	var want bytes.Buffer
	must(t, writeLicences(&want, root))
	got, err := os.ReadFile(filepath.Join(root, "docs/licences.md"))
	must(t, err)
	if want.String() == string(got) {
		return
	}
	rows := map[string]bool{}
	for line := range strings.Lines(string(got)) {
		rows[line] = true
	}
	for line := range strings.Lines(want.String()) {
		if !rows[line] {
			t.Errorf("docs/licences.md lacks %s", line)
		}
	}
	t.Error("docs/licences.md is not what make licences writes: run it")
}

// A part without a known licence, or with one that is not allowed, is refused.
func TestOtherLicencesAreRefused(t *testing.T) {
	for _, c := range []struct {
		licences []string
		says     string
	}{
		{nil, "has no licence"},
		{[]string{"MIT", "GPL-3.0"}, "the licence GPL-3.0, which is not one of"},
		{[]string{"AGPL-3.0"}, "AGPL-3.0"},
		{[]string{"MIT", "Apache-2.0"}, ""},
	} {
		err := part{"example.org/x", "v1.0.0", c.licences}.check()
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%v: %v", c.licences, err)
		}
	}
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "LICENSE"), []byte("You may use this on Tuesdays, if you ask nicely and bring cake."), 0o600))
	if found, err := licencesIn(dir); err == nil {
		t.Errorf("a text that is no licence gave %v", found)
	}
	must(t, os.Remove(filepath.Join(dir, "LICENSE")))
	if found, err := licencesIn(dir); err != nil || len(found) != 0 {
		t.Errorf("a folder without a licence gave %v, %v", found, err)
	}
}

// Without the database, the check says so and does not fail.
func TestWithoutTheDatabase(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	if err := reachable(server.URL); err == nil {
		t.Error("a database that answers 404 counts as reachable")
	}
	server.Close()
	if err := reachable(server.URL); err == nil {
		t.Error("a closed port counts as reachable")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
