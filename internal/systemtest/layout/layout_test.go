package layout

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// imports says which of our packages each package may import. Names are without
// "internal/". Packages for tests (see isForTests) may import anything. A package
// without a row fails the test: add the row first.
var imports = map[string]string{
	// The events, and the stream that keeps them.
	"events":           "directory/block proof/salted text/language",
	"schemas":          "events",
	"eventlog":         "backoff certificate events problem schemas",
	"eventlog/consume": "backoff eventlog events",
	"eventlog/facts":   "events problem proof/salted text/zone",
	"eventlog/outbox":  "events",
	"eventlog/parked":  "eventlog eventlog/consume eventlog/facts events limits problem store",

	// Storage.
	"backoff":             "",
	"store":               "backoff certificate",
	"store/bucket":        "store/bucket/folder",
	"store/bucket/folder": "",
	"store/keyfile":       "",
	"embedded":            "embedded/filelock text/size",
	"embedded/filelock":   "",
	"embedded/postgres":   "embedded/filelock store",

	// From a message to its alerts. These packages exchange data only through the record.
	"client":              "", // for programs of others
	"compose":             "access access/policy content content/attachment content/clamd content/message content/reader directory directory/audience eventlog/facts events limits problem recorder/state",
	"compose/wording":     "access/policy content limits problem text/folding text/language",
	"compose/draft":       "access/policy content directory/audience text/zone",
	"fanout":              "content directory/audience directory/field directory/roster directory/roster/rosterstore eventlog/facts events pace proof/merkle proof/salted recorder/position recorder/state",
	"notify":              "directory/block eventlog/facts events inbox/delivered notify/pause notify/recipients notify/replay notify/sendgrid notify/unsubscribe pace proof/merkle recorder/position recorder/state store text/language",
	"notify/pause":        "eventlog/facts events limits problem",
	"notify/recipients":   "directory/block",
	"notify/replay":       "eventlog/facts events limits notify/pause notify/recipients problem recorder/state store",
	"notify/reports":      "directory/block eventlog/facts events notify/recipients problem",
	"notify/sendgrid":     "clinic text/address text/language",
	"notify/sendgridfake": "notify/sendgrid",
	"notify/unsubscribe":  "eventlog/facts events",

	"pace": "",

	// The record: projected, read, proven.
	"recorder":                 "eventlog eventlog/outbox events proof/merkle proof/signer recorder/damage recorder/position recorder/project store text/zone",
	"recorder/damage":          "eventlog events proof/merkle recorder/position",
	"recorder/inboxrows":       "directory/block events inbox/authority",
	"inbox/authority":          "directory/block",
	"inbox/delivered":          "directory/audience/matter directory/audience/rule directory/block directory/field directory/roster directory/roster/cited events inbox/authority problem proof/merkle",
	"recorder/migrate":         "recorder/project store",
	"recorder/position":        "",
	"recorder/project":         "directory/block events proof/merkle proof/merkle/merklestore recorder/inboxrows recorder/position recorder/state store",
	"recorder/rebuild":         "directory/block eventlog events inbox/authority proof/merkle recorder/inboxrows recorder/position recorder/project store",
	"recorder/state":           "events",
	"record/accounting":        "directory directory/audience/matter events problem record/export record/query text/language text/zone",
	"record/bundle":            "content/fields content/message content/reader eventlog/facts events labels limits problem proof/merkle/merklestore proof/receipt/issuer record/certificate",
	"record/certificate":       "content/message content/reader directory directory/audience/matter directory/audience/rule events labels messages proof/receipt proof/receipt/issuer text/qr text/size text/zone",
	"record/emergency":         "access/policy access/twopeople compose content/message content/reader eventlog/facts events problem record/query store",
	"record/export":            "directory/audience/matter events inbox/delivered record/query",
	"record/person":            "access/policy content/message content/reader messages record/query",
	"record/query":             "directory directory/audience/matter directory/block directory/roster/cited eventlog/facts events inbox/delivered messages problem proof/checkpoint proof/merkle proof/merkle/merklestore recorder/state text/language",
	"record/retention":         "access/policy access/twopeople compose content content/message eventlog/facts events problem store text/language",
	"proof/archive":            "store/bucket",
	"proof/checkpoint":         "store/keyfile",
	"proof/entrykey":           "content proof/salted",
	"proof/merkle":             "events",
	"proof/merkle/merklestore": "problem",
	"proof/receipt/issuer":     "content/message content/reader directory/block directory/roster directory/roster/cited directory/roster/rosterstore eventlog/facts events problem proof/entrykey proof/merkle proof/merkle/merklestore proof/receipt proof/salted recorder/inboxrows",
	"proof/receipt":            "directory/audience/matter directory/audience/rule directory/block directory/field directory/roster events proof/checkpoint proof/merkle proof/salted",
	"proof/salted":             "",
	"proof/signer":             "proof/archive proof/checkpoint proof/merkle proof/merkle/merklestore",
	"proof/verify/audiences":   "content directory/audience/rule directory/block directory/field directory/roster directory/roster/cited directory/roster/rosterstore events",
	"proof/verify/entries":     "content events proof/entrykey proof/merkle recorder/inboxrows",
	"proof/verify":             "content eventlog events proof/archive proof/checkpoint proof/entrykey proof/merkle proof/merkle/merklestore proof/verify/audiences proof/verify/entries recorder/position recorder/rebuild schemas",

	// Delivery status, and the inboxes of portal users.
	"messages":         "access/policy directory/audience/matter directory/block directory/roster/cited events inbox/delivered problem recorder/state text/folding",
	"messages/notice":  "access/policy messages problem store text/language text/zone",
	"inbox/inboxstore": "clinic content/fields access/policy content/message content/reader directory/block directory/roster/cited eventlog/facts events inbox inbox/delivered text/folding",
	"inbox":            "content/message problem",

	// People, permissions, and the clinic's own labels.
	"directory":                    "directory/field text/folding text/invisible text/language",
	"directory/audience":           "directory directory/audience/matter directory/audience/rule directory/block directory/field directory/people directory/roster directory/roster/rosterstore",
	"directory/audience/matter":    "directory/audience/rule directory/roster",
	"directory/audience/rule":      "directory/field directory/roster",
	"directory/block":              "",
	"directory/field":              "limits text/address text/invisible",
	"directory/imports":            "directory/field directory/imports/resources directory/imports/staging directory/source directory/source/csvfile directory/source/fhir events store text/folding text/zone",
	"directory/imports/resources":  "directory/imports/staging directory/source",
	"directory/imports/staging":    "directory/field directory/source text/folding",
	"directory/people":             "directory/block directory/field directory/roster",
	"directory/roster":             "directory/block directory/field proof/salted",
	"directory/roster/cited":       "directory/roster",
	"directory/roster/rosterstore": "content directory directory/block directory/people directory/roster directory/roster/cited store",
	"directory/source":             "directory/field text/number",
	"directory/source/csvfile":     "directory/field directory/source limits text/charset text/invisible text/number",
	"directory/source/fhir":        "directory/field directory/source limits text/invisible text/number",
	"directory/demo":               "directory/imports",
	"directory/upload":             "access/policy content directory/imports directory/roster/rosterstore directory/source eventlog/outbox limits store text/zone",
	"access":                       "access/factor access/groups access/oidc access/passkey access/passwords access/policy access/session access/tally access/turn access/twopeople content eventlog/facts events inbound limits problem store text/address text/agent text/invisible text/language",
	"access/policy":                "events problem text/language",
	"access/passwords":             "limits text/folding text/language",
	"access/twopeople":             "access/policy events problem proof/merkle text/language",
	"access/session":               "access/policy problem",
	"access/letter":                "access access/policy messages/notice problem store text/language",
	"access/tally":                 "",
	"access/turn":                  "",
	"access/oidc":                  "",
	"access/groups":                "access/policy",
	"access/factor":                "events",
	"access/passkey":               "",
	"labels/labelstore":            "eventlog/facts events labels store text/language",
	"labels":                       "limits problem text/language",
	"clinic":                       "limits problem text/size",
	"clinic/clinicstore":           "clinic eventlog/facts events problem store",

	// Content of messages, which only their readers may see.
	"content":            "store/bucket store/keyfile",
	"content/attachment": "content content/clamd limits problem text/charset",
	"content/fields":     "",
	"content/message":    "content events problem",
	"content/reader":     "content content/message",
	"content/rotation":   "content content/message directory/roster/rosterstore store store/keyfile",
	"content/clamd":      "problem",

	// Limits that a clinic may choose.
	"giveup": "",
	"limits": "text/number text/size",

	// Handling of text.
	"text/address":   "text/invisible",
	"text/agent":     "",
	"text/charset":   "",
	"text/folding":   "text/invisible",
	"text/invisible": "",
	"text/language":  "text/number text/size",
	"text/number":    "",
	"text/qr":        "",
	"text/size":      "",
	"text/zone":      "",

	// The state of the system.
	"health":    "eventlog eventlog/parked events notify/pause recorder/position store text/language text/number text/zone",
	"telemetry": "events health",

	// Pages, API and command line.
	"inbound":          "",
	"serving":          "health inbound problem problem/document",
	"serving/loopback": "",
	"certificate":      "",
	"certificate/acme": "",
	"problem":          "limits",
	"problem/document": "inbound problem",
	"navigation":       "access/policy labels text/language",
	"search":           "access/policy content/message content/reader directory labels/labelstore messages navigation record/person record/query text/folding",
	"api":              "access access/factor access/letter access/passwords access/policy access/session clinic clinic/clinicstore compose compose/draft compose/wording content/attachment content/message content/reader directory directory/audience eventlog eventlog/parked events health inbound inbox inbox/delivered inbox/inboxstore labels labels/labelstore limits messages messages/notice notify/pause notify/replay notify/reports problem problem/document proof/checkpoint proof/merkle/merklestore proof/receipt/issuer record/accounting record/bundle record/emergency record/export record/person record/query record/retention search telemetry text/folding text/zone web/static",
	"web":              "access/policy web/page web/static",
	"web/account":      "access access/factor access/passwords access/policy access/session events limits messages/notice web/page",
	"web/admin":        "access access/letter access/passwords access/policy access/twopeople compose directory directory/imports directory/source directory/upload events inbound labels labels/labelstore limits notify/unsubscribe problem text/folding text/language web/page",
	"web/factors":      "access access/factor access/passwords access/policy text/qr web/page",
	"web/compose":      "access access/policy clinic/clinicstore compose compose/draft compose/wording content/attachment content/clamd content/fields content/message directory directory/audience directory/audience/matter eventlog/facts inbound labels labels/labelstore limits problem record/export text/folding text/language text/number text/size text/zone web/page",
	"web/letters":      "access access/policy clinic limits messages text/language web/page",
	"web/messages":     "access/policy compose compose/draft content/message content/reader events messages messages/notice navigation notify/pause notify/replay record/export record/retention search text/language text/zone web/page",
	"web/operations":   "access/policy eventlog/parked health navigation notify/pause text/language text/number text/size text/zone web/page",
	"web/clinic":       "access/policy clinic clinic/clinicstore inbound limits text/language web/page",
	"web/page":         "access/policy clinic inbound labels limits navigation problem problem/document text/language text/number text/size text/zone web/static",
	"web/portal":       "access/factor access/passwords access/policy access/session content/attachment content/message inbox limits problem text/language web/page",
	"web/receipt":      "access/policy content/attachment events labels labels/labelstore limits messages problem proof/receipt proof/receipt/issuer record/bundle record/certificate text/language web/page",
	"web/record":       "access access/policy access/twopeople compose content/attachment content/message directory directory/audience/matter events inbox/delivered limits messages problem record/accounting record/emergency record/person record/query record/retention search text/folding text/language text/zone web/page",
	"web/replay":       "access/policy events limits messages notify/replay problem recorder/state text/language text/number text/zone web/page",
	"web/search":       "access/policy labels labels/labelstore search text/language web/page",
	"web/signin":       "access access/letter access/oidc access/passwords access/policy limits text/address text/language web/page",
	"web/static":       "",
	"cli":              "access access/factor access/letter access/policy certificate clinic/clinicstore config content content/reader content/rotation directory directory/audience/matter directory/imports directory/roster/rosterstore eventlog eventlog/facts eventlog/outbox eventlog/parked events health inbox/delivered labels labels/labelstore messages notify/pause notify/replay problem process process/up proof/archive proof/checkpoint proof/entrykey proof/merkle/merklestore proof/receipt proof/receipt/issuer proof/verify record/accounting record/bundle record/certificate record/emergency record/export record/query record/retention recorder recorder/damage recorder/migrate recorder/position recorder/rebuild store text/number text/language text/zone",

	// Configuration and processes.
	"config":            "access/groups inbound notify/sendgrid proof/checkpoint serving/loopback text/address text/zone",
	"process":           "access access/groups access/letter access/oidc access/passkey access/policy access/twopeople api certificate certificate/acme clinic/clinicstore compose compose/draft compose/wording config content content/clamd content/reader directory directory/roster/rosterstore directory/upload eventlog eventlog/consume eventlog/facts eventlog/parked events fanout health inbound inbox/inboxstore labels/labelstore messages messages/notice notify notify/pause notify/replay notify/reports notify/sendgrid notify/unsubscribe pace problem/document proof/archive proof/checkpoint proof/entrykey proof/merkle/merklestore proof/receipt/issuer proof/signer record/accounting record/bundle record/certificate record/emergency record/export record/person record/query record/retention recorder recorder/position search serving serving/loopback store telemetry text/language text/zone web web/account web/admin web/clinic web/compose web/factors web/letters web/messages web/operations web/page web/portal web/receipt web/record web/replay web/search web/signin web/unsubscribe",
	"web/unsubscribe":   "access/policy notify/unsubscribe web/page",
	"process/up":        "access access/policy config content directory/demo directory/imports directory/roster/cited directory/roster/rosterstore embedded embedded/postgres eventlog eventlog/facts eventlog/outbox events inbox/delivered notify/sendgridfake process proof/archive proof/checkpoint proof/merkle/merklestore recorder/migrate recorder/position serving/loopback store store/keyfile telemetry",
	"cmd/api":           "config process",
	"cmd/fanout-worker": "config process",
	"cmd/notify-worker": "config process",
	"cmd/postern":       "cli process",
	"cmd/recorder":      "config process",
	"bench":             "access/policy content content/message directory directory/block directory/field directory/roster eventlog events inbox/authority notify/sendgridfake proof/receipt recorder/position",
	"systemtest/layout": "",
}

