package messages_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"postern/internal/access/policy"
	"postern/internal/labels"
)

// Without messages, the list shows how to start one.
func TestNoMessagesYet(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.Staff(t, "Sam Staff", policy.SendPortalMessage).Get("/messages").Is(http.StatusOK).
		Says("Messages", "No messages yet. Compose a message.").HasHTML(`href="/messages/compose"`).LacksHTML("Apply filters")
	c.Staff(t, "Rea Reader", policy.ReadRecord).Get("/messages").Is(http.StatusOK).Says("No messages yet.").LacksHTML("Compose a message.")
	if at := c.Staff(t, "Ned Plain").Get("/messages").Is(http.StatusOK).URL.Path; at != "/messages/bcc" {
		t.Errorf("staff who may see no messages are redirected to %s", at)
	}
	c.SignedOut(t).Get("/messages").Is(http.StatusOK).Says("Staff sign-in")
}

// The list shows each message's recipients and progress, newest first.
func TestMyMessages(t *testing.T) {
	t.Parallel()
	c := open(t)
	for _, id := range []string{"anna", "bo", "cy"} {
		c.person(t, id)
	}
	sam, kim := c.Staff(t, "Sam Staff", policy.SendPortalMessage, policy.SendBulkPortalMessage), c.Staff(t, "Kim Colleague", policy.SendPortalMessage)
	c.delivered(t, sam, "Consent form", "anna bo cy")
	c.send(t, sam, "<script>alert(1)</script>", "", everybody, later(time.Hour))
	c.send(t, kim, "Not Sam's", "anna")

	list := sam.Get("/messages").Is(http.StatusOK).Says(
		"Consent form", "Name of anna, Name of bo and 1 other", "3 delivered, 0 opened", "Sent",
		"<script>alert(1)</script>", "All Portal Users", "Scheduled", "Goes out").
		LacksHTML("<script>alert", "Not Sam")
	if text := list.Text(); strings.Index(text, "Consent form") < strings.Index(text, "alert(1)") {
		t.Errorf("the older message comes first: %s", text)
	}
	_, seq, err := c.Web.Labels.Change(t.Context(), "operator:test", labels.To(labels.Labels{PortalUser: &labels.Label{One: "Client", Many: "Clients"}}))
	if err != nil {
		t.Fatal(err)
	}
	c.Await(t, seq)
	sam.Get("/messages").Says("All Clients").LacksHTML("All Portal Users")
}

// Titles and addresses contain no subject: they are kept in browser histories and logs.
func TestTitlesNameNoSubject(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.person(t, "anna")
	sam := c.Staff(t, "Sam Staff", policy.SendPortalMessage)
	id := c.delivered(t, sam, "Oncology", "anna")
	for _, path := range []string{"/messages", "/messages/" + id, "/messages/" + id + "/recipients", "/messages/" + id + "/recall"} {
		title, _, _ := strings.Cut(sam.Get(path).Is(http.StatusOK).Body, "</title>")
		if strings.Contains(title, "Oncology") || strings.Contains(title, "anna") {
			t.Errorf("the title of %s contains a subject: %s", path, title)
		}
	}
}

// Filters are in the address, and can be cleared.
func TestFilteringTheList(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.person(t, "anna")
	sam := c.Staff(t, "Sam Staff", policy.SendPortalMessage)
	c.delivered(t, sam, "Flu vaccine in autumn", "anna")
	c.delivered(t, sam, "Consent form", "anna")
	c.send(t, sam, "Flu vaccine in spring", "anna", later(time.Hour))
	today, tomorrow := time.Now().Format(time.DateOnly), time.Now().AddDate(0, 0, 1).Format(time.DateOnly)

	for query, want := range map[string]string{
		"q=VACCINE+flu":                      "autumn spring",
		"q=vaccine&status=sent":              "autumn",
		"status=scheduled":                   "spring",
		"status=recalled":                    "",
		"q=nothing+of+that":                  "",
		"from=" + today + "&until=" + today:  "autumn form spring",
		"from=" + tomorrow:                   "",
		"until=2020-01-01":                   "",
		"from=2020-01-01&status=sent&q=form": "form",
	} {
		page := sam.Get("/messages?" + query).Is(http.StatusOK)
		for _, word := range []string{"autumn", "form", "spring"} {
			if shown := strings.Contains(page.Text(), word+" Name of anna"); shown != strings.Contains(want, word) {
				t.Errorf("?%s shows %s: %v", query, word, shown)
			}
		}
		if want == "" {
			page.Says("No message matches. Clear the filters.")
		}
	}
	sam.Get("/messages?q=consent&status=sent&from=2020-01-01").
		HasHTML(`name="q" type="search" value="consent"`, `value="sent" selected`, `value="2020-01-01"`, `href="/messages">Clear the filters</a>`)
}

// An invalid filter gives an error and keeps its value.
func TestFiltersThatAreWrong(t *testing.T) {
	t.Parallel()
	sam := open(t).Staff(t, "Sam Staff", policy.SendPortalMessage)
	for query, want := range map[string]string{
		"from=yesterday":                   "Enter a day as year, month and day",
		"from=2026-05-02&until=2026-05-01": "The last day must not be before the first",
		"status=lost":                      "Choose a status from the list",
		"before=x":                         "Start again from the newest messages",
	} {
		sam.Get("/messages?"+query).Is(http.StatusUnprocessableEntity).Says("There is a problem", want).LacksHTML("No message matches")
	}
}

