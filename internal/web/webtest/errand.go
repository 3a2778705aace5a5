package webtest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"postern/internal/access"
)

// Errand is what a person wants done, in a real browser, by clicking only: from the
// sign-in page to the end. It has no way to open an address.
//
//	e := webtest.StaffErrand(t, site, rita)
//	e.Search("Anna Huber")
//	e.Click("Anna Huber")
//	e.Sees("Opened")
//	e.Done()
//
// It counts clicks, beginning after the sign-in. Typing into a field is not a click; Enter, a
// tick, an upload and the choice of an option are. Done holds the number against the row of
// the test in docs/errands.md.
type Errand struct {
	t      testing.TB
	b      *Browser
	clicks int
}

// StaffErrand opens a browser at the sign-in page of staff, and signs a member in.
func StaffErrand(t testing.TB, s *Site, who access.Staff) *Errand {
	t.Helper()
	e := &Errand{t: t, b: OpenBrowser(t, s)}
	e.b.SignIn(who)
	return e
}

// PortalErrand opens a browser at the sign-in page of the portal, and signs a portal user in.
func PortalErrand(t testing.TB, s *Site, id string) *Errand {
	t.Helper()
	e := &Errand{t: t, b: OpenBrowser(t, s)}
	e.b.SignInPortal(id)
	return e
}

// SignedOutErrand opens a browser at the sign-in page of the portal, and signs no one in: the errand
// is to get in.
func SignedOutErrand(t testing.TB, s *Site) *Errand {
	t.Helper()
	e := &Errand{t: t, b: OpenBrowser(t, s)}
	e.b.Open("/portal/sign-in")
	return e
}

// Click is [Browser.Click]. One click.
func (e *Errand) Click(what string) {
	e.t.Helper()
	e.clicks++
	e.b.Click(what)
}

// Type is [Browser.Type]. No click.
func (e *Errand) Type(field, text string) {
	e.t.Helper()
	e.b.Type(field, text)
}

// Press is [Browser.Press]. Each Enter and each Space is a click.
func (e *Errand) Press(names ...string) {
	e.t.Helper()
	for _, name := range names {
		if name == "Enter" || name == "Space" {
			e.clicks++
		}
	}
	e.b.Press(names...)
}

// Search types into Global Search and presses Enter. One click.
func (e *Errand) Search(words string) {
	e.t.Helper()
	e.Type("#global-search", words)
	e.Press("Enter")
}

// Choose is [Browser.Choose]. One click.
func (e *Errand) Choose(field, option string) {
	e.t.Helper()
	e.clicks++
	e.b.Choose(field, option)
}

// Upload is [Browser.Upload]. One click.
func (e *Errand) Upload(field string, files ...File) {
	e.t.Helper()
	e.clicks++
	e.b.Upload(field, files...)
}

// Download is [Browser.Download]. One click.
func (e *Errand) Download(what string) File {
	e.t.Helper()
	e.clicks++
	return e.b.Download(what)
}

// Sees and SeesNot are those of [Browser].
func (e *Errand) Sees(texts ...string)    { e.t.Helper(); e.b.Sees(texts...) }
func (e *Errand) SeesNot(texts ...string) { e.t.Helper(); e.b.SeesNot(texts...) }

// Accessible is [Browser.AccessibleInAllViews], of the page where the errand is now.
func (e *Errand) Accessible() {
	e.t.Helper()
	e.b.AccessibleInAllViews()
}

// Screenshot is [Browser.Screenshot].
func (e *Errand) Screenshot(name string) { e.t.Helper(); e.b.Screenshot(name) }

// Done ends the errand, and holds its number of clicks against docs/errands.md.
func (e *Errand) Done() {
	e.t.Helper()
	want, err := errandClicks(e.t.Name())
	if err != nil {
		e.t.Fatal(err)
	}
	if got := fmt.Sprint(e.clicks); got != want {
		e.t.Errorf("the errand took %s clicks; docs/errands.md says %s", got, want)
	}
}

// errandRow is a row of docs/errands.md: | what | clicks | [`Test`](../path) |.
var errandRow = regexp.MustCompile("(?m)^\\|[^|\n]*\\| *([0-9]+) *\\| *\\[`(\\w+)`\\]\\([^)]*\\) *\\|$")

// errandClicks returns the number of clicks in the row of a test.
func errandClicks(test string) (string, error) {
	root, err := repository()
	if err != nil {
		return "", err
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "errands.md")) // #nosec G304 -- a page of the repository
	if err != nil {
		return "", fmt.Errorf("read the table of errands: %w", err)
	}
	for _, row := range errandRow.FindAllStringSubmatch(string(page), -1) {
		if row[2] == strings.Split(test, "/")[0] {
			return row[1], nil
		}
	}
	return "", fmt.Errorf("docs/errands.md has no row for %s", test)
}

// repository returns the folder of go.mod, which is above that of the running test.
func repository() (string, error) {
	at, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("no folder above this one has a go.mod")
		}
		at = filepath.Dir(at)
	}
}
