package compose_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"postern/internal/access/policy"
	"postern/internal/clinic"
	"postern/internal/limits"
	"postern/internal/web/webtest"
)

// A sender uses a wording of the clinic's, and sees at the check how its fields will read.
func TestErrandUseASavedWording(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.NewPortalUser(t, "ann")
	s.NewPortalUser(t, "ben")
	if _, err := s.Web.Clinic.Change(t.Context(), "operator:test", 0, clinic.Details{Name: "Lakeside", Telephone: "555 0100"}); err != nil {
		t.Fatal(err)
	}
	maria := s.Staff(t, "Maria Manager", policy.SendPortalMessage, policy.PublishSavedWordings)
	maria.Post("/messages/wordings", wording("Aftercare", "After your visit", "Dear {recipient's name},\ncall {clinic’s name} at {clinic's telephone}.", "published")).Is(http.StatusOK).Says("The wording was saved.", "The clinic’s")

	e := webtest.StaffErrand(t, s, s.NewStaff(t, "Sam Staff", policy.SendPortalMessage))
	e.Click("Compose")
	e.Click("Patient Portal Message")
	e.Choose("Use a saved wording", "Aftercare (the clinic’s)")
	e.Click("Use it")
	e.Sees("The wording was added to the message.")
	e.Accessible()
	e.Click("Add Recipient(s)")
	e.Type("Add User", "name of")
	e.Click("#add-user-ann")
	e.Click("#add-user-ben")
	e.Click("Check before you send")
	e.Sees("This is how it reads for Name of ann", "Dear Name of ann,", "call Lakeside at 555 0100.")
	e.Accessible()
	e.Click("Send message")
	e.Sees("After your visit", "Undo sending")
	e.Done()
}

// Wordings are their author's, or all senders'. Only who may publish makes one the clinic's, and
// changes or deletes it then.
func TestWhoseWordings(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	maria := s.Staff(t, "Maria Manager", policy.SendPortalMessage, policy.PublishSavedWordings)
	sam, eve := s.Staff(t, "Sam Staff", policy.SendPortalMessage), s.Staff(t, "Eve Other", policy.SendPortalMessage)
	sam.Post("/messages/wordings", wording("Mine", "", "Text")).Is(http.StatusOK)
	maria.Post("/messages/wordings", wording("Ours", "", "Text", "published")).Is(http.StatusOK)
	own, ours := wordingNamed(t, sam, "Mine"), wordingNamed(t, maria, "Ours")
	eve.Get("/messages/wordings").Says("Ours").LacksHTML("Mine")
	for name, c := range map[string]struct {
		who    *webtest.Visitor
		at     string
		form   url.Values
		status int
	}{
		"another's own":                    {eve, own, nil, http.StatusNotFound},
		"another's own, changed":           {eve, own, wording("X", "", "x"), http.StatusNotFound},
		"another's own, to who publishes":  {maria, own, wording("X", "", "x"), http.StatusNotFound},
		"the clinic's, read":               {eve, ours, nil, http.StatusOK},
		"the clinic's, changed":            {eve, ours, wording("X", "", "x"), http.StatusForbidden},
		"the clinic's, deleted":            {eve, ours + "/delete", wording("X", "", "x"), http.StatusForbidden},
		"published without the permission": {sam, own, wording("Mine", "", "x", "published"), http.StatusForbidden},
		"an older version":                 {sam, own, version("7", wording("Mine", "", "x")), http.StatusUnprocessableEntity},
		"no name":                          {sam, own, wording("", "", "x"), http.StatusUnprocessableEntity},
		"no text":                          {sam, own, wording("Mine", "", " "), http.StatusUnprocessableEntity},
		"a long name":                      {sam, own, wording(strings.Repeat("x", 101), "", "x"), http.StatusUnprocessableEntity},
		"no such wording":                  {sam, "/messages/wordings/17", wording("Mine", "", "x"), http.StatusNotFound},
	} {
		if c.form == nil {
			c.who.Get(c.at).Is(c.status)
			continue
		}
		if got := c.who.Post(c.at, c.form); got.Status != c.status {
			t.Errorf("%s is answered with %d, want %d", name, got.Status, c.status)
		}
	}
	sam.Post(own, wording("Mine, changed", "", "Text")).Is(http.StatusOK).Says("Mine, changed")
	sam.Post(own+"/delete", version("2", url.Values{})).Is(http.StatusOK).Says("The wording was deleted.").LacksHTML("Mine, changed")
	maria.Post(ours+"/delete", version("1", url.Values{})).Is(http.StatusOK).LacksHTML("Ours")
}

// The check names what looks like a field and is none.
func TestWhatIsNoFieldIsNamed(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.NewPortalUser(t, "ann")
	w := compose(t, s.Staff(t, "Sam Staff", policy.SendPortalMessage))
	w.press("add-user:ann", text("Hello", "Dear {recipent's name}, call {clinic's telephone}.")).Is(http.StatusOK)
	w.press("check", text("Hello", "Dear {recipent's name}, call {clinic's telephone}.")).Is(http.StatusOK).
		Says("{recipent's name} is not a field", "There is no value for {clinic's telephone} yet")
}

// Who writes a text that is worth keeping saves it as a wording; the draft stays.
func TestADraftBecomesAWording(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	sam := s.Staff(t, "Sam Staff", policy.SendPortalMessage)
	w := compose(t, sam)
	w.press("keep-wording", text("Your visit", "Please rest.")).Is(http.StatusOK).Says("New wording").HasHTML(`value="Your visit"`, "Please rest.")
	sam.Get("/messages/drafts").Says("Your visit")
	for range int(limits.Wordings) {
		s.Exec(t, `INSERT INTO app.wordings (wording_id, staff_id, version, published, wrapped_key, sealed, saved_at) VALUES (gen_random_uuid(), $1, 1, false, '', '', now())`, sam.ID)
	}
	sam.Post("/messages/wordings", wording("One more", "", "Text")).Is(http.StatusUnprocessableEntity).Says("delete one that you don’t need")
}

func wording(name, subject, body string, ticked ...string) url.Values {
	form := url.Values{"name": {name}, "subject": {subject}, "body": {body}, "version": {"1"}}
	for _, one := range ticked {
		form.Set(one, "yes")
	}
	return form
}

func version(n string, form url.Values) url.Values {
	form.Set("version", n)
	return form
}

// wordingNamed returns the address of a wording.
func wordingNamed(t *testing.T, who *webtest.Visitor, name string) string {
	t.Helper()
	before, _, found := strings.Cut(who.Get("/messages/wordings").Body, `">`+name+`</a>`)
	if !found {
		t.Fatalf("there is no wording %s", name)
	}
	return before[strings.LastIndex(before, `"`)+1:]
}
