package docs

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"postern/internal/access/policy"
	"postern/internal/config"
	"postern/internal/labels"
	"postern/internal/limits"
)

var update = flag.Bool("update", false, "write the tables that pages take from the code")

//go:generate go test -run TestTables -update .

// The tables of permissions, limits and settings are those of the code.
func TestTables(t *testing.T) {
	var permissions, bounds strings.Builder
	permissions.WriteString("| permission | name | allows |\n|---|---|---|\n")
	for _, g := range policy.Grants {
		fmt.Fprintf(&permissions, "| `%s` | %s | %s |\n", g.Permission, g.Name, strings.TrimSpace(labels.Default().Fill(g.Allows+" "+g.Caution)))
	}
	bounds.WriteString("| what | limit |\n|---|---|\n")
	for _, l := range limits.All {
		fmt.Fprintf(&bounds, "| %s | %s |\n", l.Of, l.Value)
	}
	for _, table := range []struct{ page, name, text string }{
		{"security.md", "permissions", permissions.String()},
		{"operating.md", "limits", bounds.String()},
		{"operating.md", "settings", settings(t)},
	} {
		page, err := os.ReadFile(table.page)
		if err != nil {
			t.Fatal(err)
		}
		before, rest, begins := strings.Cut(string(page), "<!-- "+table.name+" -->\n")
		kept, after, ends := strings.Cut(rest, "<!-- /"+table.name+" -->\n")
		if !begins || !ends {
			t.Fatalf("%s has no place for the table of %s", table.page, table.name)
		}
		if kept == table.text {
			continue
		}
		if !*update {
			t.Errorf("%s has another table of %s than the code: run go generate ./docs", table.page, table.name)
			continue
		}
		text := before + "<!-- " + table.name + " -->\n" + table.text + "<!-- /" + table.name + " -->\n" + after
		if err := os.WriteFile(table.page, []byte(text), 0o644); err != nil { // #nosec G306 -- a page of the repository
			t.Fatal(err)
		}
	}
}

// settings returns the table of settings: the comments on the fields of config.Config. A field
// without a comment belongs to the one before it.
func settings(t *testing.T) string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../internal/config/config.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var fields []*ast.Field
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.TypeSpec); ok && spec.Name.Name == "Config" {
			fields = spec.Type.(*ast.StructType).Fields.List
		}
		return true
	})
	type row struct{ names, defaults, text string }
	var rows []row
	names := map[string]string{} // by the name in Go
	for _, f := range fields {
		tag := reflect.StructTag(strings.Trim(f.Tag.Value, "`"))
		name, value := tag.Get("env"), tag.Get("envDefault")
		names[f.Names[0].Name] = name
		if value != "" {
			value = "`" + value + "`"
		}
		if f.Doc == nil {
			rows[len(rows)-1].names += "<br>`" + name + "`"
			continue
		}
		rows = append(rows, row{"`" + name + "`", value, strings.Join(strings.Fields(f.Doc.Text()), " ")})
	}
	if len(names) < 20 || names["DatabaseURL"] != "DATABASE_URL" {
		t.Fatalf("config.go has the settings %v", names)
	}
	word := regexp.MustCompile(`\b[A-Z]\w+\b`)
	var table strings.Builder
	table.WriteString("| setting | default | meaning |\n|---|---|---|\n")
	for _, r := range rows {
		text := word.ReplaceAllStringFunc(r.text, func(w string) string {
			if name, ok := names[w]; ok {
				return "`" + name + "`"
			}
			return w
		})
		fmt.Fprintf(&table, "| %s | %s | %s |\n", r.names, r.defaults, strings.ReplaceAll(text, "|", `\|`))
	}
	return table.String()
}

// The page names each setting that can be read from a file.
func TestSecretsInFilesAreNamed(t *testing.T) {
	page, err := os.ReadFile("operating.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range config.Names() {
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("operating.md does not name %s", name)
		}
	}
}
