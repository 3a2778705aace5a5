package language_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/template/parse"
	"unicode"

	"postern/internal/text/language"
)

// root is the folder of the repository.
const root = "../../.."

// source is a folder whose texts are in the catalogs of an audience.
type source struct {
	audience language.Audience
	// files are patterns of templates and of Go files.
	files []string
	// pages says that titles, errors and notices in the Go code are texts without a mark, because
	// package page translates them.
	pages bool
}

// sources are the folders whose texts are in the catalogs. To translate the pages of a folder, add it
// here: the test then says which texts are not within t, and which have no translation.
var sources = []source{
	{language.ForPortal, []string{"internal/web/portal/*", "internal/web/signin/*", "internal/web/factors/*", "internal/web/unsubscribe/*", "internal/web/page/templates/*", "internal/web/page/*"}, true},
	{language.ForPortal, []string{"internal/web/clinic/help.html", "internal/web/letters/letter.html", "internal/web/clinic/*.go", "internal/text/language/*.go", "internal/notify/sendgrid/*.go",
		"internal/access/*.go", "internal/access/passwords/*.go"}, false},
	{language.ForStaff, []string{"internal/web/account/*", "internal/web/admin/*", "internal/web/clinic/clinic.html", "internal/web/clinic/clinic.go", "internal/web/compose/*", "internal/web/letters/ask.html",
		"internal/web/letters/print.html", "internal/web/letters/*.go", "internal/web/messages/*", "internal/web/operations/*", "internal/web/receipt/*", "internal/web/record/*", "internal/web/replay/*", "internal/web/search/*"}, true},
	{language.ForStaff, []string{"internal/labels/*.go", "internal/limits/*.go", "internal/access/policy/*.go", "internal/access/twopeople/*.go", "internal/directory/term.go", "internal/compose/wording/*.go", "internal/record/accounting/*.go",
		"internal/record/retention/*.go", "internal/events/*.go", "internal/record/query/*.go"}, false},
}

// argument says which argument of a function is a text of a page: see source.pages.
var argument = map[string]int{"Redirect": 3, "home": 0, "added": 0, "showRecovery": 0}

// elsewhere are texts that portal users can see and that packages make which know no language.
var elsewhere = map[string][]string{
	"internal/navigation/navigation.go": {"Messages", "Account"},
	"internal/problem/kinds.go": {"The request can't be read", "The request comes from another site", "The request was not encrypted", "There is no such thing",
		"That can't be done here", "The request came too slowly", "The request is too large", "The request is not valid", "Too many tries", "You are not signed in",
		"You may not do that", "You have to sign in for that", "Something went wrong on our side", "The service is not available right now", "Not ready"},
	"internal/problem/document/document.go": {"Try again in a moment.", "It was logged. Try again; if it happens again, tell your administrator this problem's instance.",
		"A page of another site sent this request. Open the page here and try again."},
	"internal/inbound/body.go": {"the request came too slowly: send it again", "too many large requests at a time: send it again in a moment", "the request stopped half-way: send it again"},
}

// elsewhereForStaff are such texts that only staff see: why an alert was not sent, as the database says it.
var elsewhereForStaff = map[string][]string{
	"internal/content/fields/fields.go":           {"the name of the person who reads the message", "the name of the clinic", "the telephone number of the clinic"},
	"internal/access/factor/factor.go":            {"passkeys"},
	"internal/directory/imports/folder.go":        {"is a link to a file that does not exist: it was not read", "is a folder inside the export folder: it was not read. If it is part of the export, import it separately", "is not a file: it was not read"},
	"internal/directory/field/field.go":           {"is missing", "may hold only letters A to Z, digits, '.', '_' and '-'"},
	"internal/directory/source/csvfile/decode.go": {"is missing, and so is given_name: a patient needs one of them", "is before from"},
	"internal/directory/source/csvfile/field.go": {"is not UTF-8: save the file as UTF-8", "must be true or false, or yes or no",
		"is not a date of the form YYYY-MM-DD, as 1980-12-31: in Excel, give the cells the format yyyy-mm-dd"},
	"internal/directory/source/fhir/element.go": {"is empty", "does not have the form Patient/<id>"},
	"internal/directory/source/fhir/resource.go": {"does not say whether the patient is deceased: taken as living", "is false beside a deceasedDateTime: the patient is taken as deceased",
		"must be one of replaced-by, replaces, refer, seealso: the link was not read", "is before period.start", "must be one of planned, waitlist, active, onhold, finished, cancelled, entered-in-error",
		"holds a control character or a line break: it was replaced by a space", "holds a character that the source cut in two or could not read: it was replaced by U+FFFD",
		"holds an element that FHIR does not allow here: the element was ignored"},
	"internal/directory/upload/receive.go": {"Choose at least one file: patients.csv, portal_users.csv, links.csv, or the files of a FHIR export",
		"CSV files and a FHIR export can't be imported together: upload one first, and then the other"},
	"internal/compose/withdraw.go":         {"too late: the message is already being delivered. Recall it instead", "too late to recall, or too early: the message has not been released. Cancel it instead"},
	"internal/content/attachment/types.go": {"OpenDocument text (.odt)", "OpenDocument spreadsheet (.ods)", "OpenDocument presentation (.odp)", "plain text"},
	"internal/store/schema.sql":            {"the message was recalled", "the directory has lost this portal user", "the account is inactive", "opted out of e-mails", "the e-mail address does not work"},
}

