package events_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"postern/internal/eventlog"
	"postern/internal/events"
)

var update = flag.Bool("update", false, "write the table in doc.go")

// The table in doc.go matches the registry.
func TestTheTableIsTheRegistry(t *testing.T) {
	source, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(source), tableBegin)
	_, tail, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		t.Fatalf("doc.go has no table between %q and %q", tableBegin, tableEnd)
	}
	want := head + tableBegin + table() + tableEnd + tail
	if *update {
		if err := os.WriteFile("doc.go", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(source)); diff != "" {
		t.Errorf("run `go generate ./internal/events` (-registry +doc.go):\n%s", diff)
	}
}

const tableBegin, tableEnd = "//\n//\ttype", "package events\n"

// table is the text between tableBegin and tableEnd, with aligned columns.
func table() string {
	rows := [][]string{{"type", "version", "when", "published by", "consumed by", "rows"}}
	for _, d := range events.Registry() {
		rows = append(rows, []string{string(d.Type), strconv.Itoa(d.Version), d.When, list(d.Publishers), list(d.Consumers), list(d.Rows)})
	}
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		line := "//\t"
		for i, cell := range row {
			line += fmt.Sprintf("%-*s", widths[i]+2, cell)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return strings.TrimPrefix(b.String(), "//\ttype")
}

func list(all []string) string {
	if len(all) == 0 {
		return "-"
	}
	return strings.Join(all, ", ")
}

// The registry has a descriptor for every constant, and its facts match the code.
func TestTheRegistryMatchesTheCode(t *testing.T) {
	types := typesOf(t)
	rows := projectedTables(t)
	registered := map[string]string{}
	for _, d := range events.Registry() {
		name := types[string(d.Type)]
		registered[string(d.Type)] = name
		if d.Label == "" || d.When == "" || len(d.Publishers) == 0 || d.Version < 1 {
			t.Errorf("the descriptor of %s is incomplete: %+v", d.Type, d)
		}
		if diff := cmp.Diff(d.Publishers, publishersOf(d.Type)); diff != "" {
			t.Errorf("%s is published by (-registry +NATS):\n%s", d.Type, diff)
		}
		if diff := cmp.Diff(d.Consumers, consumersOf(d.Type)); diff != "" {
			t.Errorf("%s is consumed by (-registry +consumers):\n%s", d.Type, diff)
		}
		if diff := cmp.Diff(slices.Sorted(slices.Values(d.Rows)), rows[name]); diff != "" {
			t.Errorf("from %s the recorder writes (-registry +recorder):\n%s", d.Type, diff)
		}
	}
	if diff := cmp.Diff(types, registered); diff != "" {
		t.Errorf("the types (-constants +registry):\n%s", diff)
	}
}

// Every type in SQL is in the registry.
func TestSQLNamesTypesThatExist(t *testing.T) {
	compared := regexp.MustCompile(`\btype\s*(?:=|<>|IN)\s*\(?((?:\s*'[a-z_.]+',?)+)`)
	quoted := regexp.MustCompile(`'([a-z_.]+)'`)
	found := 0
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".go" && filepath.Ext(path) != ".sql" {
			return err
		}
		source, err := os.ReadFile(path)
		for _, list := range compared.FindAllStringSubmatch(string(source), -1) {
			for _, name := range quoted.FindAllStringSubmatch(list[1], -1) {
				found++
				if _, ok := events.Describe(events.Type(name[1])); !ok {
					t.Errorf("%s compares a type with '%s', which is not a type", path, name[1])
				}
			}
		}
		return err
	})
	if err != nil || found == 0 {
		t.Errorf("%d names found: %v", found, err)
	}
}

// typesOf maps the values of all constants of the type Type to their names.
func typesOf(t *testing.T) map[string]string {
	t.Helper()
	types := map[string]string{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		ast.Inspect(parse(t, file), func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if named, ok := spec.Type.(*ast.Ident); ok && named.Name == "Type" {
				value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				types[value] = spec.Names[0].Name
			}
			return true
		})
	}
	return types
}

func publishersOf(t events.Type) (all []string) {
	for _, process := range eventlog.Processes() {
		if process != events.Admin && slices.Contains(eventlog.PermissionsOf(process).Publish, t.Filter()) {
			all = append(all, process)
		}
	}
	return all
}