// A page has fifty messages, and the address of the next page says where it starts.
func TestPagingTheList(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.person(t, "anna")
	sam := c.Staff(t, "Sam Staff", policy.SendPortalMessage)
	for i := range 51 {
		c.send(t, sam, fmt.Sprintf("Letter %d.", i), "anna", later(time.Hour))
	}
	first := sam.Get("/messages?status=scheduled").Says("Letter 50.", "Letter 1.", "Older messages").LacksHTML("Letter 0.", "Newest messages")
	last := sam.Get(link(t, first.Body, "next")).Says("Letter 0.", "Newest messages").LacksHTML("Letter 1.", "Older messages")
	if at := link(t, last.Body, "prev"); at != "/messages?status=scheduled" {
		t.Errorf("the newest are at %s", at)
	}
	found := sam.Get("/messages?q=letter").Says("Letter 50.", "Older messages")
	sam.Get(link(t, found.Body, "next")).Says("Letter 0.").LacksHTML("Letter 1.", "Older messages", "have not been searched")
}

// link returns the address of the link with the relation rel.
func link(t *testing.T, body, rel string) string {
	t.Helper()
	before, _, ok := strings.Cut(body, `" rel="`+rel+`"`)
	if !ok {
		t.Fatalf("the page has no link that is %s", rel)
	}
	return strings.ReplaceAll(before[strings.LastIndex(before, `"`)+1:], "&amp;", "&")
}

// Subjects are encrypted: a search decrypts a thousand, says so, and continues on request.
func TestSearchingLongLists(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.person(t, "anna")
	sam := c.Staff(t, "Sam Staff", policy.SendPortalMessage)
	c.delivered(t, sam, "Long ago", "anna")
	c.Exec(t, `
		INSERT INTO record.messages (message_id, seq, sender_id, recipients, attachments, subject_digest, body_digest,
		    status, hold, bulk, sent_at, release_at, cancelled_at)
		SELECT ('ffffffff-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid, i, $1, '{"portal_user_ids": [], "groups": []}', '[]', '', '',
		    'cancelled', 'undo', false, now(), now(), now()
		FROM generate_series(1, 1000) i`, sam.ID)
	page := sam.Get("/messages?q=ago").Is(http.StatusOK).
		Says("Nothing found so far.", "a search opens a thousand messages at a time", "have not been searched yet", "Search older messages").
		LacksHTML("No message matches")
	_, rest, _ := strings.Cut(page.Body, `<p class="govuk-body"><a class="govuk-link" href="`)
	href, _, _ := strings.Cut(rest, `"`)
	sam.Get(strings.ReplaceAll(href, "&amp;", "&")).Says("Long ago").LacksHTML("have not been searched")
}

// A reader of the record can see the messages of all staff, with their senders.
func TestMessagesOfAllStaff(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.person(t, "anna")
	sam := c.Staff(t, "Sam Staff", policy.SendPortalMessage)
	c.delivered(t, sam, "From Sam", "anna")

	kim := c.Staff(t, "Kim Both", policy.SendPortalMessage, policy.ReadRecord)
	kim.Get("/messages").Says("No messages yet.", "Sent by").LacksHTML("From Sam")
	kim.Get("/messages?whose=everybody").Says("From Sam", "Sam Staff").HasHTML(`value="everybody" selected`)
	c.Staff(t, "Rea Reader", policy.ReadRecord).Get("/messages").Says("From Sam", "Sam Staff").LacksHTML(`name="whose"`)
	c.Staff(t, "Eve Other", policy.SendPortalMessage).Get("/messages?whose=everybody").LacksHTML("From Sam", `name="whose"`)
}

// Staff Bcc find the message in their own list, and can change nothing.
func TestBccdToMe(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.person(t, "anna")
	sam, bea := c.Staff(t, "Sam Staff", policy.SendPortalMessage), c.Staff(t, "Bea Bcc")
	bea.Get("/messages/bcc").Is(http.StatusOK).Says("Bcc'd to me", "No messages. No one has named you as Staff Bcc yet.")
	id := c.delivered(t, sam, "Quarterly letter", "anna", bcc(bea))
	c.delivered(t, sam, "Between Sam and Anna", "anna")

	bea.Get("/messages/bcc").Says("Quarterly letter", "Sam Staff", "1 delivered").LacksHTML("Between Sam and Anna", `name="status"`)
	bea.Get("/messages/bcc?q=monthly").Says("No message matches. Clear the filters.")
	bea.Get("/messages/"+id).Is(http.StatusOK).
		Says("Quarterly letter", "You are Staff Bcc of this message", "The text of Quarterly letter.", "Bea Bcc", "Name of anna").
		LacksHTML("/recall", "/cancel", "<form action=\"/messages")
	bea.Get("/messages/" + id + "/recipients").Is(http.StatusOK).Says("Name of anna")
	bea.Get("/messages/" + id + "/recall").Is(http.StatusNotFound)
	bea.Post("/messages/"+id+"/recall", url.Values{"reason": {"mine"}}).Is(http.StatusForbidden)
	sam.Get("/messages/bcc").Says("No one has named you").LacksHTML("Quarterly letter")
}