// A table is a declaration whose strings are texts that staff see, in a package that knows no language:
// those in the fields, or without fields those that look like texts. Without a name it is the whole file.
//
// The name is a pattern of names. The fields one and many are a text for a number.
type table struct {
	files, name string
	fields      []string
}

var tables = []table{
	{"internal/navigation/navigation.go", "sections", nil},
	{"internal/navigation/navigation.go", "destinations", []string{"Text", "Title", "Keywords"}},
	{"internal/navigation/navigation.go", "glass", nil},
	{"internal/navigation/navigation.go", "erasing", nil},
	{"internal/problem/kinds.go", "", nil},
	{"internal/inbox/delivered/why.go", "words", nil},
	{"internal/record/query/sent.go", "Words", nil},
	{"internal/record/query/sent.go", "AlertWords", nil},
	{"internal/record/bundle/bundle.go", "Bases", nil},
	{"internal/events/*.go", "", []string{"Label"}},
	{"internal/access/factor/factor.go", "Names", nil},
	{"internal/clinic/clinic.go", "Fields", nil},
	{"internal/content/attachment/refused.go", "Reason", nil},
	{"internal/content/attachment/refused.go", "kindsInWords", nil},
	{"internal/content/attachment/refused.go", "inWords", nil},
	{"internal/access/twopeople/twopeople.go", "faults", nil},
	{"internal/access/twopeople/twopeople.go", "ofOne", nil},
	{"internal/events/replay.go", "LeftOut*", nil},
	{"internal/health/stuck.go", "stuckKinds", []string{"do"}},
	{"internal/health/stuck.go", "unsettled", nil},
	{"internal/notify/pause/pause.go", "ReasonPaused", nil},
	{"internal/notify/plan.go", "reason*", nil},
	{"internal/notify/replay/plan.go", "Unnamed", nil},
	{"internal/notify/replay/unknown.go", "whyRepeated", nil},
	{"internal/directory/source/csvfile/*.go", "", []string{"Reason"}},
	{"internal/directory/source/fhir/*.go", "", []string{"Reason"}},
	{"internal/directory/imports/*.go", "", []string{"Reason"}},
	{"internal/record/accounting/accounting.go", "to[PR]*", nil},
	{"internal/record/accounting/accounting.go", "by[AS]*", nil},
	{"internal/record/accounting/accounting.go", "forOperations", nil},
	{"internal/access/oidc/oidc.go", "Error", nil},
	{"internal/access/portal.go", "Error", nil},
	{"internal/access/second_factor.go", "Error", nil},
	{"internal/compose/draft/draft.go", "Error", nil},
	{"internal/notify/replay/steer.go", "Error", nil},
}

// errorsOf are the packages whose errors people can read on a form or a page of a failure. Of those that
// portal users can read, the variables in onlyStaff are read by staff alone.
var (
	errorsOf = map[language.Audience][]string{
		language.ForPortal: {"internal/access/*.go", "internal/access/passwords/*.go"},
		language.ForStaff: {"internal/access/letter/*.go", "internal/access/oidc/*.go", "internal/access/policy/*.go", "internal/access/session/*.go",
			"internal/clinic/clinicstore/*.go", "internal/compose/*.go", "internal/compose/draft/*.go", "internal/compose/wording/*.go",
			"internal/content/clamd/*.go", "internal/content/message/*.go", "internal/directory/*.go", "internal/directory/upload/*.go",
			"internal/eventlog/facts/*.go", "internal/eventlog/parked/*.go", "internal/inbox/delivered/*.go", "internal/messages/*.go", "internal/messages/notice/*.go",
			"internal/notify/pause/*.go", "internal/notify/replay/*.go", "internal/proof/receipt/issuer/*.go", "internal/record/accounting/*.go",
			"internal/record/bundle/*.go", "internal/record/emergency/*.go", "internal/record/query/*.go", "internal/record/retention/*.go"},
	}
	onlyStaff = []string{"ErrUnconfirmed", "ErrOtherAddress", "ErrNoToken", "ErrDisableSelf", "ErrDisabled", "ErrOwnFactor", "ErrNoGrant", "ErrGrantSettled",
		"ErrOwnIdentity", "ErrNoAddress", "ErrDeadAddress", "ErrAskedElsewhere", "ErrNoRun", "ErrRunEnded", "ErrInvitation", "ErrLastAdministrator", "ErrPermissionsChanged",
		"ErrHasAddress", "ErrLetterMade", "ErrNoPortalUser", "ErrNoStaff", "ErrStaffExists", "ErrEmail", "ErrOwnAddress", "ErrOwnLink", "ErrRefused", "ErrNoSuchFactor",
		"ErrName", "ErrTokenName", "ErrTokenPermissions", "ErrTokenExpiry", "ErrTooManyTokens"}
)

