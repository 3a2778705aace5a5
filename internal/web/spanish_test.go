package web_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/jackc/pgx/v5"
	"golang.org/x/net/html"

	"postern/internal/access/policy"
	"postern/internal/events"
)

// sameInSpanish are words that are the same in both languages, and names that no language changes: of
// things, places, processes, and people in an import.
var sameInSpanish = []string{"Error", "General", "Plan", "Total", "No", "byte", "bytes", "kB", "MB", "UTC", "ID", "API", "CSV", "JSON", "NDJSON", "FHIR", "PDF",
	"Postern", "SendGrid", "English", "Español", "Bcc", "Staff Info", "System Permissions", events.Recorder, "Nora", "Newcomb"}

// neverTranslated are ids, actors, addresses, types of events, names of files, commands and errors of
// programs in a text.
var neverTranslated = regexp.MustCompile(`panic: .*|\S*[@/_<>=]\S*|\S+:\S+|\S*\d\S*|\b[a-z]+([.-][a-z]+)+\b`)

// Every page of staff is in Spanish as a whole: no text on it is the same in English, but for what
// people wrote and for names.
func TestEveryStaffPageIsInSpanish(t *testing.T) {
	t.Parallel()
	c := openClinic(t)
	data := append(c.texts(t), sameInSpanish...)
	for _, grant := range policy.Grants {
		data = append(data, grant.Name)
	}
	slices.SortFunc(data, func(a, b string) int { return len(b) - len(a) }) // the longest first: one can be part of another
	for pattern, row := range pages {
		for _, visit := range row {
			who, path, _ := strings.Cut(visit, " ")
			if who == "reader" || strings.Contains(pattern, "/portal/") || strings.HasPrefix(who, "-") {
				continue
			}
			v := c.visitor(t, who)
			path = c.at(t, path)
			english, spanish := v.Get(path), v.GetWith(path, "Accept-Language", "es")
			if got := spanish.Header.Get("Content-Language"); got != "es" || spanish.Status >= http.StatusInternalServerError {
				t.Errorf("%s is in %q: %d", path, got, spanish.Status)
			}
			known := textsOf(t, english.Body)
			for text := range textsOf(t, spanish.Body) {
				if known[text] && hasWords(text, data) {
					t.Errorf("%s says in Spanish, too: %q", path, text)
				}
			}
		}
	}
}

// texts are what people wrote: names, and what openClinic types.
func (c *clinic) texts(t *testing.T) []string {
	t.Helper()
	rows, err := c.Admin.Query(t.Context(), `SELECT name FROM app.portal_users UNION SELECT name FROM record.staff
		UNION SELECT given_name || ' ' || family_name FROM app.patients UNION SELECT family_name || ' ' || given_name FROM app.patients`)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	typed, err := parser.ParseFile(token.NewFileSet(), "clinic_test.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(typed, func(n ast.Node) bool {
		if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING && strings.ContainsAny(l.Value, " .") {
			all = append(all, l.Value[1:len(l.Value)-1])
		}
		return true
	})
	return all
}

// hasWords reports whether a text has words besides data.
func hasWords(text string, data []string) bool {
	for _, d := range data {
		text = strings.ReplaceAll(text, d, "")
	}
	text = neverTranslated.ReplaceAllString(text, "")
	return strings.ContainsFunc(text, unicode.IsLetter)
}

// textsOf returns the texts and the attributes of a page that a reader sees or hears, without elements
// that hold what people wrote.
func textsOf(t *testing.T, page string) map[string]bool {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]bool{}
	var walk func(n *html.Node)
	walk = func(n *html.Node) {
		attributes := map[string]string{}
		for _, a := range n.Attr {
			attributes[a.Key] = a.Val
		}
		input := n.Data == "input" || n.Data == "textarea" || n.Data == "select"
		if n.Type == html.ElementNode && !input && (slices.Contains([]string{"script", "style", "code", "pre", "bdi", "time"}, n.Data) ||
			attributes["dir"] == "auto" || strings.Contains(attributes["class"], "app-id") || attributes["lang"] == "en") && n.Data != "html" {
			return
		}
		for _, name := range []string{"title", "placeholder", "aria-label", "alt", "data-label"} {
			texts[strings.Join(strings.Fields(attributes[name]), " ")] = true
		}
		if n.Type == html.TextNode && n.Parent.Data != "textarea" {
			texts[strings.Join(strings.Fields(n.Data), " ")] = true
		}
		for child := n.FirstChild; child != nil; child = child.NextSibling {
			walk(child)
		}
	}
	walk(root)
	return texts
}
