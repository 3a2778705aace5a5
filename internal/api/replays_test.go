package api_test

import (
	"net/http"
	"testing"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/events"
)

// A replay from plan to cancellation, as contract.md has it.
func TestAReplayIsPlannedStartedAndCancelled(t *testing.T) {
	s := newSystem(t)
	operator := s.staff(t, "Olga", policy.ReplayDeliveries, policy.SendPortalMessage)
	s.PortalUser(t, "pu-1")
	s.PortalUser(t, "pu-2")
	id := operator.send(letter("s", "pu-1", "pu-2"))
	message := uuid.MustParse(id)
	s.Deliver(t, message)
	failed(t, s, message, 2)

	plan := operator.post("/v1/replays", map[string]any{"filter": map[string]any{"message_id": id, "state": []string{"failed"}}, "reason": "their provider was down"}).
		is(http.StatusCreated)
	if plan.at("count") != float64(2) || plan.at("by_reason.mailbox full") != float64(2) || plan.text("status") != "planned" || plan.text("digest") == "" {
		t.Errorf("the plan is %s", plan.body)
	}
	path := "/v1/replays/" + plan.text("id")
	started := operator.post(path+"/start", map[string]any{"rate": 60}).is(http.StatusOK)
	again := operator.do(http.MethodPost, path+"/start", http.NoBody).is(http.StatusOK)
	if started.text("status") != "running" || again.text("id") != started.text("id") || again.at("rate") != float64(60) || again.text("started_at") != started.text("started_at") {
		t.Errorf("started: %s, and again: %s", started.body, again.body)
	}
	operator.do(http.MethodPost, path+"/resume", http.NoBody).is(http.StatusOK)
	operator.do(http.MethodPost, path+"/pause", http.NoBody).is(http.StatusOK)
	now := operator.get(path).is(http.StatusOK)
	for name, want := range map[string]any{"status": "paused", "total": float64(2), "done": float64(0), "accepted": float64(0), "failed": float64(0)} {
		if now.at(name) != want {
			t.Errorf("%s is %v, want %v", name, now.at(name), want)
		}
	}
	if held, ok := now.at("held_by").([]any); !ok || len(held) != 0 {
		t.Errorf("it is held by %v", held)
	}
	for _, of := range []struct {
		message any
		says    any
	}{{id, id}, {nil, nil}} { // the pause of all stands before that of the message
		body := map[string]any{"reason": "trouble"}
		if of.message != nil {
			body["message_id"] = of.message
		}
		operator.post("/v1/alerting/pause", body).is(http.StatusOK)
		now := operator.get(path).is(http.StatusOK)
		if now.at("held_by.0.alerts") != float64(2) || now.at("held_by.0.message_id") != of.says || now.at("held_by.0.reason") != "trouble" {
			t.Errorf("while %v is paused: %s", of.message, now.body)
		}
	}
	operator.do(http.MethodPost, path+"/resume", http.NoBody).is(http.StatusOK)
	operator.do(http.MethodPost, path+"/cancel", http.NoBody).is(http.StatusOK)
	operator.do(http.MethodPost, path+"/start", http.NoBody).is(http.StatusConflict)
	if list := operator.get("/v1/replays?limit=1").is(http.StatusOK); list.at("items.0.status") != "cancelled" {
		t.Errorf("the list is %s", list.body)
	}
}

// failed has the first attempt at a message's alerts fail for all its recipients.
func failed(t *testing.T, s *system, message uuid.UUID, recipients int) {
	t.Helper()
	e, err := events.New("/notify-worker", "process:notify-worker", s.Clock.Now(), events.AlertOutcome{MessageID: message, Chunks: 1, Attempt: 1,
		Recipients: recipients, State: events.AlertFailed, Reason: "mailbox full", Exceptions: []events.AlertException{}, Requests: []events.AlertRequest{}})
	if err != nil {
		t.Fatal(err)
	}
	seq, err := s.Log.Publish(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	s.Await(t, seq)
}