// found is a text in the code.
type found struct {
	one   string // of a text for a number; "" for others
	where string
}

// texts are the texts of an audience by their ids.
type texts map[string]found

// extraction collects the texts of the repository.
type extraction struct {
	t     *testing.T
	of    map[language.Audience]texts
	bare  []string // texts that are not within t
	audio language.Audience
}

func extract(t *testing.T) *extraction {
	x := &extraction{t: t, of: map[language.Audience]texts{language.ForPortal: {}, language.ForStaff: {}}}
	for _, s := range sources {
		x.audio = s.audience
		for _, pattern := range s.files {
			for _, name := range x.glob(pattern) {
				switch {
				case strings.HasSuffix(name, ".html"):
					x.template(name)
				case strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go"):
					x.code(name, s.pages)
				}
			}
		}
	}
	for audience, files := range map[language.Audience]map[string][]string{language.ForPortal: elsewhere, language.ForStaff: elsewhereForStaff} {
		x.audio = audience
		for name, all := range files {
			content := x.read(name)
			for _, text := range all {
				if !strings.Contains(content, strconv.Quote(text)) && !strings.Contains(content, "'"+text+"'") {
					t.Errorf("%s no longer has the text %q: correct the list elsewhere", name, text)
				}
				x.add(text, "", name)
			}
		}
	}
	for audience, patterns := range errorsOf {
		x.audio = audience
		for _, pattern := range patterns {
			for _, name := range x.glob(pattern) {
				if !strings.HasSuffix(name, "_test.go") {
					x.errors(name)
				}
			}
		}
	}
	x.audio = language.ForStaff
	for _, one := range tables {
		for _, name := range x.glob(one.files) {
			if !strings.HasSuffix(name, "_test.go") {
				x.table(name, one)
			}
		}
	}
	for id := range x.of[language.ForPortal] {
		delete(x.of[language.ForStaff], id) // the catalog of the portal has it
	}
	return x
}

func (x *extraction) glob(pattern string) []string {
	names, err := filepath.Glob(filepath.Join(root, pattern))
	if err != nil || len(names) == 0 {
		x.t.Fatalf("%s: no files (%v)", pattern, err)
	}
	for i := range names {
		names[i], _ = filepath.Rel(root, names[i])
	}
	return names
}

func (x *extraction) read(name string) string {
	b, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		x.t.Fatal(err)
	}
	return string(b)
}

func (x *extraction) add(id, one, where string) {
	x.addTo(x.audio, id, one, where)
}

func (x *extraction) addTo(a language.Audience, id, one, where string) {
	if id == "" {
		return
	}
	if before, ok := x.of[a][id]; ok && before.one != one {
		x.t.Errorf("%s: %q is a text with a number here and not at %s, or with another wording for one", where, id, before.where)
	}
	x.of[a][id] = found{one, where}
}

// template collects the texts of a file of templates.
func (x *extraction) template(name string) {
	tree := parse.New(name)
	tree.Mode = parse.SkipFuncCheck
	set := map[string]*parse.Tree{}
	if _, err := tree.Parse(x.read(name), "", "", set); err != nil {
		x.t.Fatal(err)
	}
	for _, tree := range set {
		if tree.Root != nil {
			w := &walk{extraction: x, name: name}
			w.list(tree.Root)
		}
	}
}

// walk goes through a template and tracks tags and attributes.
type walk struct {
	*extraction
	name  string
	inTag bool
	tag   string // the part of the tag read so far
}

