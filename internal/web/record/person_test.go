package record_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/directory/audience"
	"postern/internal/events"
	"postern/internal/web/webtest"
)

// The page of a portal user says what was sent to them, what they did with it, and what was not
// sent to them, and why. A reader of the record gets from it to each event and receipt.
func TestThePageOfAPortalUser(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.Site.PortalUser(t, "rob")
	c.Exec(t, `UPDATE app.portal_users SET email = '' WHERE portal_user_id = 'rob'`)
	c.Exec(t, `UPDATE app.patients SET deceased = true WHERE patient_id = 'pt-rob'`)
	c.Exec(t, `UPDATE app.links SET valid_from = '2020-01-31'`)
	both := c.send(t, compose.Request{Subject: "For both", Body: "Hello.", Recipients: audience.Selection{PortalUserIDs: []string{"pat", "rob"}}})
	group := c.send(t, compose.Request{Subject: "For a group", Body: "Hello.", Recipients: audience.Selection{Groups: []audience.Group{audience.ActivePatients}}, UndoSeconds: new(int)})

	pat := c.reader.Get("/record/portal-users/pat").Is(http.StatusOK).
		Says("Name of pat", "Given Family: self, since 31 January 2020", secret, "For both", "For a group", "by Wendy Writer",
			"Accepted by the e-mail service", "Document 1: downloaded", "Not opened").
		HasHTML(`href="/messages/`+c.message, `href="/record/receipts/`+c.message+`/pat"`, `href="/record?message=`+c.message+`&amp;portal-user=pat"`,
			`href="/record/patients/pt-pat"`).
		LacksHTML("biopsy.pdf", "call us", "@example.org")
	delivered := eventLink(t, pat.Body)
	c.reader.Get(delivered).Is(http.StatusOK).Says("Deliveries recorded")
	c.reader.Get("/record/portal-users/rob").Is(http.StatusOK).
		Says("No: no e-mail address", "For both", "Not sent: no e-mail address", "For a group", "Not sent to them: the patient has died").
		HasHTML(`href="/record/messages/` + group + `/why?portal-user=rob"`).LacksHTML(c.message)

	for query, want := range map[string][]string{
		"show=sent":        {both},
		"show=not_opened":  {both},
		"show=not_sent":    {group},
		"from=2001-01-01":  {both, group},
		"until=2001-01-01": nil,
	} {
		got := c.reader.Get("/record/portal-users/rob?" + query).Is(http.StatusOK)
		for _, id := range []string{both, group, c.message} {
			if has := strings.Contains(got.Body, "/messages/"+id); has != strings.Contains(fmt.Sprint(want), id) {
				t.Errorf("%s: message %s is listed: %t", query, id, has)
			}
		}
	}
	c.reader.Get("/record/portal-users/pat?show=not_opened").LacksHTML(c.message)
	for query, says := range map[string]string{"show=x": "from the list", "from=x": "year, month and day", "before=x": "not complete", "from=2026-02-01&until=2026-01-01": "must not be before"} {
		c.reader.Get("/record/portal-users/pat?" + query).Is(http.StatusUnprocessableEntity).Says(says)
	}
	c.reader.Get("/record/portal-users/unknown").Is(http.StatusNotFound)
}

// eventLink returns the first link to an event.
func eventLink(t *testing.T, body string) string {
	t.Helper()
	_, link, found := strings.Cut(body, `href="/record/`)
	for ; found; _, link, found = strings.Cut(link, `href="/record/`) {
		if seq, _, _ := strings.Cut(link, `"`); seq != "" && strings.Trim(seq, "0123456789") == "" {
			return "/record/" + seq
		}
	}
	t.Fatal("there is no link to an event")
	return ""
}

