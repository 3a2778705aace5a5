package docs

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"postern/internal/access/policy"
	"postern/internal/labels"
	"postern/internal/limits"
)

var update = flag.Bool("update", false, "write the tables that pages take from the code")

//go:generate go test -run TestTables -update .

// The tables of permissions and limits are those of the code.
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
