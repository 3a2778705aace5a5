package messages_test

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern/internal/access/policy"
	"postern/internal/recorder/recordertest"
	"postern/internal/web/webtest"
)

// received sends a message to three portal users: anna opens it, bo has no e-mail address,
// and the alert to cy is refused.
func received(t *testing.T, c *clinic, sam *webtest.Visitor) (id string) {
	t.Helper()
	anna := c.person(t, "anna")
	c.person(t, "bo")
	c.person(t, "cy")
	c.Exec(t, `UPDATE app.portal_users SET email = '' WHERE portal_user_id = 'bo'`)
	c.Exec(t, `UPDATE app.portal_users SET name = '=HYPERLINK("http://evil.example")' WHERE portal_user_id = 'cy'`)
	c.FoldNames(t)
	id = c.send(t, sam, "Results", "anna bo cy")
	c.until(t, sam, "/messages/"+id, "was accepted 2 of 3")
	c.Exec(t, `INSERT INTO record.alert_exceptions SELECT $1, portal_user_no, 0, 'failed', '550 no such mailbox', 3, '2026-01-02T03:04:05Z'
		FROM app.portal_users WHERE portal_user_id = 'cy'`, id)
	c.Exec(t, `UPDATE record.messages SET alert_accepted = 1, alert_failed = 1 WHERE message_id = $1`, id)
	if err := c.reads(t, anna, id); err != nil {
		t.Fatal(err)
	}
	return id
}

// The recipients of a message are listed with their delivery status. Filters by status and
// by name are in the address.
func TestRecipients(t *testing.T) {
	t.Parallel()
	c := open(t)
	sam := c.Staff(t, "Sam Staff", policy.SendPortalMessage)
	id := received(t, c, sam)
	at := "/messages/" + id + "/recipients"
	sam.Get(at).Is(http.StatusOK).Says("Recipients", "Name of anna", "Alerted", "Name of bo", "Skipped: no e-mail address", "Not opened",
		"=HYPERLINK", "Failed: 550 no such mailbox", "3", "Save this list as a file").LacksHTML("Clear the filters", "/directory/")

	all := map[string]string{"anna": "Name of anna", "bo": "Name of bo", "cy": "=HYPERLINK"}
	for query, want := range map[string]string{
		"alert=failed":                 "cy",
		"alert=skipped":                "bo",
		"alert=no-address":             "bo",
		"alert=no-address&q=name":      "bo",
		"alert=no-address&opened=true": "",
		"alert=accepted":               "anna",
		"alert=accepted&opened=true":   "anna",
		"opened=true":                  "anna",
		"opened=false":                 "bo cy",
		"opened=true&alert=failed":     "",
		"alert=unknown":                "",
		"q=NAME+an":                    "anna",
		"q=name":                       "anna bo",
		"q=name&opened=false":          "bo",
		"q=unknown":                    "",
		"q=%00%27%5C":                  "",
		"q=of&alert=skipped&opened=":   "bo",
		"q=name+of+bo&alert=accepted":  "",
		"q=an&alert=&opened=true&x=ok": "anna",
	} {
		page := sam.Get(at + "?" + query).Is(http.StatusOK)
		for who, name := range all {
			if shown := strings.Contains(page.Text(), name); shown != strings.Contains(want, who) {
				t.Errorf("?%s shows %s: %v", query, who, shown)
			}
		}
		if want == "" {
			page.Says("No recipient matches. Clear the filters.")
			continue
		}
		n := len(strings.Fields(want))
		page.Says(fmt.Sprintf("1–%d of %d portal user", n, n))
	}
	for _, query := range []string{"alert=lost", "opened=maybe", "after=x", "after=-1"} {
		sam.Get(at + "?" + query).Is(http.StatusUnprocessableEntity).Says("There is a problem")
		sam.Get(at + ".csv?" + query).Is(http.StatusUnprocessableEntity).Says("There is a problem")
	}
	// Only the message's page counts recipients who can't sign in separately.
	sam.Get("/messages/" + id).Is(http.StatusOK).Says("1 portal user without an e-mail address can't sign in to the portal. List the recipients to send a letter to.")
	c.Exec(t, `UPDATE record.chunks SET alert_reason = 'the account is not active' WHERE message_id = $1 AND alert_state = 'skipped'`, id)
	c.Exec(t, `UPDATE record.alert_exceptions SET reason = 'the account is not active' WHERE message_id = $1 AND state = 'skipped'`, id)
	sam.Get("/messages/" + id).Is(http.StatusOK).Says("Skipped").LacksHTML("without an e-mail address")
	director := c.Staff(t, "Dee Director", policy.ReadRecord, policy.ImportDirectory)
	director.Get(at).HasHTML(`href="/record/portal-users/anna"`)
	sam.Get(at).HasHTML(`href="/record/portal-users/anna"`)
}

