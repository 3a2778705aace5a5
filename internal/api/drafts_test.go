package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/compose/draft"
	"postern/internal/directory/audience"
	"postern/internal/text/zone"
)

// A list of drafts has those of the caller alone, the latest first, with what is chosen so far, and
// without their bodies.
func TestDrafts(t *testing.T) {
	s := newSystem(t)
	ada, ben := s.staff(t, "Ada", policy.SendPortalMessage), s.staff(t, "Ben", policy.SendPortalMessage)
	save := func(of *client, change func(*draft.Content)) uuid.UUID {
		t.Helper()
		id := uuid.New()
		s.Clock.Advance(time.Second)
		subject := policy.Subject{Realm: policy.RealmStaff, ID: of.id, Permissions: []policy.Permission{policy.SendPortalMessage}}
		if _, err := s.web.Drafts.Save(t.Context(), subject, id, draft.Seen{Page: "a"}, change); err != nil {
			t.Fatal(err)
		}
		return id
	}
	save(ben, func(c *draft.Content) { c.Subject = "Not hers" })
	empty := save(ada, func(*draft.Content) {})
	at := s.Clock.Now().Add(24 * time.Hour).Truncate(time.Minute)
	full := save(ada, func(c *draft.Content) {
		c.Subject, c.Body, c.StaffBcc = "After your visit", "A secret", []string{ben.id}
		c.Recipients = audience.Selection{PortalUserIDs: []string{"pu-1"}, Groups: []audience.Group{audience.ActivePatients},
			About: []audience.About{{PortalUserID: "pu-1", PatientIDs: []string{"pt-1"}}}}
		c.When = draft.WhenAt(&at, zone.Clinic())
	})
	first := ada.get("/v1/drafts?limit=1").is(http.StatusOK)
	want := map[string]any{"id": full.String(), "subject": "After your visit", "staff_bcc": []any{ben.id}, "attachment_ids": []any{}, "send_at": at.UTC().Format(time.RFC3339),
		"saved_at": first.at("items.0.saved_at"), "expires_at": first.at("items.0.expires_at"),
		"recipients": map[string]any{"portal_user_ids": []any{"pu-1"}, "portal_users": 1.0, "groups": []any{"active_patients"},
			"about": []any{map[string]any{"portal_user_id": "pu-1", "patient_ids": []any{"pt-1"}}}}}
	if diff := cmp.Diff(want, first.at("items.0")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	second := ada.get("/v1/drafts?limit=1&cursor=" + first.at("next_cursor").(string)).is(http.StatusOK)
	if second.at("items.0.id") != empty.String() || second.at("items.0.send_at") != nil || second.at("next_cursor") != nil {
		t.Errorf("the second page is %s", second.body)
	}
}