// apart lists the packages that a package, and every package below it, must not
// reach through any number of imports.
var apart = map[string]string{
	"compose":  "api fanout notify notify/sendgrid recorder recorder/damage recorder/project recorder/rebuild",
	"fanout":   "api compose notify notify/sendgrid recorder recorder/damage recorder/project recorder/rebuild",
	"notify":   "access api compose content directory directory/imports fanout recorder recorder/damage recorder/project recorder/rebuild",
	"recorder": "access api compose content directory directory/imports fanout notify notify/sendgrid",
	"store":    "access api compose content directory directory/imports events fanout notify notify/sendgrid recorder recorder/damage recorder/project recorder/rebuild",
	"api":      "fanout notify notify/sendgrid recorder recorder/damage recorder/project recorder/rebuild",
}

// vendors lists, by the beginning of a library's path, the only packages that may import it.
var vendors = map[string]string{
	"go.opentelemetry.io/":                  "telemetry",
	"github.com/nats-io/nats-server":        "embedded embedded/natstest",
	"github.com/nats-io/nats.go":            "eventlog eventlog/consume embedded embedded/natstest recorder/damage",
	"github.com/ThreeDotsLabs/watermill":    "eventlog/consume",
	"github.com/sendgrid/":                  "notify/sendgrid notify/sendgridfake",
	"github.com/tink-crypto/":               "content",
	"gocloud.dev/":                          "proof/archive store/bucket store/bucket/folder content",
	"github.com/aws/":                       "store/bucket",
	"github.com/johannesboyne/gofakes3":     "store/bucket/s3test",
	"github.com/alexedwards/":               "access",
	"github.com/danielgtaylor/huma":         "api",
	"github.com/pressly/goose":              "store",
	"github.com/caarlos0/env":               "config",
	"github.com/spf13/cobra":                "cli",
	"github.com/santhosh-tekuri/jsonschema": "schemas",
	"github.com/chromedp/":                  "web/webtest",
	"github.com/pquerna/otp":                "access",
	"github.com/coreos/go-oidc":             "access/oidc",
	"golang.org/x/oauth2":                   "access/oidc",
	"golang.org/x/crypto/acme":              "certificate/acme",
	"github.com/boombuler/barcode":          "text/qr",
	"github.com/go-webauthn/":               "access/passkey",
}

