package policy

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAllow(t *testing.T) {
	sender := Subject{Realm: RealmStaff, ID: "s", Permissions: []Permission{SendPortalMessage}}
	blaster := Subject{Realm: RealmStaff, ID: "b", Permissions: []Permission{SendBulkPortalMessage, SendPortalMessage}}
	groupsOnly := Subject{Realm: RealmStaff, ID: "g", Permissions: []Permission{SendBulkPortalMessage}}
	reader := Subject{Realm: RealmStaff, ID: "r", Permissions: []Permission{ReadRecord}}
	patient := Subject{Realm: RealmPortalUser, ID: "p", Permissions: All} // which a portal user can't have
	for _, test := range []struct {
		name    string
		subject Subject
		action  Action
		want    error
	}{
		{"who may send sends", sender, SendMessage, nil},
		{"a group needs more", sender, SendToGroup, Forbidden{SendToGroup, SendBulkPortalMessage}},
		{"and with that it goes", blaster, SendToGroup, nil},
		{"who may send to groups needs no more", groupsOnly, SendToGroup, nil},
		{"and sends to one, too", groupsOnly, SendMessage, nil},
		{"who may do something else sends nothing", reader, SendMessage, Forbidden{SendMessage, SendPortalMessage}},
		{"nor to a group", reader, SendToGroup, Forbidden{SendToGroup, SendBulkPortalMessage}},
		{"all staff read what names them", groupsOnly, SeeBcc, nil},
		{"a portal user reads the inbox", patient, ReadInbox, nil},
		{"and does nothing that staff do", patient, SendMessage, Forbidden{Action: SendMessage}},
		{"not even what needs no permission", patient, Search, Forbidden{Action: Search}},
		{"staff have no inbox", sender, ReadInbox, Forbidden{Action: ReadInbox}},
		{"a token of theirs sends, too", byToken(sender), SendMessage, nil},
		{"and lists their sessions and tokens", byToken(sender), SeeAccess, nil},
		{"but makes no other token", byToken(sender), MakeTokens, ErrSessionNeeded},
		{"and changes no sign-in", byToken(sender), SecureAccount, ErrSessionNeeded},
		{"a session makes a token", sender, MakeTokens, nil},
		{"unless a second factor is due", Subject{Realm: RealmStaff, ID: "d", FactorDue: true}, MakeTokens, ErrFactorDue},
		{"a request without a subject is refused", Subject{}, Search, ErrUnauthenticated},
		{"an action without a row is refused", blaster, "fly", Forbidden{Action: "fly"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := Allow(test.subject, test.action); err != test.want {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

func byToken(s Subject) Subject {
	s.Token = "0197aaaa-0000-7000-8000-000000000001"
	return s
}

// What needs a session is staff's: what no permission gives, what one of two people does, emergency
// access, and letters.
func TestWhatNeedsASession(t *testing.T) {
	second := []Action{ApproveGrant, ApproveErasure, OpenEmergency, ReviewEmergency, MakeLetters}
	for _, action := range bySession {
		if !NeedsSession(action) || rules[action].realm != RealmStaff || len(rules[action].needs) > 0 != slices.Contains(second, action) {
			t.Errorf("%s needs a session and has the rule %+v", action, rules[action])
		}
	}
	if NeedsSession(SecureAccount, Search) || NeedsSession() {
		t.Error("where another action is enough, a session is needed")
	}
}

func TestForbiddenSaysWhatIsMissing(t *testing.T) {
	err := Allow(Subject{Realm: RealmStaff}, ChangeStaff)
	if !errors.Is(err, ErrForbidden) || !strings.Contains(err.Error(), "manage_staff") {
		t.Errorf("got %v, want ErrForbidden that names manage_staff", err)
	}
}

func TestParsePermission(t *testing.T) {
	for _, want := range All {
		if got, err := ParsePermission(string(want)); err != nil || got != want {
			t.Errorf("ParsePermission(%q) = %q, %v", want, got, err)
		}
	}
	_, err := ParsePermission("send_everything")
	for _, p := range All {
		if err == nil || !strings.Contains(err.Error(), string(p)) {
			t.Errorf("the error %v does not name %s", err, p)
		}
	}
}

// Each action is a documented constant with a rule, and each permission is a constant
// with a row that says in words what it allows.
func TestThePolicyIsWhole(t *testing.T) {
	declared := map[string]bool{}
	for spec := range constants(parsed(t, "table.go"), "Action") {
		if !strings.HasPrefix(spec.Doc.Text(), spec.Names[0].Name+" is ") {
			t.Errorf("%s: its comment does not say what it is", spec.Names[0])
		}
		declared[valueOf(spec)] = true
	}
	ruled := map[string]bool{}
	for action := range rules {
		ruled[string(action)] = true
	}
	if diff := cmp.Diff(declared, ruled); diff != "" {
		t.Errorf("actions (-declared +with a rule):\n%s", diff)
	}
	permissions, rows := map[string]bool{}, map[string]bool{}
	for spec := range constants(parsed(t, "table.go"), "Permission") {
		permissions[valueOf(spec)] = true
	}
	for _, grant := range Grants {
		rows[string(grant.Permission)] = true
		if grant.Name == "" || !strings.HasSuffix(grant.Allows, ".") || len(grant.Actions) == 0 {
			t.Errorf("the row of %s lacks a name, a sentence or actions", grant.Permission)
		}
	}
	if diff := cmp.Diff(permissions, rows); diff != "" || len(rows) != len(Grants) {
		t.Errorf("permissions (-declared +with a row):\n%s", diff)
	}
}

// No action that needs a permission is open as well, and one that is open needs none.
func TestWhatIsOpenNeedsNoPermission(t *testing.T) {
	for realm, actions := range open {
		for _, action := range actions {
			if got := Needs(action); got != nil || rules[action].realm != realm {
				t.Errorf("%s is open to %s and needs %v", action, realm, got)
			}
		}
	}
	if diff := cmp.Diff([]Permission{SendPortalMessage, SendBulkPortalMessage, ReadRecord}, Needs(ReadTheRecord, SeeMessages)); diff != "" {
		t.Errorf("what one of two actions needs (-want +got):\n%s", diff)
	}
	if got := Needs(ReadTheRecord, SeeBcc); got != nil {
		t.Errorf("an open action among others needs %v", got)
	}
}

// Outside this package nothing compares permissions: there is one way to ask, and
// that is Allow. Once the API asks, it asks for every action.
func TestAllowIsTheOnlyCheck(t *testing.T) {
	table := parsed(t, "table.go")
	permissions, unused := names(table, "Permission"), names(table, "Action")
	asked := false
	eachFileElsewhere(t, func(path string, file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			for _, compared := range comparedIn(n) {
				if name := fromPolicy(compared); permissions[name] {
					t.Errorf("%s compares policy.%s: ask Allow instead", path, name)
				}
			}
			if expr, ok := n.(ast.Expr); ok {
				name := fromPolicy(expr)
				delete(unused, name)
				asked = asked || name == "Allow" && strings.Contains(path, "internal/api/")
			}
			return true
		})
	})
	if asked && len(unused) > 0 {
		t.Errorf("the API never checks whether these are allowed: %v", unused)
	}
}

// The test above is worth what this finds.
func TestComparisonsAreFound(t *testing.T) {
	for source, want := range map[string]int{
		`p == policy.ReadRecord`:                               1,
		`policy.ReadRecord != p && q`:                          1,
		`slices.Contains(s.Permissions, policy.ReadRecord)`:    1,
		`strings.Index(text, string(policy.ReadRecord))`:       1,
		`held[policy.ReadRecord]`:                              1,
		`func() { switch p { case policy.ReadRecord: } }`:      1,
		`[]policy.Permission{policy.ReadRecord}`:               0,
		`staff.Permit(ctx, actor, id, policy.ReadRecord)`:      0,
		`access.NewStaff{Permissions: policy.All}`:             0,
		`slices.Contains(policy.All, p)`:                       0,
		`policy.Allow(subject, policy.ReadTheRecord) == nil`:   0,
		`append(permissions, policy.ReadRecord, policy.Other)`: 0,
	} {
		expr, err := parser.ParseExpr(source)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		ast.Inspect(expr, func(n ast.Node) bool {
			for _, compared := range comparedIn(n) {
				if fromPolicy(compared) == "ReadRecord" {
					found++
				}
			}
			return true
		})
		if found != want {
			t.Errorf("%s: found %d times, want %d", source, found, want)
		}
	}
}

// comparedIn is what a node compares with something.
func comparedIn(n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		if n.Op == token.EQL || n.Op == token.NEQ {
			return []ast.Expr{n.X, n.Y}
		}
	case *ast.CaseClause:
		return n.List
	case *ast.IndexExpr:
		return []ast.Expr{n.Index}
	case *ast.CallExpr:
		called, ok := n.Fun.(*ast.SelectorExpr)
		if ok && (strings.HasPrefix(called.Sel.Name, "Contains") || strings.HasPrefix(called.Sel.Name, "Index")) {
			return n.Args
		}
	}
	return nil
}

// fromPolicy is the X of policy.X and of string(policy.X), or "".
func fromPolicy(e ast.Expr) string {
	if call, ok := e.(*ast.CallExpr); ok && len(call.Args) == 1 {
		e = call.Args[0]
	}
	selector, ok := e.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	if pkg, ok := selector.X.(*ast.Ident); !ok || pkg.Name != "policy" {
		return ""
	}
	return selector.Sel.Name
}

// eachFileElsewhere visits the source files of every package but this one.
func eachFileElsewhere(t *testing.T, visit func(path string, file *ast.File)) {
	t.Helper()
	for _, top := range []string{"internal", "cmd"} {
		err := filepath.WalkDir(filepath.Join("..", "..", "..", top), func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // a temporary file
			}
			name := filepath.ToSlash(path)
			if err != nil || entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") ||
				strings.Contains(name, "internal/access/") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			visit(name, file)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func parsed(t *testing.T, name string) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// valueOf is the text of a constant.
func valueOf(spec *ast.ValueSpec) string {
	return strings.Trim(spec.Values[0].(*ast.BasicLit).Value, `"`)
}

func names(file *ast.File, typeName string) map[string]bool {
	set := map[string]bool{}
	for spec := range constants(file, typeName) {
		set[spec.Names[0].Name] = true
	}
	return set
}

// constants are the constants of a type.
func constants(file *ast.File, typeName string) func(func(*ast.ValueSpec) bool) {
	return func(yield func(*ast.ValueSpec) bool) {
		for _, decl := range file.Decls {
			group, ok := decl.(*ast.GenDecl)
			if !ok || group.Tok != token.CONST {
				continue
			}
			for _, spec := range group.Specs {
				value := spec.(*ast.ValueSpec)
				if name, ok := value.Type.(*ast.Ident); ok && name.Name == typeName && !yield(value) {
					return
				}
			}
		}
	}
}