func (w *walk) list(nodes *parse.ListNode) {
	if nodes == nil {
		return
	}
	for _, node := range nodes.Nodes {
		switch n := node.(type) {
		case *parse.TextNode:
			w.text(string(n.Text))
		case *parse.ActionNode:
			w.pipe(n.Pipe)
		case *parse.TemplateNode:
			w.pipe(n.Pipe)
		case *parse.IfNode:
			w.branch(&n.BranchNode)
		case *parse.RangeNode:
			w.branch(&n.BranchNode)
		case *parse.WithNode:
			w.branch(&n.BranchNode)
		}
	}
}

func (w *walk) branch(n *parse.BranchNode) {
	w.pipe(n.Pipe)
	before := *w
	w.list(n.List)
	*w = before
	w.list(n.ElseList)
}

var shownAttributes = regexp.MustCompile(`\b(title|placeholder|aria-label|alt|data-[a-z-]+)="([^"]*)$`)

func (w *walk) text(text string) {
	for text != "" {
		if w.inTag {
			tag, rest, ended := strings.Cut(text, ">")
			w.tag += tag
			for _, m := range regexp.MustCompile(`\b(title|placeholder|aria-label|alt)="([^"]+)"`).FindAllStringSubmatch(tag, -1) {
				w.literal(m[2])
			}
			if m := shownAttributes.FindStringSubmatch(tag); m != nil && !strings.HasPrefix(m[1], "data-") {
				w.literal(m[2])
			}
			w.inTag, text = !ended, rest
			continue
		}
		between, rest, begins := strings.Cut(text, "<")
		w.literal(between)
		if !begins {
			return
		}
		w.inTag, w.tag, text = true, "", rest
	}
}

// literal notes words that are not within t.
func (w *walk) literal(text string) {
	text = strings.TrimSpace(regexp.MustCompile(`&[a-z]+;|Postern`).ReplaceAllString(text, ""))
	if strings.ContainsFunc(text, unicode.IsLetter) && !strings.HasPrefix(text, "!DOCTYPE") {
		w.bare = append(w.bare, fmt.Sprintf("%s: %q", w.name, text))
	}
}

// pipe collects the texts of an action.
func (w *walk) pipe(p *parse.PipeNode) {
	if p == nil {
		return
	}
	for _, c := range p.Cmds {
		w.command(c)
	}
}

// noText are functions whose strings are not shown.
var noText = []string{"limit", "asset", "eq", "ne", "hasPrefix", "link", "index", "print", "lt", "gt"}

func (w *walk) command(c *parse.CommandNode) {
	function := ""
	if f, ok := c.Args[0].(*parse.IdentifierNode); ok {
		function = f.Ident
	}
	audience := w.audio
	if strings.HasPrefix(function, "ts") {
		audience = language.ForStaff
	}
	switch function {
	case "t", "ts":
		w.addTo(audience, str(c.Args[1]), "", w.name)
	case "tn", "tsn":
		w.addTo(audience, str(c.Args[3]), str(c.Args[2]), w.name)
	case "forms", "tsforms":
		w.addTo(audience, str(c.Args[2]), str(c.Args[1]), w.name)
	}
	for i, arg := range c.Args {
		switch a := arg.(type) {
		case *parse.PipeNode:
			w.pipe(a)
		case *parse.StringNode:
			shown := function == "" || function == "or" || function == "dict" && i%2 == 0
			if shown && !slices.Contains(noText, function) && looksShown(a.Text) {
				w.bare = append(w.bare, fmt.Sprintf("%s: %q", w.name, a.Text))
			}
		}
	}
}

// looksShown reports whether a string in an action is a text for people, and not a name of something.
func looksShown(text string) bool {
	return strings.ContainsFunc(text, unicode.IsLetter) && !strings.HasPrefix(text, "/") && !strings.HasPrefix(text, "govuk-") &&
		(strings.Contains(text, " ") || unicode.IsUpper([]rune(text)[0]))
}

func str(n parse.Node) string {
	if s, ok := n.(*parse.StringNode); ok {
		return s.Text
	}
	return ""
}

// code collects the texts of a Go file.
func (x *extraction) code(name string, pages bool) {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, name), nil, 0)
	if err != nil {
		x.t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			if before := x.audio; slices.Contains(onlyStaff, n.Names[0].Name) {
				x.audio = language.ForStaff
				ast.Inspect(n, func(m ast.Node) bool {
					if c, ok := m.(*ast.CompositeLit); ok {
						x.composite(name, c, pages)
					}
					return true
				})
				x.audio = before
				return false
			}
		case *ast.CallExpr:
			x.call(name, n, pages)
		case *ast.CompositeLit:
			x.composite(name, n, pages)
		}
		return true
	})
}

