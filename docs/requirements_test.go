package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A requirement is a row of one of the tables of security.md that say what the law or a standard
// asks for.
type requirement struct {
	// ID is its number there.
	ID string
	// Met says where it is met, or begins with "Not met".
	Met string
	// Shown names the tests that show it.
	Shown string
}

// code finds the names of Go code in a cell: `access/passwords.Check`.
var code = regexp.MustCompile("`([a-z][a-z0-9/]*)\\.([A-Za-z][A-Za-z0-9.]*)`")

// Every requirement of ASVS 5.0 up to level 2 is in security.md once: met by code that is there and
// shown by a test that is there, or said not to be met, or listed with the reason why it does not
// apply. So is every standard of 45 CFR 164.312 and 164.308(a)(5).
func TestRequirements(t *testing.T) {
	text, err := os.ReadFile("security.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range []struct {
		name string
		ids  []string
	}{
		{"asvs", listed(t, "testdata/asvs-5.0.0-level-2.txt")},
		{"cfr", []string{
			"164.312(a)(1)", "164.312(a)(2)(i)", "164.312(a)(2)(ii)", "164.312(a)(2)(iii)", "164.312(a)(2)(iv)",
			"164.312(b)", "164.312(c)(1)", "164.312(c)(2)", "164.312(d)",
			"164.312(e)(1)", "164.312(e)(2)(i)", "164.312(e)(2)(ii)",
			"164.308(a)(5)(i)", "164.308(a)(5)(ii)(A)", "164.308(a)(5)(ii)(B)", "164.308(a)(5)(ii)(C)", "164.308(a)(5)(ii)(D)",
		}},
	} {
		found := map[string]int{}
		for _, r := range requirements(t, string(text), table.name) {
			found[r.ID]++
			if strings.HasPrefix(r.Met, "Not met") {
				continue
			}
			if !code.MatchString(r.Shown) {
				t.Errorf("%s: no test shows it, so it is not met", r.ID)
			}
			for _, cell := range []string{r.Met, r.Shown} {
				for _, name := range code.FindAllStringSubmatch(cell, -1) {
					if !declared(t, name[1], name[2]) {
						t.Errorf("%s names %s.%s, which is not in the code", r.ID, name[1], name[2])
					}
				}
			}
			for _, name := range code.FindAllStringSubmatch(r.Shown, -1) {
				if !strings.HasPrefix(name[2], "Test") && !strings.HasPrefix(name[2], "Fuzz") {
					t.Errorf("%s is shown by %s.%s, which is no test", r.ID, name[1], name[2])
				}
			}
		}
		for _, id := range outOfScope(t, string(text), table.name) {
			found[id]++
		}
		for _, id := range table.ids {
			if found[id] != 1 {
				t.Errorf("%s is in the table %d times", id, found[id])
			}
			delete(found, id)
		}
		for _, id := range slices.Sorted(maps.Keys(found)) {
			t.Errorf("the standard has no requirement %s of this level", id)
		}
	}
}

// listed returns the lines of a file that are no comments.
func listed(t *testing.T, file string) (lines []string) {
	t.Helper()
	text, err := os.ReadFile(file) // #nosec G304 -- a file of the repository
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// section returns the lines between two marks of a page.
func section(t *testing.T, page, name string) []string {
	t.Helper()
	_, rest, begins := strings.Cut(page, "<!-- "+name+" -->\n")
	part, _, ends := strings.Cut(rest, "<!-- /"+name+" -->\n")
	if !begins || !ends {
		t.Fatalf("security.md has no part %s", name)
	}
	return strings.Split(strings.TrimSpace(part), "\n")
}

// requirements reads a table. Its first cell begins with the number.
func requirements(t *testing.T, page, name string) (all []requirement) {
	t.Helper()
	for _, line := range section(t, page, name) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| requirement") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if len(cells) != 3 {
			t.Fatalf("%d cells in %q", len(cells), line)
		}
		id, _, _ := strings.Cut(cells[0], " ")
		all = append(all, requirement{ID: id, Met: cells[1], Shown: cells[2]})
	}
	return all
}

// outOfScope reads the list of what does not apply: numbers, a colon, the reason.
func outOfScope(t *testing.T, page, name string) (ids []string) {
	t.Helper()
	for _, line := range section(t, page, name+" out of scope") {
		if numbers, reason, ok := strings.Cut(strings.TrimPrefix(line, "- "), ": "); ok && reason != "" {
			ids = append(ids, strings.Split(numbers, ", ")...)
		}
	}
	return ids
}

// names caches the names that the packages declare, tests included.
var names = map[string]map[string]bool{}

// declared reports whether a package, by its path below internal or the root of the repository,
// declares a function, a method as Type.Method, a type, a constant or a variable.
func declared(t *testing.T, pkg, name string) bool {
	t.Helper()
	if names[pkg] == nil {
		names[pkg] = map[string]bool{}
		for _, root := range []string{"../internal", ".."} {
			files, err := os.ReadDir(path.Join(root, pkg))
			if err != nil {
				continue
			}
			for _, f := range files {
				if strings.HasSuffix(f.Name(), ".go") {
					declarations(t, path.Join(root, pkg, f.Name()), names[pkg])
				}
			}
		}
	}
	return names[pkg][name]
}

// declarations adds the names that a file declares.
func declarations(t *testing.T, file string, into map[string]bool) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range parsed.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			name := d.Name.Name
			if d.Recv != nil {
				of := d.Recv.List[0].Type
				if pointer, ok := of.(*ast.StarExpr); ok {
					of = pointer.X
				}
				if typ, ok := of.(*ast.Ident); ok {
					name = typ.Name + "." + name
				}
			}
			into[name] = true
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					into[spec.Name.Name] = true
				case *ast.ValueSpec:
					for _, n := range spec.Names {
						into[n.Name] = true
					}
				}
			}
		}
	}
}