// The list is exported as a CSV file, in which spreadsheets run no formula.
func TestExportingRecipients(t *testing.T) {
	t.Parallel()
	c := open(t)
	sam := c.Staff(t, "Sam Staff", policy.SendPortalMessage)
	id := received(t, c, sam)
	file := sam.Get("/messages/" + id + "/recipients.csv").Is(http.StatusOK)
	if got, want := file.Header.Get("Content-Disposition"), `attachment; filename="recipients-`+id+`.csv"`; got != want {
		t.Errorf("it is saved as %s, want %s", got, want)
	}
	if got := file.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/csv; charset=utf-8") {
		t.Errorf("it is %s", got)
	}
	if strings.Count(file.Body, "\r\n") != 4 || strings.Count(file.Body, "\n") != 4 {
		t.Errorf("its lines do not end with CRLF (RFC 4180): %q", file.Body)
	}
	plain, marked := strings.CutPrefix(file.Body, "\ufeff")
	if !marked {
		t.Error("the file has no byte order mark")
	}
	rows, err := csv.NewReader(strings.NewReader(plain)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, row := range rows[1:] {
		got[row[0]] = []string{row[1], row[3], row[4], row[6], row[9], row[10], row[11]}
	}
	want := map[string][]string{
		"anna": {"Name of anna", "accepted", "", "1", "pt-anna", "picked", "false"},
		"bo":   {"Name of bo", "skipped", "no e-mail address", "0", "pt-bo", "picked", "false"},
		"cy":   {`'=HYPERLINK("http://evil.example")`, "failed", "550 no such mailbox", "3", "pt-cy", "picked", "false"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the file (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"portal_user_id", "name", "delivered_at", "alert", "alert_reason", "alert_at", "attempts", "opened_at", "readable_at", "about", "about_basis", "link_ended"}, rows[0]); diff != "" {
		t.Errorf("the header line (-want +got):\n%s", diff)
	}
	filtered := sam.Get("/messages/" + id + "/recipients.csv?alert=failed&q=").Is(http.StatusOK)
	if strings.Count(filtered.Body, "\n") != 2 || !strings.Contains(filtered.Body, "cy,") {
		t.Errorf("filtered it is %q", filtered.Body)
	}
}

// A large list has pages, and the search for a very common name stops at intervals.
func TestALargeListOfRecipients(t *testing.T) {
	t.Parallel()
	c := open(t)
	sam := c.Staff(t, "Sam Staff", policy.SendPortalMessage)
	c.person(t, "anna")
	id := c.delivered(t, sam, "To all", "anna")
	c.fill(t, id, 4500)
	at := "/messages/" + id + "/recipients"
	first := sam.Get(at).Says("Name of anna", "More recipients", "1–50 of 4,501 portal users").LacksHTML("First recipients")
	second := sam.Get(link(t, first.Body, "next")).Says("Ada Common", "First recipients", "More recipients", "51–100 of 4,501 portal users").LacksHTML("Name of anna")
	sam.Get(link(t, second.Body, "prev")).Says("Name of anna")

	sam.Get(at + "?after=100").Says("4,501 portal users").LacksHTML("of 4,501")
	sam.Get(at+"?q=rare").Says("Zoe Rare", "1–1 of 1 portal user").LacksHTML("Search more", "More recipients", "Ada")
	sam.Get(at + "?q=rare&opened=true").Says("No recipient matches.")
	sam.Get(at+"?q=common").Says("Ada Common", "More recipients", "1–50 of more than").LacksHTML("Search more", "Kim")
	// 2,500 portal users are called Kim, and one of them received the message.
	page := sam.Get(at+"?q=kim").Says("No recipients found so far.", "The name is so common", "Search more recipients").LacksHTML("No recipient matches")
	for range 3 {
		page = sam.Get(href(t, page.Body, at+"?after=")).Says("No recipients found so far.", "First recipients")
	}
	sam.Get(href(t, page.Body, at+"?after=")).Says("Kim Common").LacksHTML("Search more", "Ada")

	for query, want := range map[string]int{"": 4501, "?q=common": 4500 - 1, "?q=kim": 1, "?q=rare": 1, "?opened=true": 0} {
		file := sam.Get(at + ".csv" + query).Is(http.StatusOK)
		if got := strings.Count(file.Body, "\r\n") - 1; got != want {
			t.Errorf("the file of %q holds %d recipients, want %d", query, got, want)
		}
	}
}

// fill adds n recipients to a message with one recipient. All are called Ada Common, except
// a Zoe Rare and a Kim Common near the end. Other portal users called Kim are not recipients.
func (c *clinic) fill(t *testing.T, id string, n int) {
	t.Helper()
	c.Exec(t, `INSERT INTO app.portal_users (active, portal_user_id, name)
		SELECT true, 'pu-' || i, CASE $1 - i WHEN 100 THEN 'Zoe Rare' WHEN 200 THEN 'Kim Common' ELSE 'Ada Common' END
		FROM generate_series(1, $1) i`, n)
	c.Exec(t, `INSERT INTO app.portal_users (active, portal_user_id, name) SELECT true, 'kim-' || i, 'Kim Other' FROM generate_series(1, 2500) i`)
	c.FoldNames(t)
	c.Exec(t, `CREATE TABLE public.others AS
		SELECT portal_user_no AS no, 1 + (row_number() OVER (ORDER BY portal_user_no) - 1) / 1000 AS chunk
		FROM app.portal_users WHERE portal_user_id LIKE 'pu-%'`)
	c.Exec(t, `INSERT INTO record.chunks (message_id, chunk, seq, first_no, last_no, deliveries, delivered_at, alert_state, alert_at)
		SELECT $1, chunk, (SELECT min(seq) FROM record.chunks WHERE message_id = $1), min(no), max(no), count(*), now(), 'accepted', now()
		FROM public.others GROUP BY chunk`, id)
	// The recipient that the message has already may be in the same block as the first of the others.
	c.Exec(t, `CREATE TABLE public.before AS SELECT * FROM record.deliveries`)
	c.Exec(t, `DELETE FROM record.inbox`)
	c.Exec(t, recordertest.Delivered(`SELECT $1::uuid, no, chunk, '{}'::integer[] FROM public.others
		UNION ALL SELECT message_id, portal_user_no, chunk, '{}' FROM public.before`), id)
	c.Exec(t, `UPDATE record.messages SET audience = 1 + $2::integer, delivered = 1 + $2::integer, alert_accepted = 1 + $2::integer
		WHERE message_id = $1`, id, n)
}

// Portal users without a working e-mail address are listed with the reason and the date,
// until the directory has another address.
func TestNoWorkingEmail(t *testing.T) {
	t.Parallel()
	c := open(t)
	sam := c.Staff(t, "Sam Staff", policy.SendPortalMessage)
	sam.Get("/worklists/no-email").Is(http.StatusOK).Says("All portal users have a working e-mail address")
	for _, id := range []string{"anna", "bo", "cy", "dee"} {
		c.person(t, id)
	}
	c.Exec(t, `UPDATE app.portal_users SET email = '' WHERE portal_user_id = 'bo'`)
	c.Exec(t, `UPDATE app.portal_users SET email_version = 3 WHERE portal_user_id IN ('cy', 'dee')`)
	c.Exec(t, `INSERT INTO record.dead_addresses (portal_user_no, address_version, since, reason, report_id)
		SELECT portal_user_no, CASE portal_user_id WHEN 'dee' THEN 2 ELSE 3 END, '2026-01-02T03:04:05Z', '550 no such mailbox', 'r'
		FROM app.portal_users WHERE portal_user_id IN ('cy', 'dee')`)
	sam.Get("/worklists/no-email").Is(http.StatusOK).
		Says("Name of bo", "The directory has no address", "Name of cy", "SendGrid reported: 550 no such mailbox", "2 January 2026").
		LacksHTML("Name of anna", "Name of dee")
	c.Exec(t, `INSERT INTO app.portal_users (active, portal_user_id, name) SELECT true, 'more-' || n, 'More ' || n FROM generate_series(1, 60) n`)
	sam.Get("/worklists/no-email").Is(http.StatusOK).Says("More 48").LacksHTML("More 49", "First page")
	c.Staff(t, "Rita Reviewer", policy.ReadRecord).Get("/worklists/no-email").Is(http.StatusForbidden)
}
