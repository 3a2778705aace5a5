package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"postern/internal/access/policy"
)

// A plan can be of several reasons and of named portal users. Its answer has their number; the
// record does not name them. The operations have what happened over time.
func TestAReplayOfChosenPortalUsers(t *testing.T) {
	s := newSystem(t)
	operator := s.staff(t, "Olga", policy.ReplayDeliveries, policy.SendPortalMessage, policy.ReadRecord)
	for _, id := range []string{"pu-1", "pu-2", "pu-3"} {
		s.PortalUser(t, id)
	}
	id := operator.send(letter("s", "pu-1", "pu-2", "pu-3"))
	s.Deliver(t, uuid.MustParse(id))
	failed(t, s, uuid.MustParse(id), 3)
	plan := func(filter map[string]any) *reply {
		return operator.post("/v1/replays", map[string]any{"filter": filter, "reason": "again"})
	}
	some := plan(map[string]any{"portal_user_ids": []string{"pu-1", "pu-3"}, "reasons": []string{"mailbox full", "another"}}).is(http.StatusCreated)
	if some.at("count") != float64(2) || some.at("filter.portal_users") != float64(2) || some.at("filter.reasons.1") != "mailbox full" {
		t.Errorf("the plan is %s", some.body)
	}
	found := operator.get("/v1/record?type=replay.planned").is(http.StatusOK)
	if strings.Contains(string(found.body), "pu-1") {
		t.Errorf("the record names a portal user: %s", found.body)
	}
	wrong := plan(map[string]any{"portal_user_ids": []string{"pu-1", "nobody"}}).is(http.StatusUnprocessableEntity)
	if wrong.at("errors.0.location") != "body.filter.portal_user_ids" {
		t.Errorf("the error is %s", wrong.body)
	}
	plan(map[string]any{"reason": "a", "reasons": []string{"b", "c"}}).is(http.StatusUnprocessableEntity)

	for span, bars := range map[string]int{"": 24, "?span=hour": 12, "?span=week": 7} {
		now := operator.get("/v1/operations" + span).is(http.StatusOK)
		if all, ok := now.at("series").([]any); !ok || len(all) != bars {
			t.Errorf("%q has %d bars, want %d", span, len(all), bars)
		}
	}
	operator.get("/v1/operations?span=year").is(http.StatusUnprocessableEntity)
}
