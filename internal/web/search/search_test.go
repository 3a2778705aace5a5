package search_test

import (
	"net/http"
	"strings"
	"testing"

	"postern/internal/access/policy"
	"postern/internal/process"
	"postern/internal/text/language"
	"postern/internal/web/webtest"
)

func TestMain(m *testing.M) { webtest.Main(m) }

// Pages, settings and portal users that the reader may see are found by name, each under its
// heading.
func TestSearchRespectsPermissions(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.NewPortalUser(t, "ada")
	administrator := s.Staff(t, "Sam Staff", policy.SendPortalMessage, policy.ManageLabels, policy.ImportDirectory)
	administrator.Get("/search").Is(http.StatusOK).Says("Type what you are looking for")
	administrator.Get("/search?q=custom+labels").Is(http.StatusOK).Says("1 found", "Pages and settings", "Custom Labels").
		HasHTML(`href="/administration/labels"`)
	administrator.Get("/search?q=ada").Is(http.StatusOK).Says("Portal Users").HasHTML(`href="/record/portal-users/ada"`)
	administrator.Get("/search?q=zebra").Is(http.StatusOK).Says("Nothing found for “zebra”")

	receptionist := s.Staff(t, "Rae Reception", policy.SendPortalMessage)
	receptionist.Get("/search?q=custom+labels").Is(http.StatusOK).Says("Nothing found").LacksHTML("/administration/labels")
	// Staff who can send messages find portal users.
	receptionist.Get("/search?q=ada").Is(http.StatusOK).HasHTML(`href="/record/portal-users/ada"`)
	// Staff who can only see the directory find their page there.
	s.Staff(t, "Ina Import", policy.ImportDirectory).Get("/search?q=ada").Is(http.StatusOK).HasHTML(`href="/directory/portal-users/ada"`)

	s.Staff(t, "Ned Plain").Get("/search?q=ada").Is(http.StatusOK).Says("Nothing found")
	s.SignedOut(t).Get("/search?q=ada").Says("Staff sign-in").LacksHTML("portal-users/ada")
}

// Global Search is in Spanish, too: the model for the other pages of staff.
func TestSearchInSpanish(t *testing.T) {
	t.Parallel()
	s := webtest.New(t, func(c *process.WebConfig) { c.Language = language.Spanish })
	v := s.Staff(t, "Sam Staff", policy.SendPortalMessage, policy.ManageLabels)
	v.Get("/search").Is(http.StatusOK).Says("Búsqueda global", "Escriba lo que busca").HasHTML(`<html lang="es"`)
	v.Get("/search?q=custom+labels").Is(http.StatusOK).Says("1 encontrado para «custom labels»", "Páginas y ajustes")
	v.Get("/search?q=zebra").Is(http.StatusOK).Says("No se encontró nada para «zebra».")
}

// Staff who can read the record find portal users by name. Each search that finds someone is
// recorded, without the name. Searches of staff who may search the directory anyway are not.
func TestASearchByAReaderOfTheRecordIsRecorded(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.NewPortalUser(t, "ada")
	reader := s.Staff(t, "Rita Reader", policy.ReadRecord)
	count := func() (n int) {
		t.Helper()
		s.Settle(t)
		if err := s.Admin.QueryRow(t.Context(), `SELECT count(*) FROM record.events WHERE type = 'record.read'`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	reader.Get("/search?q=ada").Is(http.StatusOK).Says("Name of ada", "Portal Users").HasHTML(`href="/record/portal-users/ada"`)
	if n := count(); n != 1 {
		t.Errorf("%d readings were recorded, want 1", n)
	}
	reader.Fragment("/search?q=ada").Is(http.StatusOK).HasHTML(`href="/record/portal-users/ada"`)
	reader.Get("/search?q=zebra").Is(http.StatusOK).Says("Nothing found")
	s.Staff(t, "Sue Sender", policy.SendPortalMessage).Get("/search?q=ada").Is(http.StatusOK)
	if n := count(); n != 2 {
		t.Errorf("%d readings were recorded, want 2", n)
	}
	reader.Get("/record?type=record.read").Says("Rita Reader found 1 person by name").LacksHTML("ada")
}

// The fragment below the field has only the list, and is empty for an empty query.
func TestSearchBelowItsField(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	v := s.Staff(t, "Sam Staff", policy.ManageLabels)
	v.Fragment("/search?q=labels").Is(http.StatusOK).HasHTML("Custom Labels", `data-found="1 found"`).LacksHTML("<html", "<h1")
	v.Fragment("/search?q=%3Cscript%3E").Is(http.StatusOK).Says("Nothing found for “<script>”").LacksHTML("<script>")
	if empty := v.Fragment("/search?q=++").Is(http.StatusOK).Body; empty != "" {
		t.Errorf("an empty query finds %q", empty)
	}
}

// With the keyboard alone, Global Search is focused from anywhere, its results are walked
// through, and one is opened.
func TestSearchByKeyboardAlone(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	b := webtest.OpenBrowser(t, s)
	b.SignIn(s.NewStaff(t, "Sam Staff", policy.SendPortalMessage, policy.ManageLabels))
	b.Open("/search")
	b.AccessibleInAllViews()

	b.Press("/")
	b.Focuses("#global-search")
	for _, key := range "custom" {
		b.Press(string(key))
	}
	b.Sees("Pages and settings", "Custom Labels")
	b.Accessible()
	b.Screenshot("search-below")

	b.Press("ArrowDown")
	b.Focuses("Custom Labels")
	b.Accessible()
	// An answer that arrives now replaces the list, and the focus stays in it.
	webtest.Evaluate[bool](b, `new Promise((shown) => {
		const field = document.querySelector('#global-search')
		document.querySelector('#global-search-results').addEventListener('htmx:afterSettle', () => shown(true), { once: true })
		field.value = 'custom l'
		field.dispatchEvent(new Event('input', { bubbles: true }))
	})`)
	b.Focuses("Custom Labels")
	b.Press("ArrowUp")
	b.Focuses("#global-search")
	b.Press("ArrowDown", "Escape")
	b.SeesNot("Custom Labels")
	b.Focuses("#global-search")

	b.Type("#global-search", "message")
	b.Sees("Patient Portal Message")
	b.Press("ArrowDown", "ArrowDown")
	b.Press("Enter")
	b.At("/messages")

	b.Open("/search")
	b.Press("/")
	b.Type("#global-search", "zebra")
	b.Sees("Nothing found for “zebra”")
	b.Accessible()
	b.Press("Enter")
	b.Sees("Try fewer words")
	if at := b.Path(); strings.Contains(at, "zebra") {
		t.Errorf("the search words are in the address %s", at)
	}
	b.AccessibleInAllViews()
	b.Screenshot("search-nothing")
	b.Open("/search?q=message")
	b.AccessibleInAllViews()
	b.Screenshot("search-found")
}
