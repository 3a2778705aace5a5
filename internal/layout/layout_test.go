package layout

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// imports says which packages of ours each package may import, without
// "internal/". A test helper (…test, …fake's tests aside) may import anything.
// What has no row here is an error: a new package finds its place first.
var imports = map[string]string{
	// What can happen, and where it is kept.
	"events":    "",
	"schemas":   "events",
	"eventlog":  "events schemas",
	"store":     "",
	"position":  "",
	"outbox":    "events",
	"parked":    "eventlog events",
	"embedded":  "size",
	"size":      "",
	"ledger":    "",
	"telemetry": "events",

	// What only its readers may see.
	"bucket/folder":      "",
	"bucket":             "bucket/folder",
	"keyfile":            "",
	"content":            "bucket keyfile",
	"content/clamd":      "",
	"content/attachment": "charset content content/clamd",

	// Who there is, and who may do what.
	"directory":      "address charset events folding invisible",
	"directory/demo": "directory",
	"inbound":        "",
	"access":         "address content events inbound invisible store",
	"organisation":   "",
	"invisible":      "",
	"charset":        "",
	"folding":        "invisible",
	"address":        "invisible",

	// The four that speak to one another through the record alone.
	"compose":             "access content content/attachment content/clamd directory events",
	"fanout":              "content directory events position",
	"notify":              "alerting events ledger notify/sendgrid position store",
	"notify/sendgrid":     "address",
	"notify/sendgridfake": "notify/sendgrid",
	"checkpoint":          "keyfile",
	"archive":             "bucket",
	"notary":              "archive checkpoint ledger",
	"record":              "eventlog events ledger notary outbox position store",

	"verify": "archive checkpoint content eventlog events ledger position record schemas",

	// What the outside sees.
	"labels":     "events store",
	"inbox":      "access compose events",
	"letter":     "access",
	"tracking":   "access events folding",
	"receipt":    "checkpoint compose events ledger",
	"search":     "access compose directory folding labels tracking",
	"intake":     "access content directory outbox",
	"desk":       "access compose content content/clamd draft events inbox intake labels letter organisation position receipt search tracking export reading alerting eventlog operations parked feedback replay retention",
	"api":        "access compose content/attachment content/clamd desk directory eventlog events inbound inbox labels ledger receipt search store tracking export reading telemetry alerting operations parked feedback replay retention",
	"reading":    "events ledger checkpoint",
	"export":     "events reading",
	"alerting":   "events",
	"operations": "alerting eventlog events parked",
	"feedback":   "events",
	"replay":     "alerting events store",

	// For how long content is kept.
	"retention": "access compose content events",

	// The pages. Each kind of them has a package, and all are made with page.
	"draft":              "access content directory",
	"web/static":         "",
	"web/page":           "access alerting api desk inbound labels size web/static",
	"web/door":           "access address letter organisation web/page",
	"web/account":        "access web/page",
	"web/composing":      "access api compose content/attachment content/clamd directory draft export folding inbound labels size web/page",
	"web/operating":      "access alerting operations parked size web/page",
	"web/messages":       "access alerting compose draft events export retention tracking web/page",
	"web/portal":         "access api compose content/attachment directory inbox letter web/page",
	"web/administration": "access directory folding inbound intake labels letter web/page",
	"web/receipts":       "access receipt tracking web/page",
	"web/finding":        "access labels search web/page",
	"web/replaying":      "access events replay web/page",
	"web/reviewing":      "access api compose directory events reading retention web/page",
	"web":                "access desk web/account web/administration web/composing web/door web/finding web/messages web/operating web/page web/portal web/static web/receipts web/replaying web/reviewing",

	// Wiring: settings become running processes.
	"config": "address inbound notify/sendgrid", // whose key and networks settings are
	"roles":  "api archive checkpoint web config content content/clamd desk directory embedded eventlog events fanout inbound ledger letter notary notify notify/sendgrid organisation parked position record store telemetry feedback replay retention",
	"up":     "access archive checkpoint config content directory directory/demo embedded eventlog events keyfile ledger notify/sendgridfake outbox position roles store telemetry",
	"cli":    "access api archive checkpoint compose config content directory embedded eventlog events outbox ledger position receipt record store up verify export reading alerting parked replay retention",

	"cmd/api":           "config roles",
	"cmd/fanout-worker": "config roles",
	"cmd/notify-worker": "config roles",
	"cmd/recorder":      "config roles",
	"cmd/postern":       "cli roles",
	"bench":             "compose content directory eventlog events notify/sendgridfake receipt",
	"layout":            "",
}