// Who sees what on the page of a portal user: the subject where they may open the message, the name
// of a document where they may read it, evidence with Read the Record. The text is never on it.
func TestWhoSeesWhatWasSentToAPerson(t *testing.T) {
	t.Parallel()
	c := open(t)
	bcc := c.Site.Staff(t, "Bea Bcc", policy.SendPortalMessage)
	copied := c.send(t, compose.Request{Subject: "Copied to Bea", Body: "Come at nine.", StaffBcc: []string{bcc.ID}, Recipients: audience.Selection{PortalUserIDs: []string{"pat"}}})
	const path = "/record/portal-users/pat"
	for _, who := range []struct {
		name                        string
		visitor                     *webtest.Visitor
		open, subject, file, proves bool // of the first message
	}{
		{"its sender", c.sender, true, true, true, false},
		{"another sender", c.Site.Staff(t, "Otto Other", policy.SendPortalMessage), true, false, false, false},
		{"a Staff Bcc of another message", bcc, true, false, false, false},
		{"a reader of the record", c.reader, true, true, false, true},
		{"staff who see the directory", c.Site.Staff(t, "Dora Directory", policy.ImportDirectory), false, false, false, false},
		{"staff without a permission", c.Site.Staff(t, "Noel None"), false, false, false, false},
		{"an operator of replays", c.Site.Staff(t, "Rae Replay", policy.ReplayDeliveries), false, false, false, false},
	} {
		before := c.count(t, events.TypeRecordRead)
		got := who.visitor.Get(path).LacksHTML("call us", "Come at nine", "@example.org")
		read := c.count(t, events.TypeRecordRead) - before
		if !who.open {
			got.Is(http.StatusForbidden)
			if read != 0 {
				t.Errorf("%s: %d readings were recorded, and nothing was shown", who.name, read)
			}
			continue
		}
		got.Is(http.StatusOK).Says("Name of pat", "Wendy Writer", "Accepted by the e-mail service")
		want := 1 // of the messages
		if who.proves {
			want = 2 // and of the events about the account
		}
		if read != want {
			t.Errorf("%s: %d readings were recorded, want %d", who.name, read, want)
		}
		for what, shown := range map[string]bool{secret: who.subject, `href="/messages/` + c.message: who.subject, "biopsy.pdf": who.file,
			"/record/receipts/": who.proves, `href="/record?portal-user=pat"`: who.proves, "/disclosures": who.proves, ">Password set<": who.proves} {
			if strings.Contains(got.Body, what) != shown {
				t.Errorf("%s: %q is shown: %t, want %t", who.name, what, !shown, shown)
			}
		}
	}
	bcc.Get(path).Says("Copied to Bea").HasHTML(`href="/messages/` + copied)
	for name, v := range map[string]*webtest.Visitor{"a signed-out visitor": c.SignedOut(t), "a portal user": c.pat} {
		if got := v.Get(path); got.URL.Path != "/sign-in" {
			t.Errorf("%s gets to %s", name, got.URL.Path)
		}
	}
}

// The first page of a person to whom 500 messages were sent stays small, and the pages list each
// message once.
func TestThePageOfAPersonWithManyMessages(t *testing.T) {
	t.Parallel()
	c := open(t)
	copyMessage(t, c, 500)
	seen := map[string]bool{}
	path := "/record/portal-users/pat"
	for pages := 0; path != ""; pages++ {
		got := c.reader.Get(path).Is(http.StatusOK)
		if len(got.Body) > 150_000 {
			t.Errorf("a page has %d bytes", len(got.Body))
		}
		for _, part := range strings.Split(got.Body, `href="/record/receipts/`)[1:] {
			if id := part[:36]; seen[id] {
				t.Errorf("message %s is listed twice", id)
			} else {
				seen[id] = true
			}
		}
		path = ""
		if at := strings.Index(got.Body, `rel="next"`); at > 0 {
			from := strings.LastIndex(got.Body[:at], `href="`) + len(`href="`)
			path = strings.ReplaceAll(got.Body[from:from+strings.Index(got.Body[from:], `"`)], "&amp;", "&")
		}
		if pages > 20 {
			t.Fatal("the list does not end")
		}
	}
	if len(seen) != 501 {
		t.Errorf("%d messages are listed, want 501", len(seen))
	}
}

// copyMessage copies the rows of the delivered message of the clinic.
func copyMessage(t *testing.T, c *clinic, copies int) {
	t.Helper()
	for range copies {
		id := uuid.Must(uuid.NewV7())
		for _, table := range []string{"messages", "chunks", "inbox", "opens"} {
			c.Exec(t, `INSERT INTO record.`+table+` SELECT (jsonb_populate_record(r, jsonb_build_object('message_id', $1::text))).* FROM record.`+table+` r WHERE message_id = $2`, id, c.message)
		}
	}
}