func (x *extraction) call(name string, n *ast.CallExpr, pages bool) {
	arg := func(i int) string {
		if i < len(n.Args) {
			return lit(n.Args[i])
		}
		return ""
	}
	switch f := called(n.Fun); f {
	case "Text", "HTML", "Mark", "Refuse":
		x.add(arg(0), "", name)
	case "T":
		x.add(arg(1), "", name)
	case "Count", "CountHTML":
		if arg(2) != "" {
			x.add(arg(2), arg(1), name)
		}
	default:
		if i, ok := argument[f]; ok && pages {
			x.add(arg(i), "", name)
		}
	}
}

func (x *extraction) composite(name string, n *ast.CompositeLit, pages bool) {
	fields := fieldsOf(n)
	typed := ""
	if n.Type != nil {
		typed = called(n.Type)
	}
	switch {
	case typed == "Message":
		x.add(fields["ID"], fields["One"], name)
	case pages && typed == "View":
		x.add(fields["Title"], "", name)
	case pages && fields["Field"] != "":
		x.add(fields["Message"], "", name)
	}
}

// has reports whether a declaration is one of the table.
func (of table) has(name *ast.Ident) bool {
	matches, _ := path.Match(of.name, name.Name)
	return matches || of.name == ""
}

// fieldsOf returns the texts of the fields of a literal.
func fieldsOf(n *ast.CompositeLit) map[string]string {
	fields := map[string]string{}
	for _, e := range n.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			if key, ok := kv.Key.(*ast.Ident); ok {
				fields[key.Name] = lit(kv.Value)
			}
		}
	}
	return fields
}

// table collects the texts of a table.
func (x *extraction) table(file string, of table) {
	parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, 0)
	if err != nil {
		x.t.Fatal(err)
	}
	found := false
	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			return of.has(n.Name)
		case *ast.ValueSpec:
			return slices.ContainsFunc(n.Names, of.has)
		case *ast.ImportSpec, *ast.TypeSpec:
			return false
		case *ast.CompositeLit: // a text for a number has two wordings
			fields := fieldsOf(n)
			x.add(fields["many"], fields["one"], file)
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok && slices.Contains(of.fields, key.Name) && looksShown(lit(n.Value)) {
				x.add(lit(n.Value), "", file)
				found = true
			}
		case *ast.BasicLit:
			if text := lit(n); of.fields == nil && looksShown(text) {
				if of.name == "Error" {
					text = sentence(text)
				}
				x.add(text, "", file)
				found = true
			}
		}
		return true
	})
	if !found && !strings.Contains(of.files, "*") {
		x.t.Errorf("%s has no texts at %q: correct the list tables", file, of.name)
	}
}

// errors collects the errors of a Go file that people can read, as the sentences that forms show: the
// exported ones, and those of package problem.
func (x *extraction) errors(name string) {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, name), nil, 0)
	if err != nil {
		x.t.Fatal(err)
	}
	for _, d := range file.Decls {
		general, ok := d.(*ast.GenDecl)
		if !ok || general.Tok != token.VAR {
			continue
		}
		for _, s := range general.Specs {
			v := s.(*ast.ValueSpec)
			for i, value := range v.Values {
				if c, ok := value.(*ast.CompositeLit); ok && called(c.Type) == "OrganisationRefusal" {
					x.addTo(language.ForStaff, sentence(lit(c.Elts[1])), "", name)
				}
				call, ok := value.(*ast.CallExpr)
				if !ok || called(call.Fun) != "New" || len(call.Args) != 1 || !ast.IsExported(v.Names[i].Name) && !ofProblem(call.Fun) {
					continue
				}
				if text := lit(call.Args[0]); text != "" {
					audience := x.audio
					if slices.Contains(onlyStaff, v.Names[i].Name) {
						audience = language.ForStaff
					}
					x.addTo(audience, sentence(text), "", name)
				}
			}
		}
	}
}

// sentence returns the text of an error as forms show it.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// ofProblem reports whether a function is New of a kind of package problem.
func ofProblem(e ast.Expr) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	kind, ok := s.X.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	from, ok := kind.X.(*ast.Ident)
	return ok && from.Name == "problem"
}

// called returns the last name of a function or type.
func called(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

// lit returns the text of a literal, also of several that are added.
func lit(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(e.Value); err == nil && e.Kind == token.STRING {
			return text
		}
	case *ast.BinaryExpr:
		if a, b := lit(e.X), lit(e.Y); a != "" && b != "" {
			return a + b
		}
	}
	return ""
}
