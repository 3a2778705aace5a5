package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"postern/internal/access/policy"
)

// What was sent to a portal user is listed for staff who send and for readers of the record, the
// newest first, with the subject only where they may read it, and without content. Each answer is
// recorded as a reading.
func TestWhatWasSentToAPerson(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	pat := s.portalUser(t, "pu-1")
	s.PortalUser(t, "pu-2")
	ada := s.staff(t, "Ada", policy.SendBulkPortalMessage)
	document := ada.upload("a.pdf", pdf).is(http.StatusCreated).text("id")
	m := letter("Your biopsy", "pu-1", "pu-2")
	m["attachment_ids"] = []string{document}
	first := ada.send(m)
	s.Deliver(t, uuid.MustParse(first))
	pat.get("/v1/portal/messages/" + first).is(http.StatusOK)
	pat.get("/v1/portal/messages/" + first + "/attachments/" + document).is(http.StatusOK)
	s.Exec(t, `UPDATE app.portal_users SET active = false WHERE portal_user_id = 'pu-2'`)
	group := letter("To all")
	group["recipients"], group["undo_seconds"] = map[string]any{"groups": []string{"all_portal_users"}}, 0
	second := ada.send(group)
	s.Deliver(t, uuid.MustParse(second))
	s.Settle(t)
	rosa, other := s.staff(t, "Rosa", policy.ReadRecord), s.staff(t, "Otto", policy.SendPortalMessage)

	const path = "/v1/portal-users/pu-1/deliveries"
	got := ada.get(path).is(http.StatusOK)
	if diff := cmp.Diff([]string{second, first}, got.all("message_id")); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	if got.text("items.1.subject") != "Your biopsy" || got.text("items.1.sender") != "Ada" || got.text("items.1.delivered_at") == "" || got.text("items.1.opened_at") == "" ||
		got.text("items.1.downloads.0.attachment_id") != document || got.text("items.1.downloads.0.name") != "a.pdf" || got.at("items.1.downloads.0.number") != 1.0 ||
		got.text("items.1.alert.state") == "" || got.at("items.0.opened_at") != nil || got.text("items.1.about.0") != "pt-pu-1" || got.text("items.1.about_basis") != "picked" ||
		got.text("items.0.about.0") != "pt-pu-1" || got.text("items.0.about_basis") != "group" || got.text("items.0.groups.0") != "all_portal_users" {
		t.Errorf("the answer is %s", got.body)
	}
	if r := rosa.get(path).is(http.StatusOK); r.text("items.1.subject") != "Your biopsy" || strings.Contains(string(r.body), "a.pdf") {
		t.Errorf("a reader of the record gets %s", r.body)
	}
	if r := other.get(path).is(http.StatusOK); r.at("items.1.subject") != nil || r.text("items.1.sender") != "Ada" || strings.Contains(string(r.body), "a.pdf") || strings.Contains(string(r.body), "biopsy") {
		t.Errorf("another sender gets %s", r.body)
	}
	if r := rosa.get("/v1/portal-users/pu-2/deliveries?show=not_sent").is(http.StatusOK); r.text("items.0.message_id") != second || r.text("items.0.not_sent.reason") != "account_inactive" ||
		r.text("items.0.not_sent.words") != "the account was not active" || r.at("items.0.delivered_at") != nil || r.at("items.0.about_basis") != nil || r.at("items.0.alert") != nil {
		t.Errorf("what was not sent is %s", r.body)
	}
	for query, want := range map[string][]string{
		"?show=not_opened": {second}, "?show=not_sent": {}, "?show=all": {second, first}, "?to=2001-01-01T00:00:00Z": {}, "?from=2001-01-01T00:00:00Z&limit=1": {second},
	} {
		if diff := cmp.Diff(want, rosa.get(path+query).is(http.StatusOK).all("message_id")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
	one := rosa.get(path + "?limit=1").is(http.StatusOK)
	if next := rosa.get(path + "?limit=1&cursor=" + one.text("next_cursor")).is(http.StatusOK); next.text("items.0.message_id") != first || next.at("next_cursor") != nil {
		t.Errorf("the second page is %s", next.body)
	}
	rosa.get("/v1/portal-users/unknown/deliveries").is(http.StatusNotFound)
	rosa.get(path + "?from=x").is(http.StatusUnprocessableEntity)
	s.staff(t, "Dora", policy.ImportDirectory, policy.ReplayDeliveries).get(path).is(http.StatusForbidden)
	pat.get(path).is(http.StatusUnauthorized)
	s.anonymous(t).get(path).is(http.StatusUnauthorized)
	if all := rosa.get("/v1/record?type=record.read&actor=staff:" + other.id).is(http.StatusOK).all("type"); len(all) != 1 {
		t.Errorf("the sender's reading was recorded %d times", len(all))
	}
}

// The messages of a sender, and the recipients of one, say whom each concerns. Of a recipient with several
// patients of whom none was picked, nothing is stated.
func TestListsSayWhomMessagesConcern(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	for _, id := range []string{"mia", "mother", "father"} {
		s.PortalUser(t, id)
	}
	s.Exec(t, `INSERT INTO app.links (portal_user_no, patient_no, relationship) SELECT u.portal_user_no, p.patient_no, 'representative'
		FROM app.portal_users u, app.patients p WHERE portal_user_id IN ('mother', 'father') AND patient_id = 'pt-mia'`)
	ada := s.staff(t, "Ada", policy.SendPortalMessage)
	m := letter("Her visit")
	m["recipients"] = map[string]any{"portal_user_ids": []string{"father", "mia", "mother"},
		"about": []any{map[string]any{"portal_user_id": "mother", "patient_ids": []string{"pt-mia"}}}}
	id := ada.send(m)
	s.Deliver(t, uuid.MustParse(id))
	s.Settle(t)
	want := []any{map[string]any{"portal_user_id": "mia", "patient_ids": []any{"pt-mia"}}, map[string]any{"portal_user_id": "mother", "patient_ids": []any{"pt-mia"}}}
	if diff := cmp.Diff(any(want), ada.get("/v1/messages").is(http.StatusOK).at("items.0.recipients.about")); diff != "" {
		t.Errorf("in the list (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(any(want), ada.get("/v1/messages/"+id).is(http.StatusOK).at("recipients.about")); diff != "" {
		t.Errorf("of one (-want +got):\n%s", diff)
	}
	got := ada.get("/v1/messages/" + id + "/deliveries").is(http.StatusOK)
	if diff := cmp.Diff([]string{"picked", "not_stated", "picked"}, basesBy(got, "mia", "father", "mother")); diff != "" {
		t.Errorf("the deliveries (-want +got):\n%s\n%s", diff, got.body)
	}
}

// basesBy returns about_basis of the deliveries to some portal users.
func basesBy(deliveries *reply, users ...string) []string {
	of := map[string]string{}
	for i, id := range deliveries.all("portal_user_id") {
		of[id] = deliveries.text(fmt.Sprintf("items.%d.about_basis", i))
	}
	bases := make([]string, len(users))
	for i, id := range users {
		bases[i] = of[id]
	}
	return bases
}

// A list of the record is in order of time, type or actor, in either direction, page by page.
func TestTheRecordIsSorted(t *testing.T) {
	t.Parallel()
	_, rosa, _ := recorded(t)
	until := rosa.get("/v1/record?limit=1").is(http.StatusOK).text("items.0.time") // each reading adds an event
	for sort, less := range map[string]func(a, b map[string]any) bool{
		"time":   func(a, b map[string]any) bool { return a["time"].(string) <= b["time"].(string) },
		"-time":  func(a, b map[string]any) bool { return a["time"].(string) >= b["time"].(string) },
		"type":   func(a, b map[string]any) bool { return a["type"].(string) <= b["type"].(string) },
		"-type":  func(a, b map[string]any) bool { return a["type"].(string) >= b["type"].(string) },
		"actor":  func(a, b map[string]any) bool { return a["actor"].(string) <= b["actor"].(string) },
		"-actor": func(a, b map[string]any) bool { return a["actor"].(string) >= b["actor"].(string) },
	} {
		var all []map[string]any
		seen := map[any]bool{}
		for cursor := ""; ; {
			got := rosa.get("/v1/record?limit=3&to=" + until + "&sort=" + sort + cursor).is(http.StatusOK)
			for _, item := range got.at("items").([]any) {
				e := item.(map[string]any)
				if seen[e["seq"]] {
					t.Fatalf("%s: event %v is listed twice", sort, e["seq"])
				}
				seen[e["seq"]], all = true, append(all, e)
			}
			if got.at("next_cursor") == nil || len(all) > 200 {
				break
			}
			cursor = "&cursor=" + got.text("next_cursor")
		}
		if len(all) < 8 {
			t.Errorf("%s lists %d events", sort, len(all))
		}
		for i := 1; i < len(all); i++ {
			if !less(all[i-1], all[i]) {
				t.Errorf("%s: %v is listed before %v", sort, all[i-1], all[i])
			}
		}
	}
	rosa.get("/v1/record?sort=size").is(http.StatusUnprocessableEntity)
}
