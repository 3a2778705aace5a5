package api_test

import (
	"net/http"
	"testing"

	"github.com/google/uuid"

	"postern/internal/access/policy"
)

// Parked events over HTTP: listed, looked at in full, retried, discarded.
func TestParkedEvents(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	ops := s.staff(t, "Olga Operator", policy.ReplayDeliveries)
	if got := ops.get("/v1/parked").is(http.StatusOK); string(got.body) != `{"items":[],"next_cursor":null}`+"\n" {
		t.Errorf("nothing parked is answered with %s", got.body)
	}
	ids := []string{uuid.NewString(), uuid.NewString(), uuid.NewString()}
	for i, consumer := range []string{"fanout-bulk", "fanout-direct"} {
		s.Exec(t, `INSERT INTO app.parked (parked_id, consumer, seq, event_id, type, tries, reason, stack)
			SELECT $1, $2, seq, id, type, 8, 'panic: a bug', 'goroutine 1' FROM record.events WHERE type = 'staff.created' LIMIT 1`, ids[i], consumer)
	}
	s.Exec(t, `INSERT INTO app.parked (parked_id, consumer, seq, type, tries, reason) VALUES ($1, 'recorder', 999, '', 8, 'no event')`, ids[2])
	first := ops.get("/v1/parked?limit=2").is(http.StatusOK)
	if first.at("items.0.id") != ids[2] || first.at("items.1.id") != ids[1] || first.at("items.0.state") != "parked" || first.at("items.0.tries") != 8.0 {
		t.Errorf("the first page is %s", first.body)
	}
	second := ops.get("/v1/parked?limit=2&cursor=" + first.text("next_cursor")).is(http.StatusOK)
	if second.at("items.0.id") != ids[0] || second.at("next_cursor") != nil {
		t.Errorf("the second page is %s", second.body)
	}
	whole := ops.get("/v1/parked/" + ids[0]).is(http.StatusOK)
	if whole.at("stack") != "goroutine 1" || whole.at("headers.ce-type.0") != "staff.created" || whole.text("body")[0] != '{' {
		t.Errorf("the event in full is %s", whole.body)
	}

	if got := ops.post("/v1/parked/"+ids[0]+"/retry", nil).is(http.StatusOK); got.at("state") != "retrying" {
		t.Errorf("a retry is answered with %s", got.body)
	}
	ops.post("/v1/parked/"+ids[0]+"/retry", map[string]any{"reason": "again"}).is(http.StatusOK) // the same retry
	ops.post("/v1/parked/"+ids[0]+"/discard", map[string]any{"reason": "no"}).is(http.StatusConflict)
	ops.post("/v1/parked/"+ids[2]+"/retry", map[string]any{}).is(http.StatusConflict)
	ops.post("/v1/parked/"+ids[1]+"/discard", map[string]any{"reason": " "}).is(http.StatusUnprocessableEntity)
	ops.post("/v1/parked/"+ids[1]+"/discard", map[string]any{}).is(http.StatusUnprocessableEntity)
	if got := ops.post("/v1/parked/"+ids[1]+"/discard", map[string]any{"reason": "a test"}).is(http.StatusOK); got.at("state") != "discarded" {
		t.Errorf("to discard is answered with %s", got.body)
	}
	ops.post("/v1/parked/"+uuid.NewString()+"/retry", nil).is(http.StatusNotFound)
	for sql, want := range map[string]int{
		`SELECT count(*) FROM record.events WHERE type = 'parked.retried' AND actor = 'staff:` + ops.id + `'`:   1,
		`SELECT count(*) FROM record.events WHERE type = 'parked.discarded' AND actor = 'staff:` + ops.id + `'`: 1,
	} {
		var got int
		if err := s.Admin.QueryRow(t.Context(), sql).Scan(&got); err != nil || got != want {
			t.Errorf("%s gives %d, want %d, %v", sql, got, want, err)
		}
	}
}

