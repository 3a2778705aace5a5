package events_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
	"go.yaml.in/yaml/v3"

	"postern/internal/eventlog"
	"postern/internal/events"
	"postern/schemas"
)

// row is a line of the table in doc.go.
type row struct {
	publishers, consumers, tables []string
}

// The table in doc.go, which people read, is what the code does.
func TestTheTableIsTheCode(t *testing.T) {
	table := tableOf(t)
	types := typesOf(t)
	asyncAPI := asyncAPITypes(t)
	rows := projectedTables(t)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(types)), slices.Sorted(maps.Keys(table))); diff != "" {
		t.Fatalf("the constants and the table differ (-constants +table):\n%s", diff)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(types)), asyncAPI); diff != "" {
		t.Errorf("the constants and asyncapi.yaml differ (-constants +asyncapi):\n%s", diff)
	}
	for name, want := range table {
		kind := events.Type(name)
		if _, err := schemas.Files.Open(name + ".v1.json"); err != nil {
			t.Errorf("%s has no schema: %v", name, err)
		}
		got := row{publishersOf(kind), consumersOf(kind), rows[types[name]]}
		if diff := cmp.Diff(got, want, cmp.AllowUnexported(row{})); diff != "" {
			t.Errorf("%s (-code +table):\n%s", name, diff)
		}
	}
}

// tableOf reads the table: the indented lines of the package's documentation,
// whose columns stand two or more spaces apart.
func tableOf(t *testing.T) map[string]row {
	t.Helper()
	source, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	table := map[string]row{}
	columns := regexp.MustCompile(` {2,}`)
	list := regexp.MustCompile(`[a-z_-]{2,}`)
	for line := range strings.Lines(string(source)) {
		text, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "//\t")
		cells := columns.Split(text, -1)
		if !ok || cells[0] == "type" {
			continue
		}
		if len(cells) != 5 || cells[1] == "" {
			t.Fatalf("%d columns where there are five: %q", len(cells), text)
		}
		table[cells[0]] = row{
			publishers: list.FindAllString(cells[2], -1),
			consumers:  list.FindAllString(cells[3], -1),
			tables:     slices.Sorted(slices.Values(list.FindAllString(cells[4], -1))),
		}
	}
	return table
}

// typesOf gives the values of all constants of the type Type, and their names.
func typesOf(t *testing.T) map[string]string {
	t.Helper()
	types := map[string]string{}
	ast.Inspect(parse(t, "bodies.go"), func(n ast.Node) bool {
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
	return types
}

func asyncAPITypes(t *testing.T) []string {
	t.Helper()
	data, err := schemas.Files.ReadFile("asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Channels map[string]any
	}
	if err := yaml.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(doc.Channels))
}

func publishersOf(t events.Type) (all []string) {
	for _, process := range eventlog.Processes() {
		if process != eventlog.Admin && eventlog.MayPublish(process, t) {
			all = append(all, process)
		}
	}
	return all
}

// consumersOf gives the processes that may fetch from a durable consumer whose
// filter lets events of the type through.
func consumersOf(t events.Type) (all []string) {
	for _, process := range eventlog.Processes() {
		if process == eventlog.Admin || process == eventlog.Recorder { // reads everything
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

// fields are the fields and methods of a batch of internal/recorder, and the table
// whose rows they hold.
var fields = map[string]string{
	"message": "messages", "messages": "messages", "bcc": "message_bcc", "chunks": "chunks",
	"deliveries": "deliveries", "exceptions": "alert_exceptions", "opens": "opens", "downloads": "downloads",
	"except": "alert_exceptions", "apply": "alert_exceptions", "applyEarly": "reports", "follow": "alert_exceptions", "weigh": "reports", "dead": "dead_addresses",
	"moveReplay": "replays",
}

var inSQL = regexp.MustCompile(`(?:INSERT INTO|DELETE FROM) (\w+)|UPDATE (\w+) SET`)

// tablesWritten reads in the functions of a file which tables each of them writes:
// by the fields of its batch, or by SQL.
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
					written[fields[n.Sel.Name]] = true
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

// projectedTables gives what the recorder writes for each constant, from the
// table of its projections.
func projectedTables(t *testing.T) map[string][]string {
	t.Helper()
	writes := map[string][]string{}
	tablesWritten(t, "../recorder/project.go", writes)
	tablesWritten(t, "../recorder/alerts.go", writes)
	tablesWritten(t, "../recorder/operating.go", writes)
	tablesWritten(t, "../recorder/reports.go", writes)
	tablesWritten(t, "../recorder/address.go", writes)
	tablesWritten(t, "../recorder/replays.go", writes)
	tablesWritten(t, "../recorder/retention.go", writes)
	tables := map[string][]string{}
	ast.Inspect(parse(t, "../recorder/project.go"), func(n ast.Node) bool {
		entry, ok := n.(*ast.KeyValueExpr)
		if !ok {
			return true
		}
		key, ok := entry.Key.(*ast.CompositeLit)
		if !ok {
			return true
		}
		function := entry.Value
		if call, ok := function.(*ast.CallExpr); ok { // body(project)
			function = call.Args[0]
		}
		name := function.(*ast.Ident).Name
		if _, ok := writes[name]; !ok {
			t.Errorf("the projection %s was not found", name)
		}
		of := key.Elts[0].(*ast.SelectorExpr).Sel.Name // in all its versions
		all := slices.Concat(tables[of], writes[name])
		slices.Sort(all)
		tables[of] = slices.Compact(all)
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