// consumersOf gives the processes that may fetch from a durable consumer whose filter
// includes the type.
func consumersOf(t events.Type) (all []string) {
	for _, process := range eventlog.Processes() {
		if process == events.Admin || process == events.Recorder { // reads everything
			continue
		}
		may := eventlog.PermissionsOf(process).Publish
		if slices.ContainsFunc(eventlog.ConsumerConfigs(), func(c jetstream.ConsumerConfig) bool {
			return slices.Contains(append(c.FilterSubjects, c.FilterSubject), t.Filter()) &&
				slices.Contains(may, "$JS.API.CONSUMER.MSG.NEXT."+eventlog.Stream+"."+c.Durable)
		}) {
			all = append(all, process)
		}
	}
	return all
}

// fields maps the fields and methods of a batch of internal/recorder to the tables whose
// rows they change.
var fields = map[string]string{
	"message": "messages", "messages": "messages", "bcc": "message_bcc", "chunks": "chunks",
	"inbox": "inbox", "exceptions": "alert_exceptions", "opens": "opens inbox", "downloads": "downloads",
	"except": "alert_exceptions", "apply": "alert_exceptions", "applyEarly": "reports", "follow": "alert_exceptions", "weigh": "reports", "dead": "dead_addresses",
	"moveReplay": "replays", "recoveryCodes": "recovery_codes", "notice": "notices", "renewNotices": "notices", "repeatedOf": "notices",
}

var inSQL = regexp.MustCompile(`(?:INSERT INTO|DELETE FROM) (\w+)|UPDATE (\w+) SET`)

// tablesWritten adds, for each function of a file, the tables that it writes through the
// fields of its batch or with SQL.
func tablesWritten(t *testing.T, file string, tables map[string][]string) {
	t.Helper()
	for _, d := range parse(t, file).Decls {
		function, ok := d.(*ast.FuncDecl)
		if !ok || function.Recv != nil {
			continue
		}
		written := map[string]bool{}
		ast.Inspect(function, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if of, ok := n.X.(*ast.Ident); ok && of.Name == "b" && fields[n.Sel.Name] != "" {
					for _, table := range strings.Fields(fields[n.Sel.Name]) {
						written[table] = true
					}
				}
			case *ast.BasicLit:
				for _, match := range inSQL.FindAllStringSubmatch(n.Value, -1) {
					written[match[1]+match[2]] = true
				}
			}
			return true
		})
		tables[function.Name.Name] = slices.Sorted(maps.Keys(written))
	}
}

// projectedTables gives, for each constant, the tables that the recorder writes. It
// reads the recorder's map of projections.
func projectedTables(t *testing.T) map[string][]string {
	t.Helper()
	writes := map[string][]string{}
	tablesWritten(t, "../recorder/project/project.go", writes)
	tablesWritten(t, "../recorder/project/alerts.go", writes)
	tablesWritten(t, "../recorder/project/operating.go", writes)
	tablesWritten(t, "../recorder/project/reports.go", writes)
	tablesWritten(t, "../recorder/project/address.go", writes)
	tablesWritten(t, "../recorder/project/invitations.go", writes)
	tablesWritten(t, "../recorder/project/portal_account.go", writes)
	tablesWritten(t, "../recorder/project/replays.go", writes)
	tablesWritten(t, "../recorder/project/retention.go", writes)
	tablesWritten(t, "../recorder/project/tokens.go", writes)
	tablesWritten(t, "../recorder/project/identities.go", writes)
	tablesWritten(t, "../recorder/project/grants.go", writes)
	tablesWritten(t, "../recorder/project/emergency.go", writes)
	tables := map[string][]string{}
	ast.Inspect(parse(t, "../recorder/project/project.go"), func(n ast.Node) bool {
		entry, ok := n.(*ast.KeyValueExpr)
		if !ok {
			return true
		}
		key, ok := entry.Key.(*ast.SelectorExpr)
		if !ok || !strings.HasPrefix(key.Sel.Name, "Type") {
			return true
		}
		var all []string
		value := entry.Value
		if call, ok := value.(*ast.CallExpr); ok && call.Fun.(*ast.Ident).Name == "ofAccount" { // ofAccount(body(project)), or ofAccount(nil)
			all, value = append(all, "account_events"), call.Args[0]
		}
		functions := []ast.Expr{value}
		if call, ok := value.(*ast.CallExpr); ok { // body(project)
			functions = call.Args
		}
		for _, function := range functions {
			name := function.(*ast.Ident).Name
			if name == "nil" {
				continue
			}
			if _, ok := writes[name]; !ok {
				t.Errorf("the projection %s was not found", name)
			}
			all = append(all, writes[name]...)
		}
		slices.Sort(all)
		tables[key.Sel.Name] = slices.Compact(all)
		return true
	})
	return tables
}

func parse(t *testing.T, file string) *ast.File {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}
