package record_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/directory/audience"
	"postern/internal/web/webtest"
)

// asked is a clinic in which Pat has opened a message and saved its document, has not opened
// another, and was left out of a third.
func asked(t *testing.T) *clinic {
	t.Helper()
	c := open(t)
	c.PortalUser(t, "rob")
	c.Exec(t, `UPDATE app.links SET valid_from = '2020-01-31', valid_until = '2021-02-28' WHERE portal_user_no = (SELECT portal_user_no FROM app.portal_users WHERE portal_user_id = 'pat')`)
	c.send(t, compose.Request{Subject: "New opening hours", Body: "Hello.", Recipients: audience.Selection{PortalUserIDs: []string{"pat"}}})
	c.send(t, compose.Request{Subject: "Flu vaccination", Body: "Hello.", Recipients: audience.Selection{Groups: []audience.Group{audience.ActivePatients}}, UndoSeconds: new(int)})
	return c
}

// A reviewer is asked whether Pat got it: the search for the name and one result say so.
func TestErrandDidSheGetIt(t *testing.T) {
	t.Parallel()
	c := asked(t)
	e := webtest.StaffErrand(t, c.Site, c.NewStaff(t, "Rosa Reviewer", policy.ReadRecord))
	e.Search("name pat")
	e.Click("Name of pat")
	e.Sees(secret, "Accepted by the e-mail service", "downloaded", "New opening hours", "Not opened",
		"Flu vaccination", "Not sent to them: the link to the patient had ended", "began on 31 January 2020, ended on 28 February 2021",
		"Password set", "set the password of portal user pat")
	e.SeesNot("biopsy.pdf", "call us")
	e.Accessible()
	e.Screenshot("person-reviewer")
	e.Done()
}

// Another sender gets the same answer, without the subjects of others.
func TestErrandDidMyPatientGetIt(t *testing.T) {
	t.Parallel()
	c := asked(t)
	e := webtest.StaffErrand(t, c.Site, c.NewStaff(t, "Sam Sender", policy.SendPortalMessage))
	e.Search("name pat")
	e.Click("Name of pat")
	e.Sees("Message from Wendy Writer", "Accepted by the e-mail service", "downloaded", "Not opened", "Not sent to them: the link to the patient had ended")
	e.SeesNot(secret, "New opening hours", "Flu vaccination", "Receipt")
	e.Accessible()
	e.Screenshot("person-sender")
	e.Done()
}

// A reviewer narrows a person's messages to those that were not opened.
func TestErrandWhatSheHasNotOpened(t *testing.T) {
	t.Parallel()
	c := asked(t)
	e := webtest.StaffErrand(t, c.Site, c.NewStaff(t, "Rosa Reviewer", policy.ReadRecord))
	e.Search("name pat")
	e.Click("Name of pat")
	e.Choose("show", "Sent and not opened")
	e.Click("Apply filters")
	e.Sees("New opening hours")
	e.SeesNot(secret, "Flu vaccination")
	e.Done()
}

// A reviewer finds the events about a person by name.
func TestErrandEventsAboutAPerson(t *testing.T) {
	t.Parallel()
	c := asked(t)
	e := webtest.StaffErrand(t, c.Site, c.NewStaff(t, "Rosa Reviewer", policy.ReadRecord))
	e.Click("Record")
	e.Type("#find", "name pat")
	e.Click("Find")
	e.Sees("Only what they did", "Messages")
	e.Accessible()
	e.Screenshot("record-find")
	e.Click("Name of pat")
	e.Sees("Message opened", "Document downloaded", "Deliveries recorded", "Portal User: Name of pat")
	e.SeesNot("Staff created event")
	e.Accessible()
	e.Screenshot("record-picked")
	e.Done()
}

// A reviewer finds the events of a message by words of its subject, in order of who did what.
func TestErrandEventsOfAMessage(t *testing.T) {
	t.Parallel()
	c := asked(t)
	e := webtest.StaffErrand(t, c.Site, c.NewStaff(t, "Rosa Reviewer", policy.ReadRecord))
	e.Click("Record")
	e.Type("#find", "biopsy")
	e.Click("Find")
	e.Click(secret)
	e.Choose("sort", "Who did it, A to Z")
	e.Click("Apply filters")
	e.Sees("Message opened", "Message sent", "by Wendy Writer")
	e.SeesNot("Staff created event")
	e.Done()
}

// With scripts, what is found comes while the reader types, and one click picks it.
func TestPickingWhileTyping(t *testing.T) {
	t.Parallel()
	c := open(t)
	b := webtest.OpenBrowser(t, c.Site)
	b.SignIn(c.NewStaff(t, "Rosa Reviewer", policy.ReadRecord))
	b.Open("/record?type=delivery.opened")
	b.Type("#find", "name pat")
	b.Sees("Only what they did")
	b.AccessibleInAllViews()
	b.Click("Name of pat")
	b.Sees("Portal User: Name of pat", "Message opened")
	b.SeesNot("Message sent event")
}