// inputOutput lists packages that a package without I/O must not import.
var inputOutput = []string{"net", "net/http", "os", "os/exec", "database/sql", "syscall", "github.com/jackc/", "github.com/nats-io/", "gocloud.dev/"}

// environment lists the packages besides config that read the environment, and why.
var environment = map[string]string{
	"cli":                     "DATABASE_URL and NATS_URL choose the system that a verb acts on; its other settings come from the same environment",
	"process/up":              "the embedded system takes its settings for outside services from the environment",
	"embedded/postgres":       "PATH of the PostgreSQL that it runs",
	"store/storetest":         "PG_BIN of the tests' PostgreSQL",
	"store/replicatest":       "PG_BIN of the tests' PostgreSQL",
	"store/tlstest":           "PG_BIN of the tests' PostgreSQL",
	"process":                 "GOMEMLIMIT and GOGC belong to the Go runtime, and override our own limits",
	"bench":                   "passes its environment to the processes that it measures",
	"content/clamd/clamdtest": "CI, where a missing scanner is a failure",
	"web/webtest":             "CI, where a missing browser is a failure",
}

func TestImports(t *testing.T) {
	graph := load(t)
	for name, imported := range graph {
		allowed, known := imports[name]
		if !known && !isForTests(name) {
			t.Errorf("%s has no row in the table: say what it may import", name)
		}
		for _, other := range imported {
			ours, isOurs := ownName(other)
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
			t.Errorf("the table has a row for %s, which does not exist", name)
		}
	}
}

