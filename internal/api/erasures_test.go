package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"postern/internal/access/policy"
)

// One staff member requests an erasure and another approves it, as on the pages.
func TestErasures(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	ada := s.staff(t, "Ada", policy.SendPortalMessage)
	ann, ben := s.staff(t, "Ann", policy.EraseMessageContent), s.staff(t, "Ben", policy.EraseMessageContent)
	reader := s.staff(t, "Rita", policy.ReadRecord)
	pat := s.portalUser(t, "pu-1")
	id := ada.send(letter("s", "pu-1"))
	ask := func(c *client, message, reason string) *reply {
		return c.post("/v1/erasures", map[string]any{"message_id": message, "reason": reason})
	}
	ask(ann, id, "It is wrong.").is(http.StatusConflict).isProblem(t, "")
	s.Deliver(t, uuid.MustParse(id))
	for _, c := range []*client{ada, reader, s.staff(t, "Max", policy.ManageStaff)} {
		ask(c, id, "It is wrong.").is(http.StatusForbidden)
	}
	ask(ann, uuid.NewString(), "It is wrong.").is(http.StatusNotFound)
	ask(ann, id, " ").is(http.StatusUnprocessableEntity)

	asked := ask(ann, id, "It is wrong.").is(http.StatusCreated)
	erasure := "/v1/erasures/" + asked.text("id")
	if asked.at("status") != "requested" || asked.at("settled_by") != nil || asked.at("message_id") != id {
		t.Errorf("it is answered with %s", asked.body)
	}
	ask(ben, id, "It is wrong.").is(http.StatusConflict)
	ben.post(erasure+"/approve", nil).is(http.StatusForbidden).isOf("session-needed")
	ann, ben = ann.session(s), ben.session(s)
	ann.post(erasure+"/approve", nil).is(http.StatusForbidden).isOf("own-erasure")
	reader.post(erasure+"/approve", nil).is(http.StatusForbidden)
	pat.get("/v1/portal/messages/" + id).is(http.StatusOK)
	done := ben.post(erasure+"/approve", nil).is(http.StatusOK)
	if done.at("status") != "erased" || done.at("settled_by") != "staff:"+ben.id || done.at("early") != true {
		t.Errorf("it is answered with %s", done.body)
	}
	ben.post(erasure+"/withdraw", nil).is(http.StatusConflict)
	pat.get("/v1/portal/messages/" + id).is(http.StatusGone)
	if list := reader.get("/v1/erasures").is(http.StatusOK); list.at("items.0.status") != "erased" || list.at("next_cursor") != nil {
		t.Errorf("the list is %s", list.body)
	}
	reader.get("/v1/erasures?cursor=x").is(http.StatusUnprocessableEntity)
	ada.get("/v1/erasures").is(http.StatusForbidden)
}

// wrongErasures are asked with the permission to erase, and without.
func (w world) wrongErasures() (all []wrong) {
	const ask, list = "POST /v1/erasures", "GET /v1/erasures"
	body := func(message, reason string) string {
		return `{"message_id":"` + message + `","reason":"` + reason + `"}`
	}
	all = append(all,
		wrong{"unauthenticated", w.unauthenticated(), ask, "", body(w.theirs, "x"), false, nil, 401, ""},
		wrong{"no permission", w.bare, ask, "", body(w.theirs, "x"), false, nil, 403, ""},
		wrong{"no id", w.staff, ask, "", body("17", "x"), false, nil, 422, "body.message_id"},
		wrong{"no message", w.staff, ask, "", body(uuid.NewString(), "x"), false, nil, 404, ""},
		wrong{"no reason", w.staff, ask, "", body(w.theirs, "  "), false, nil, 422, "body.reason"},
		wrong{"long reason", w.staff, ask, "", body(w.theirs, strings.Repeat("x", 501)), false, nil, 422, "body.reason"},
		wrong{"unknown member", w.staff, ask, "", `{"message":"x"}`, false, nil, 422, ""},
		wrong{"no permission", w.bare, list, "", "", false, nil, 403, ""},
		wrong{"no cursor", w.staff, list, list[4:] + "?cursor=x", "", false, nil, 422, "query.cursor"},
		wrong{"no limit", w.staff, list, list[4:] + "?limit=501", "", false, nil, 422, "query.limit"},
	)
	for _, verb := range []string{"/approve", "/withdraw"} {
		call := ask + "/{id}" + verb
		at := func(id string) string { return "/v1/erasures/" + id + verb }
		who := w.staff.session(w.system)
		all = append(all,
			wrong{"no permission", w.bare, call, at(uuid.NewString()), "", false, nil, 403, ""},
			wrong{"a portal user", w.pat, call, at(uuid.NewString()), "", false, nil, 401, ""},
			wrong{"no id", who, call, at("17"), "", false, nil, 404, "path.id"},
			wrong{"no erasure", who, call, at(uuid.NewString()), "", false, nil, 404, ""})
	}
	return append(all, wrong{"a token", w.staff, ask + "/{id}/approve", "/v1/erasures/" + uuid.NewString() + "/approve", "", false, nil, 403, ""})
}