// A reviewer accounts for a patient whose mother also represents another: what concerns the other is
// not listed.
func TestErrandAccountForOneOfTwo(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.PortalUser(t, "mother")
	c.PortalUser(t, "tom")
	c.Exec(t, `UPDATE app.patients SET given_name = initcap(replace(patient_id, 'pt-', '')), family_name = 'Adams'`)
	c.FoldNames(t)
	c.Exec(t, `DELETE FROM app.links WHERE portal_user_no = (SELECT portal_user_no FROM app.portal_users WHERE portal_user_id = 'mother')`)
	c.Exec(t, `INSERT INTO app.links (portal_user_no, patient_no, relationship) SELECT (SELECT portal_user_no FROM app.portal_users WHERE portal_user_id = 'mother'), patient_no, 'representative'
		FROM app.patients WHERE patient_id IN ('pt-pat', 'pt-tom')`)
	about := func(patients ...string) string {
		to := audience.Selection{PortalUserIDs: []string{"mother"}}
		return c.send(t, compose.Request{Subject: "Her visit", Body: "Hello.", Recipients: to.With("mother", patients)})
	}
	pats, toms, neither := about("pt-pat"), about("pt-tom"), about()
	e := webtest.StaffErrand(t, c.Site, c.NewStaff(t, "Rosa Reviewer", policy.ReadRecord))
	e.Search("Pat Adams")
	e.Click("Name of pat")
	e.Click("Pat Adams")
	e.Sees(pats, neither, "Concerns Pat Adams", "Does not state which of them it concerns")
	e.SeesNot(toms)
	e.Click("Accounting of disclosures")
	e.Sees("It does not state which patient of the recipient it concerns")
	e.SeesNot(toms)
	e.Accessible()
	e.Done()
}

// A message to a group concerns those who brought a person in. The mother of an active and of a
// discharged patient gets one about the active one: in the portal, in the accountings of both, and as
// FHIR.
func TestAGroupsMessageConcernsThoseWhoBroughtIn(t *testing.T) {
	t.Parallel()
	c := open(t)
	mother := c.PortalUser(t, "mother")
	c.PortalUser(t, "tom")
	c.Exec(t, `UPDATE app.patients SET given_name = initcap(replace(patient_id, 'pt-', '')), family_name = 'Adams'`)
	c.Exec(t, `UPDATE app.patients SET status = 'discharged' WHERE patient_id = 'pt-tom'`)
	c.Exec(t, `DELETE FROM app.links WHERE portal_user_no = (SELECT portal_user_no FROM app.portal_users WHERE portal_user_id = 'mother')`)
	c.Exec(t, `INSERT INTO app.links (portal_user_no, patient_no, relationship) SELECT (SELECT portal_user_no FROM app.portal_users WHERE portal_user_id = 'mother'), patient_no, 'representative'
		FROM app.patients WHERE patient_id IN ('pt-pat', 'pt-tom')`)
	none := 0
	of := func(g audience.Group) string {
		return c.send(t, compose.Request{Subject: "For " + string(g), Body: "Hello.", UndoSeconds: &none, Recipients: audience.Selection{Groups: []audience.Group{g}}})
	}
	active, all := of(audience.ActivePatients), of(audience.AllPortalUsers)
	c.Settle(t)
	mother.Get("/portal/messages/" + active).Is(http.StatusOK).Says("About Pat Adams").LacksHTML("Tom")
	mother.Get("/portal/messages/"+all).Is(http.StatusOK).Says("Pat Adams", "Tom Adams")
	c.reader.Get("/record/patients/pt-pat/disclosures").Is(http.StatusOK).Says(active, all)
	c.reader.Get("/record/patients/pt-tom/disclosures").Is(http.StatusOK).Says(all).LacksHTML(active)
	about := func(message string) (refers []string) {
		for line := range strings.Lines(c.reader.Get("/v1/record.fhir.ndjson?portal_user_id=mother&type=deliveries.created").Is(http.StatusOK).Body) {
			var r struct {
				ResourceType string
				Identifier   []struct{ Value string }
				Extension    []struct{ ValueString string }
				About        []struct{ Reference string }
			}
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatal(err)
			}
			if r.ResourceType != "Communication" || !strings.Contains(r.Identifier[0].Value, message) {
				continue
			}
			refers = append(refers, r.Extension[0].ValueString)
			for _, a := range r.About {
				refers = append(refers, a.Reference)
			}
		}
		return refers
	}
	if got := about(active); !slices.Equal(got, []string{"group", "Patient/pt-pat"}) {
		t.Errorf("the Communication to the active patients is about %v", got)
	}
	if got := about(all); !slices.Equal(got, []string{"group", "Patient/pt-pat", "Patient/pt-tom"}) {
		t.Errorf("the Communication to all portal users is about %v", got)
	}
}