// apart says what a package, and everything below it, never reaches, by however
// many steps.
var apart = map[string]string{
	"compose": "fanout notify record api",
	"fanout":  "compose notify record api",
	"notify":  "compose fanout record api content directory access",
	"record":  "compose fanout notify api content directory access",
	"store":   "compose fanout notify record api access directory content events",
	"api":     "fanout notify record",
}

// vendors says which packages alone may import a library, by the beginning of
// its path.
var vendors = map[string]string{
	"go.opentelemetry.io/":                  "telemetry",
	"github.com/nats-io/nats-server":        "embedded embedded/natstest",
	"github.com/nats-io/nats.go":            "eventlog embedded embedded/natstest record",
	"github.com/ThreeDotsLabs/watermill":    "eventlog",
	"github.com/sendgrid/":                  "notify/sendgrid notify/sendgridfake",
	"github.com/tink-crypto/":               "content",
	"gocloud.dev/":                          "archive bucket bucket/folder content",
	"github.com/aws/":                       "bucket",
	"github.com/johannesboyne/gofakes3":     "bucket/s3test",
	"github.com/alexedwards/":               "access",
	"github.com/danielgtaylor/huma":         "api",
	"github.com/pressly/goose":              "store",
	"github.com/caarlos0/env":               "config",
	"github.com/spf13/cobra":                "cli",
	"github.com/santhosh-tekuri/jsonschema": "schemas",
	"github.com/chromedp/":                  "web/webtest",
	"github.com/pquerna/otp":                "access",
	"github.com/coreos/go-oidc":             "organisation",
	"golang.org/x/oauth2":                   "organisation",
	"github.com/boombuler/barcode":          "web/account",
}

// io is what a package that does none imports none of.
var io = []string{"net", "net/http", "os", "os/exec", "database/sql", "syscall", "github.com/jackc/", "github.com/nats-io/", "gocloud.dev/"}

// environment says who else than config reads the environment, and why.
var environment = map[string]string{
	"cli":               "DATABASE_URL and NATS_URL choose what a verb acts on, and what else is set goes with them",
	"up":                "the embedded system takes what concerns the outside",
	"embedded":          "PATH of the PostgreSQL that it runs",
	"store/storetest":   "PG_BIN of the tests' PostgreSQL",
	"store/replicatest": "PG_BIN of the tests' PostgreSQL",
	"roles":             "GOMEMLIMIT is the Go runtime's own, and overrides our goal",
	"bench":             "hands its own to what it measures",
	"web/webtest":       "CI, where a browser that is missing is a failure",
}

func TestImports(t *testing.T) {
	graph := load(t)
	for name, imported := range graph {
		allowed, known := imports[name]
		if !known && !isForTests(name) {
			t.Errorf("%s has no row in the table: say what it may import", name)
		}
		for _, other := range imported {
			ours, isOurs := own(other)
			switch {
			case isForTests(name):
			case isOurs && isForTests(ours):
				t.Errorf("%s imports %s, which is for tests", name, ours)
			case isOurs && known && !listed(allowed, ours):
				t.Errorf("%s imports %s, which is not in its row", name, ours)
			case !isOurs:
				checkVendor(t, name, other)
			}
		}
	}
	for name := range imports {
		if _, there := graph[name]; !there {
			t.Errorf("the table names %s, which there is not", name)
		}
	}
}

func checkVendor(t *testing.T, name, library string) {
	t.Helper()
	for prefix, allowed := range vendors {
		if strings.HasPrefix(library, prefix) && !listed(allowed, name) {
			t.Errorf("%s imports %s, which is for %s alone", name, library, allowed)
		}
	}
}

func TestWhatStaysApart(t *testing.T) {
	graph := load(t)
	for name := range graph {
		for above, never := range apart {
			if name != above && !strings.HasPrefix(name, above+"/") || isForTests(name) {
				continue
			}
			for reached, by := range reach(graph, name) {
				for _, forbidden := range strings.Fields(never) {
					if reached == forbidden || strings.HasPrefix(reached, forbidden+"/") {
						t.Errorf("%s reaches %s, through %s", name, reached, by)
					}
				}
			}
		}
	}
}

