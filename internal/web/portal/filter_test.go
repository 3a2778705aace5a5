package portal_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"postern/internal/directory/audience"
	"postern/internal/web/webtest"
)

// A reader finds a message by its words, by who it is about and by what is left to read. Filters
// go together, and never show a message that the reader may not read.
func TestFilters(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.NewPortalUser(t, "ben")
	ana := c.PortalUser(t, "ana")
	c.Exec(t, `UPDATE app.patients SET given_name = 'Clara', family_name = 'Núñez' WHERE patient_id = (SELECT patient_id FROM app.links JOIN app.patients USING (patient_no)
		JOIN app.portal_users USING (portal_user_no) WHERE portal_user_id = 'ben')`)
	c.Exec(t, `INSERT INTO app.links (portal_user_no, patient_no, relationship) SELECT (SELECT portal_user_no FROM app.portal_users WHERE portal_user_id = 'ana'), patient_no, 'representative'
		FROM app.links JOIN app.portal_users USING (portal_user_no) WHERE portal_user_id = 'ben'`)
	for _, m := range []message{{subject: "Laboratory results", body: "Text"}, {subject: "Opening hours", body: "Text"},
		{subject: "Your visit", body: "Text", documents: []webtest.File{{Name: "aftercare.txt", Data: []byte("Rest.")}}}} {
		c.send(m, "ana")
	}
	secret := c.send(message{body: "Text", subject: "Laboratory results of Ben"}, "ben")
	ana.Get("/portal").Says("Laboratory results", "Opening hours", "Your visit").HasHTML(`name="patient"`)
	about := regexpPatient(ana.Get("/portal").Body)
	all := []string{"Laboratory results", "Opening hours", "Your visit"}
	for name, x := range map[string]struct {
		form  url.Values
		finds string
	}{
		"a word of the subject":    {url.Values{"q": {"laboratory"}}, "Laboratory results"},
		"half a word, any case":    {url.Values{"q": {"RESULT"}}, "Laboratory results"},
		"the name of a document":   {url.Values{"q": {"aftercare"}}, "Your visit"},
		"the sender":               {url.Values{"q": {"brook"}}, strings.Join(all, ",")},
		"a patient, without signs": {url.Values{"q": {"nunez"}}, strings.Join(all, ",")},
		"two that go together":     {url.Values{"q": {"results"}, "unread": {"on"}}, "Laboratory results"},
		"nothing":                  {url.Values{"q": {"xylophone"}}, ""},
		"a patient of hers":        {url.Values{"patient": {about}}, strings.Join(all, ",")},
		"a patient of another":     {url.Values{"patient": {"1000"}}, strings.Join(all, ",")}, // left out of the filter
	} {
		found := ana.Post("/portal", x.form).Is(http.StatusOK).LacksHTML(secret, "of Ben")
		for _, subject := range all {
			if is := strings.Contains(found.Body, ">"+subject+"</a>"); is != strings.Contains(x.finds, subject) {
				t.Errorf("%s: %s is found: %v", name, subject, is)
			}
		}
		if strings.Contains(found.URL.RawQuery, "laboratory") || strings.Contains(found.URL.RawQuery, "nunez") {
			t.Errorf("%s: the words are in the address", name)
		}
	}
}

func regexpPatient(body string) string {
	_, rest, _ := strings.Cut(body, `Clara Núñez`)
	before, _, _ := strings.Cut(body, rest)
	at := strings.LastIndex(before, `value="`)
	no, _, _ := strings.Cut(before[at+len(`value="`):], `"`)
	return no
}

// With a filter, pages of a long inbox have what passes, once each and in order.
func TestAFilteredInboxHasPages(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	ana := c.PortalUser(t, "ana")
	for n := range 45 {
		c.send(message{body: "Text", subject: fmt.Sprintf("%s %d", []string{"Visit", "Result"}[n%2], n)}, "ana")
	}
	first := ana.Post("/portal", url.Values{"q": {"visit"}}).Says("Visit 44", "Visit 6").LacksHTML("Result", "Visit 4<")
	_, older, found := strings.Cut(first.Body, `govuk-pagination__link" href="`)
	older, _, _ = strings.Cut(older, `"`)
	if !found {
		t.Fatal("there is no other page")
	}
	ana.Get(strings.ReplaceAll(older, "&amp;", "&")).Says("Visit 4", "Visit 0").LacksHTML("Result", "Visit 6<", `rel="next"`)
}

// A reader marks a message as unread to come back to it. The list says so until it is opened again. On
// the record it was opened once.
func TestErrandMarkAsUnread(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	pat := c.PortalUser(t, "pat")
	c.send(message{body: "Text", subject: "Aftercare"}, "pat")
	c.send(message{body: "Text", subject: "Opening hours"}, "pat")
	e := webtest.PortalErrand(t, c.Site, "pat")
	e.Click("Aftercare")
	e.Click("Mark as unread")
	e.Sees("The message is marked as unread.", "Unread Aftercare")
	e.Accessible()
	e.Done()
	pat.Post("/portal", url.Values{"unread": {"on"}}).Says("Aftercare", "Opening hours")
	e.Click("Aftercare")
	e.Sees("Print this message")
	pat.Post("/portal", url.Values{"unread": {"on"}}).Says("Opening hours").LacksHTML("Aftercare")
	opened := 0
	for _, event := range c.recorded() {
		if event == "delivery.opened" {
			opened++
		}
	}
	if opened != 1 {
		t.Errorf("the record has %d openings", opened)
	}
}

// What can't be read can't be marked either.
func TestMarkingWhatCantBeRead(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	pat, eve := c.PortalUser(t, "pat"), c.PortalUser(t, "eve")
	id := c.send(message{body: "Text", subject: "Aftercare"}, "pat")
	eve.Post("/portal/messages/"+id+"/unread", nil).Is(http.StatusNotFound)
	pat.Post("/portal/messages/"+id+"/unread", nil).Is(http.StatusOK).LacksHTML("Unread</strong>") // it is new
}

// A mother of two reads what is about her daughter only.
func TestErrandReadWhatIsAboutMyDaughter(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	for _, id := range []string{"mia", "tom", "mother"} {
		c.NewPortalUser(t, id)
	}
	c.Exec(t, `UPDATE app.patients SET given_name = initcap(replace(patient_id, 'pt-', '')), family_name = 'Adams'`)
	c.Exec(t, `INSERT INTO app.links (portal_user_no, patient_no, relationship) SELECT (SELECT portal_user_no FROM app.portal_users WHERE portal_user_id = 'mother'), patient_no, 'representative'
		FROM app.patients WHERE patient_id IN ('pt-mia', 'pt-tom')`)
	for subject, patient := range map[string]string{"Her vaccination": "pt-mia", "His glasses": "pt-tom"} {
		c.send(message{subject: subject, body: "Text", about: []audience.About{{PortalUserID: "mother", PatientIDs: []string{patient}}}}, "mother")
	}
	e := webtest.PortalErrand(t, c.Site, "mother")
	e.Sees("Her vaccination", "About: Mia Adams", "His glasses", "About: Tom Adams")
	e.Choose("About", "Mia Adams")
	e.Click(".app-filter button")
	e.Sees("Her vaccination")
	e.SeesNot("His glasses")
	e.Accessible()
	e.Click("Her vaccination")
	e.Sees("About", "Mia Adams")
	e.Done()
}