// The switch of alerting over HTTP, and how the whole works.
func TestAlertingAndOperations(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	ops := s.staff(t, "Olga Operator", policy.ReplayDeliveries)
	if got := ops.get("/v1/alerting").is(http.StatusOK); got.at("paused") != false {
		t.Errorf("at first alerting is %s", got.body)
	}
	ops.post("/v1/alerting/pause", map[string]any{}).is(http.StatusUnprocessableEntity)
	ops.post("/v1/alerting/pause", map[string]any{"reason": " "}).is(http.StatusUnprocessableEntity)
	ops.post("/v1/alerting/pause", map[string]any{"reason": "x", "message_id": uuid.NewString()}).is(http.StatusNotFound)
	for range 2 { // pausing twice is pausing once
		got := ops.post("/v1/alerting/pause", map[string]any{"reason": "SendGrid reports trouble"}).is(http.StatusOK)
		if got.at("paused") != true || got.at("pauses.0.reason") != "SendGrid reports trouble" || got.at("pauses.0.message_id") != nil {
			t.Errorf("a pause is answered with %s", got.body)
		}
	}
	if got := ops.get("/v1/operations").is(http.StatusOK); got.at("consumers.0.name") != "fanout-bulk" || got.at("recorder.events") != 0.0 {
		t.Errorf("the whole works like this: %s", got.body)
	}
	if got := ops.post("/v1/alerting/resume", map[string]any{"reason": "over"}).is(http.StatusOK); got.at("paused") != false {
		t.Errorf("to resume is answered with %s", got.body)
	}

	other := s.staff(t, "Sam Staff", policy.SendPortalMessage, policy.ManageStaff, policy.ReadRecord)
	for _, path := range []string{"/v1/parked", "/v1/parked/" + uuid.NewString(), "/v1/alerting", "/v1/operations"} {
		other.get(path).is(http.StatusForbidden)
		s.anonymous(t).get(path).is(http.StatusUnauthorized)
	}
	for _, path := range []string{"/v1/alerting/pause", "/v1/alerting/resume", "/v1/parked/" + uuid.NewString() + "/retry", "/v1/parked/" + uuid.NewString() + "/discard"} {
		other.post(path, map[string]any{"reason": "x"}).is(http.StatusForbidden)
	}
}

func (w world) wrongOperating() (all []wrong) {
	const parked, retry, discard = "GET /v1/parked/{id}", "POST /v1/parked/{id}/retry", "POST /v1/parked/{id}/discard"
	const why = `{"reason":"x"}`
	none := "/v1/parked/" + w.theirs // the id of a message
	for _, call := range []string{"GET /v1/parked", "GET /v1/alerting", "GET /v1/operations"} {
		all = append(all, wrong{"no permission", w.bare, call, "", "", false, nil, 403, ""},
			wrong{"an unknown parameter", w.staff, call, call[4:] + "?name=x", "", false, nil, 422, "query.name"})
	}
	for _, call := range []string{"POST /v1/alerting/pause", "POST /v1/alerting/resume"} {
		all = append(all, wrong{"no permission", w.bare, call, "", why, false, nil, 403, ""},
			wrong{"no reason", w.staff, call, "", `{}`, false, nil, 422, "body.reason"},
			wrong{"a blank reason", w.staff, call, "", `{"reason":" "}`, false, nil, 422, "body.reason"},
			wrong{"a message that is none", w.staff, call, "", `{"reason":"x","message_id":"Xylophobia"}`, false, nil, 422, "body.message_id"},
			wrong{"no such message", w.staff, call, "", `{"reason":"x","message_id":"` + w.document + `"}`, false, nil, 404, ""})
	}
	return append(all,
		wrong{"not a number", w.staff, "GET /v1/parked", "/v1/parked?limit=x", "", false, nil, 422, "query.limit"},
		wrong{"a cursor of elsewhere", w.staff, "GET /v1/parked", "/v1/parked?cursor=x", "", false, nil, 422, "query.cursor"},
		wrong{"nothing parked", w.staff, parked, none, "", false, nil, 404, ""},
		wrong{"no permission", w.bare, parked, none, "", false, nil, 403, ""},
		wrong{"not an id", w.staff, parked, "/v1/parked/x", "", false, nil, 404, "path.id"},
		wrong{"nothing parked", w.staff, retry, none + "/retry", "", false, nil, 404, ""},
		wrong{"no permission", w.bare, retry, none + "/retry", "", false, nil, 403, ""},
		wrong{"nothing parked", w.staff, discard, none + "/discard", why, false, nil, 404, ""},
		wrong{"no reason", w.staff, discard, none + "/discard", `{}`, false, nil, 422, "body.reason"},
		wrong{"no permission", w.bare, discard, none + "/discard", why, false, nil, 403, ""})
}