func TestEventsDoNoIO(t *testing.T) {
	for _, imported := range load(t)["events"] {
		if slices.ContainsFunc(io, func(p string) bool {
			return imported == p || strings.HasSuffix(p, "/") && strings.HasPrefix(imported, p)
		}) {
			t.Errorf("events imports %s", imported)
		}
	}
}

func TestTheEnvironmentIsReadInOnePlace(t *testing.T) {
	for name := range load(t) {
		if name == "config" || environment[name] != "" {
			continue
		}
		for _, file := range filesOf(t, name) {
			ast.Inspect(file, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					if x, ok := s.X.(*ast.Ident); ok && x.Name == "os" && slices.Contains([]string{"Getenv", "LookupEnv", "Environ", "ExpandEnv"}, s.Sel.Name) {
						t.Errorf("%s calls os.%s: settings come from package config", name, s.Sel.Name)
					}
				}
				return true
			})
		}
	}
}

// A form with files is read part by part: net/http would put it on the disk as it is.
func TestNoFormIsPutOnTheDisk(t *testing.T) {
	for name := range load(t) {
		if isForTests(name) {
			continue
		}
		for _, file := range filesOf(t, name) {
			ast.Inspect(file, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok && slices.Contains([]string{"ParseMultipartForm", "FormFile", "ReadForm", "GetMultipartForm"}, s.Sel.Name) {
					t.Errorf("%s uses %s: read the parts of MultipartReader", name, s.Sel.Name)
				}
				return true
			})
		}
	}
}

const root = "../.."

// load gives what each package of ours imports, tests left out.
func load(t *testing.T) map[string][]string {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-f", `{{.ImportPath}} {{range .Imports}}{{.}} {{end}}`,
		"./internal/...", "./cmd/...", "./bench/...", "./schemas/...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("listing the packages: %v", err)
	}
	graph := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if name, ok := own(fields[0]); ok && len(fields) > 1 || name == "layout" {
			graph[name] = fields[1:]
		}
	}
	return graph
}

// own gives the name of a package of ours as the table has it.
func own(importPath string) (string, bool) {
	name, ok := strings.CutPrefix(importPath, "postern/")
	return strings.TrimPrefix(name, "internal/"), ok
}

// isForTests tells a package that exists for tests: nothing else imports it.
func isForTests(name string) bool {
	return strings.HasSuffix(path.Base(name), "test") || name == "torture"
}

func listed(row, name string) bool { return slices.Contains(strings.Fields(row), name) }

// reach gives all packages of ours that name reaches, each with the one by which.
func reach(graph map[string][]string, name string) map[string]string {
	reached := map[string]string{}
	var visit func(string)
	visit = func(from string) {
		for _, imported := range graph[from] {
			if next, ok := own(imported); ok && reached[next] == "" {
				reached[next] = from
				visit(next)
			}
		}
	}
	visit(name)
	return reached
}

// filesOf parses the files of a package, tests left out.
func filesOf(t *testing.T, name string) (files []*ast.File) {
	t.Helper()
	dir := filepath.Join(root, "internal", name)
	if strings.HasPrefix(name, "cmd/") || name == "bench" || name == "schemas" {
		dir = filepath.Join(root, name)
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files of %s in %s: %v", name, dir, err)
	}
	for _, p := range paths {
		if strings.HasSuffix(p, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), p, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

// A receipt is checked by code that has no way to a network or a database: what it
// consists of imports none. (That nothing is reached either, a test of package cli
// has the kernel enforce.)
func TestCheckingAReceiptNeedsNobody(t *testing.T) {
	for _, file := range []string{"receipt/receipt.go", "receipt/statement.go", "ledger/stored.go", "checkpoint/checkpoint.go"} {
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, "internal", file), nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range parsed.Imports {
			name := strings.Trim(i.Path.Value, `"`)
			for _, no := range []string{"net", "os", "github.com/jackc/", "github.com/nats-io/", "postern/internal/compose", "postern/internal/eventlog", "postern/internal/store"} {
				if name == no || strings.HasPrefix(name, strings.TrimSuffix(no, "/")+"/") {
					t.Errorf("%s imports %s", file, name)
				}
			}
		}
	}
}
