package web_test

import (
	"strings"
	"testing"
	"unicode"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// On every page, right-to-left text is isolated from the text around it: its element is a
// <bdi>, or takes its direction from the text. The same holds for all typed text.
func TestDirection(t *testing.T) {
	t.Parallel()
	c := openClinic(t)
	c.Exec(t, `UPDATE record.staff SET name = 'منى ' || name`)
	c.Exec(t, `UPDATE app.portal_users SET name = 'فاطمة ' || name`)
	c.Exec(t, `UPDATE app.patients SET given_name = 'שרה ' || given_name, family_name = 'כהן'`)
	c.Exec(t, `UPDATE record.messages SET recall_reason = 'قابلوا الملف' WHERE recall_reason IS NOT NULL`)
	c.Exec(t, `UPDATE record.erasures SET reason = 'سبب ' || reason`)
	c.Exec(t, `UPDATE record.alert_exceptions SET reason = 'سبب ' || reason`)
	c.Exec(t, `UPDATE record.labels SET one = 'مريض', many = 'مرضى'`)
	found := 0
	for _, row := range pages {
		for _, visit := range row {
			who, path, _ := strings.Cut(visit, " ")
			if strings.HasPrefix(who, "-") || who == "signed-out" {
				continue
			}
			path = c.at(t, path)
			page := c.visitor(t, who).Get(path)
			root, err := html.Parse(strings.NewReader(page.Body))
			if err != nil {
				t.Fatal(err)
			}
			for n := range root.Descendants() {
				switch {
				case n.Type == html.TextNode && strings.ContainsFunc(n.Data, func(r rune) bool { return unicode.In(r, unicode.Arabic, unicode.Hebrew) }):
					found++
					if p := n.Parent; p.DataAtom != atom.Bdi && p.DataAtom != atom.Script && attribute(p, "dir") != "auto" {
						t.Errorf("%s: %q is in <%s> without a direction", path, strings.TrimSpace(n.Data), p.Data)
					}
				case n.DataAtom == atom.Textarea, n.DataAtom == atom.Input && (attribute(n, "type") == "text" || attribute(n, "type") == "search") && attribute(n, "inputmode") == "":
					if attribute(n, "dir") != "auto" {
						t.Errorf("%s: text typed into %s has no direction", path, attribute(n, "id"))
					}
				}
			}
		}
	}
	if found < 100 {
		t.Errorf("only %d pieces of text were checked", found)
	}
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
