package web_test

import (
	"regexp"
	"strings"
	"testing"

	"postern/internal/labels"
	"postern/internal/web/webtest"
)

// ours are the default words that custom labels replace.
var ours = regexp.MustCompile(`(?i)\b(patients?|portal users?|representatives?|discharged)\b`)

// ownWords are the pages that keep the default words: the record, which does not change
// with the labels; an import, which names the columns of files; and Custom Labels, which
// explains the words.
var ownWords = regexp.MustCompile(`^GET /(record|directory/import|administration/labels)`)

// Every page shows the clinic's custom labels, and none of the default words.
func TestEveryPageFollowsCustomLabels(t *testing.T) {
	t.Parallel()
	c := openClinic(t)
	_, seq, err := c.Web.Labels.Change(t.Context(), "operator:test", labels.To(labels.Labels{
		Patient: &labels.Label{One: "Client", Many: "Clients"}, PortalUser: &labels.Label{One: "Member", Many: "Members"},
		AuthorizedRepresentative: &labels.Label{One: "Proxy", Many: "Proxies"}, Discharged: &labels.Label{One: "Former", Many: "Former"}}))
	if err != nil {
		t.Fatal(err)
	}
	c.Await(t, seq)
	visitors := map[string]*webtest.Visitor{}
	for pattern, row := range pages {
		for _, visit := range row {
			who, path, _ := strings.Cut(strings.TrimPrefix(visit, "-"), " ")
			if ownWords.MatchString(pattern) {
				continue
			}
			if visitors[who] == nil {
				visitors[who] = c.visitor(t, who)
			}
			page := visitors[who].Get(c.at(t, path))
			if !strings.HasPrefix(page.Header.Get("Content-Type"), "text/html") {
				continue
			}
			text := page.Text()
			for _, at := range ours.FindAllStringIndex(text, -1) {
				t.Errorf("%s (%s) says: …%s…", pattern, path, text[max(at[0]-60, 0):min(at[1]+40, len(text))])
			}
		}
	}
}