func checkVendor(t *testing.T, name, library string) {
	t.Helper()
	for prefix, allowed := range vendors {
		if strings.HasPrefix(library, prefix) && !listed(allowed, name) {
			t.Errorf("%s imports %s, which only %s may import", name, library, allowed)
		}
	}
}

func TestPackagesStayApart(t *testing.T) {
	graph := load(t)
	for name := range graph {
		for above, never := range apart {
			if name != above && !strings.HasPrefix(name, above+"/") || isForTests(name) {
				continue
			}
			for reached, by := range reach(graph, name) {
				if listed(never, reached) {
					t.Errorf("%s reaches %s, through %s", name, reached, by)
				}
			}
		}
	}
}

func TestEventsDoNoIO(t *testing.T) {
	for _, imported := range load(t)["events"] {
		if slices.ContainsFunc(inputOutput, func(p string) bool {
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

// A form with files is read part by part: net/http would write it to the disk unencrypted.
func TestFormsAreNotWrittenToDisk(t *testing.T) {
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

// The clinic's zone is package zone's. time.Local is the machine's, and so are the times of time.Now.
func TestTimesAreInTheZoneOfTheClinic(t *testing.T) {
	for name := range load(t) {
		if name == "text/zone" || isForTests(name) {
			continue
		}
		for _, file := range filesOf(t, name) {
			ast.Inspect(file, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if s, isOf := n.(*ast.SelectorExpr); isOf && called(s) == "time.Local" || ok && strings.HasSuffix(called(call.Fun), ".Local") {
					t.Errorf("%s uses Local, the zone of the machine: use zone.In or zone.Clinic", name)
				}
				return true
			})
		}
	}
}

// called returns a selector as text: "time.Local"; without a name before the dot, ".Local".
func called(e ast.Expr) string {
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	x, _ := s.X.(*ast.Ident)
	if x == nil {
		return "." + s.Sel.Name
	}
	return x.Name + "." + s.Sel.Name
}

const root = "../../.."

// large is the number of lines, without tests, above which a package says under "# Size" in
// its doc comment why it is not several packages.
const large = 1200

func TestALargePackageSaysWhy(t *testing.T) {
	for name := range load(t) {
		lines, reason := 0, false
		for _, file := range filesOf(t, name) {
			lines += positions.Position(file.FileEnd).Line
			reason = reason || strings.Contains(file.Doc.Text(), "# Size\n")
		}
		if (lines > large) != reason {
			t.Errorf("%s has %d lines; says why it is large: %t", name, lines, reason)
		}
	}
}

// load returns the imports of each of our packages, without those of tests.
func load(t *testing.T) map[string][]string {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-f", `{{.ImportPath}} {{range .Imports}}{{.}} {{end}}`,
		"./internal/...", "./cmd/...", "./bench/...", "./schemas/...", "./client/...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("listing the packages: %v", err)
	}
	graph := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if name, ok := ownName(fields[0]); ok && len(fields) > 1 || name == "systemtest/layout" {
			graph[name] = fields[1:]
		}
	}
	return graph
}

// ownName returns the name of one of our packages as in the table, and false for others.
func ownName(importPath string) (string, bool) {
	name, ok := strings.CutPrefix(importPath, "postern/")
	return strings.TrimPrefix(name, "internal/"), ok
}

// isForTests says whether a package exists only for tests: no other package imports it.
func isForTests(name string) bool {
	return strings.HasSuffix(path.Base(name), "test") || strings.HasPrefix(name, "systemtest/")
}

func listed(row, name string) bool { return slices.Contains(strings.Fields(row), name) }

// reach returns all our packages that name imports, directly or not, each with the package
// that imports it.
func reach(graph map[string][]string, name string) map[string]string {
	reached := map[string]string{}
	var visit func(string)
	visit = func(from string) {
		for _, imported := range graph[from] {
			if next, ok := ownName(imported); ok && reached[next] == "" {
				reached[next] = from
				visit(next)
			}
		}
	}
	visit(name)
	return reached
}

// positions has the positions in the files that filesOf parses.
var positions = token.NewFileSet()

// filesOf parses the files of a package, without its tests.
func filesOf(t *testing.T, name string) (files []*ast.File) {
	t.Helper()
	dir := filepath.Join(root, "internal", name)
	if strings.HasPrefix(name, "cmd/") || name == "bench" || name == "schemas" || name == "client" {
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
		file, err := parser.ParseFile(positions, p, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

// never lists the packages, ours or others', that a package must not reach through any
// number of imports. A name covers all packages below it.
var never = map[string][]string{
	// A fault in a page of the portal can't send a message, and reads nothing but the inbox.
	"web/portal": {"postern/internal/compose", "postern/internal/messages", "postern/internal/api",
		"postern/internal/store", "github.com/danielgtaylor/huma", "github.com/jackc/pgx"},
	"web/page": {"postern/internal/api", "postern/internal/store", "github.com/danielgtaylor/huma", "github.com/jackc/pgx"},
	// A receipt is checked without a database and without a network. (In a test of package
	// cli the kernel forbids the network.)
	"proof/receipt": {"github.com/jackc/pgx", "github.com/nats-io", "net/http", "postern/internal/store"},
	// Errors don't know how they are answered.
	"problem": {"net/http", "github.com/danielgtaylor/huma", "github.com/jackc/pgx"},
}

// allowed are exceptions: packages below a forbidden name that use no database.
var allowed = []string{"postern/internal/store/keyfile", "postern/internal/store/bucket"}

func TestForbiddenPackagesAreNotReached(t *testing.T) {
	for name, forbidden := range never {
		cmd := exec.Command("go", "list", "-deps", "./internal/"+name) // #nosec G204 -- of the table above
		cmd.Dir = root
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("listing the dependencies of %s: %v", name, err)
		}
		for _, reached := range strings.Fields(string(out)) {
			if isBelow(reached, forbidden) && !isBelow(reached, allowed) {
				t.Errorf("%s reaches %s", name, reached)
			}
		}
	}
}

// isBelow says whether a package is one of the named ones, or below one of them.
func isBelow(name string, tops []string) bool {
	return slices.ContainsFunc(tops, func(top string) bool { return name == top || strings.HasPrefix(name, top+"/") })
}

// A package that holds a value of another package can use that value's exported fields. So
// an exported field must not expose a type that the package may not import, if the type has
// methods that take a context, as all types that read, write or send have.
func TestFieldsExposeNothing(t *testing.T) {
	graph := load(t)
	packages := typesOf(t)
	for name, imported := range graph {
		p := packages["postern/internal/"+name]
		if p == nil || isForTests(name) {
			continue
		}
		for _, held := range fieldsOf(p.Scope()) {
			of, ok := named(held.Type())
			if !ok || of.Obj().Pkg() == p {
				continue
			}
			if _, isOurs := ownName(of.Obj().Pkg().Path()); !isOurs {
				continue
			}
			inner, ok := of.Underlying().(*types.Struct)
			for i := 0; ok && i < inner.NumFields(); i++ {
				field := inner.Field(i)
				reached, ok := named(field.Type())
				if !ok || !field.Exported() || !worksWithContext(reached) {
					continue
				}
				if from := reached.Obj().Pkg(); from != p && !slices.Contains(imported, from.Path()) {
					t.Errorf("%s holds %s, whose field %s is a %s, but it may not import %s", name, of, field.Name(), reached, from.Path())
				}
			}
		}
	}
}

// typesOf returns the types of all our packages, from the compiler's export data.
func typesOf(t *testing.T) map[string]*types.Package {
	t.Helper()
	cmd := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}", "./internal/...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("listing the packages' export data: %v", err)
	}
	exported := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		exported[name] = file
	}
	read := importer.ForCompiler(token.NewFileSet(), "gc", func(name string) (io.ReadCloser, error) { return os.Open(exported[name]) })
	all := map[string]*types.Package{}
	for name, file := range exported {
		if _, isOurs := ownName(name); !isOurs || file == "" {
			continue
		}
		if all[name], err = read.Import(name); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// fieldsOf returns the fields of all structs that a package declares.
func fieldsOf(scope *types.Scope) (all []*types.Var) {
	for _, name := range scope.Names() {
		if declared, ok := scope.Lookup(name).(*types.TypeName); ok {
			if s, ok := declared.Type().Underlying().(*types.Struct); ok {
				for i := range s.NumFields() {
					all = append(all, s.Field(i))
				}
			}
		}
	}
	return all
}

// named returns the named type of a value or pointer, and false for other types.
func named(t types.Type) (*types.Named, bool) {
	if p, ok := t.(*types.Pointer); ok {
		t = p.Elem()
	}
	n, ok := t.(*types.Named)
	return n, ok && n.Obj().Pkg() != nil
}

// worksWithContext says whether a type has a method that takes a context first.
func worksWithContext(n *types.Named) bool {
	methods := types.NewMethodSet(types.NewPointer(n))
	for i := range methods.Len() {
		params := methods.At(i).Obj().Type().(*types.Signature).Params()
		if params.Len() > 0 && params.At(0).Type().String() == "context.Context" {
			return true
		}
	}
	return false
}
