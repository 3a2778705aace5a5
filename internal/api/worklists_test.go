package api_test

import (
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"postern/internal/access/policy"
)

// The lists that pages show are in the API, with their filters.
func TestListsOfPages(t *testing.T) {
	s := newSystem(t)
	sam := s.staff(t, "Sam Sender", policy.SendPortalMessage, policy.ImportDirectory)
	pat := s.portalUser(t, "pu-1")
	s.PortalUser(t, "pu-2")
	first := sam.send(letter("Your care plan", "pu-1", "pu-2"))
	second := sam.send(letter("Opening hours", "pu-2"))
	for _, id := range []string{first, second} {
		s.Deliver(t, uuid.MustParse(id))
	}
	pat.get("/v1/portal/messages/" + first).is(http.StatusOK)

	has := func(path, key string, want ...string) {
		t.Helper()
		if got := sam.get(path).is(http.StatusOK).all(key); !slices.Equal(got, want) {
			t.Errorf("%s has %q, want %q", path, got, want)
		}
	}
	has("/v1/messages?q=care", "id", first)
	has("/v1/messages?status=cancelled", "id")
	has("/v1/messages?mine=true", "id", second, first)
	has("/v1/messages?to="+url.QueryEscape(s.Clock.Now().Add(-24*time.Hour).UTC().Format(time.RFC3339)), "id")
	has("/v1/worklists/unread?days=0", "message_id", second, first)
	has("/v1/worklists/unread?days=1", "message_id")
	s.Clock.Advance(48 * time.Hour)
	has("/v1/worklists/unread?days=1", "message_id", second, first)
	has("/v1/worklists/unread?days=7", "message_id")
	page := sam.get("/v1/worklists/unread?days=1&limit=1").is(http.StatusOK)
	has("/v1/worklists/unread?days=1&limit=1&cursor="+page.text("next_cursor"), "subject", "Your care plan")
	has("/v1/messages/"+first+"/deliveries?q=pu-2", "portal_user_id", "pu-2")

	has("/v1/worklists/no-email", "portal_user_id")
	if _, err := s.Admin.Exec(t.Context(), `UPDATE app.portal_users SET email = '' WHERE portal_user_id = 'pu-2'`); err != nil {
		t.Fatal(err)
	}
	has("/v1/worklists/no-email", "portal_user_id", "pu-2")
	has("/v1/patients?q=pt-pu-2", "patient_id", "pt-pu-2")
	if linked := sam.get("/v1/patients?q=pt-pu-2").text("items.0.portal_users.0.portal_user_id"); linked != "pu-2" {
		t.Errorf("the patient is linked to %s", linked)
	}
	has("/v1/invitations", "id")

	// Two people of one name are told apart.
	s.staff(t, "Ada Admin", policy.ManageStaff)
	if got := sam.get("/v1/staff?q=ada").is(http.StatusOK); got.text("items.0.email") != "ada.admin@clinic.example" || got.text("items.0.state") != "active" {
		t.Errorf("the staff are %s", got.body)
	}
	has("/v1/staff?q=nobody", "id")
}
