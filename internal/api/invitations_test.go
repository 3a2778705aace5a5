package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"postern/internal/access/policy"
)

// A program starts invitations, follows them, and stops them.
func TestInvitations(t *testing.T) {
	t.Parallel()
	var sent outbox
	s := newSystem(t, sent.install)
	s.Exec(t, `INSERT INTO app.portal_users (portal_user_id, name, email, active) VALUES ('ana', 'A', 'ana@x.example', true), ('bo', 'B', '', true)`)
	ada := s.staff(t, "Ada", policy.ImportDirectory)
	begun := ada.post("/v1/invitations", map[string]any{"portal_user_ids": []string{"ana", "bo"}}).is(http.StatusAccepted)
	id := begun.text("id")
	if begun.text("status") != "running" || begun.at("people") != 2.0 || begun.at("waiting") != 2.0 {
		t.Errorf("%s", begun.body)
	}
	if err := s.web.Letters.SendInvitations(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Settle(t)
	done := ada.get("/v1/invitations/" + id).is(http.StatusOK)
	if done.text("status") != "finished" || done.at("sent") != 1.0 || !strings.Contains(string(done.body), `"skipped":{"no_address":1}`) {
		t.Errorf("%s", done.body)
	}
	if all := sent.all(); len(all) != 1 || !strings.HasPrefix(all[0], "portal ana@x.example https://portal.example/portal/invitation#") {
		t.Errorf("%q", all)
	}
	ada.post("/v1/invitations/"+id+"/cancel", nil).is(http.StatusConflict)
	ada.post("/v1/invitations", map[string]any{"all_without_account": true}).is(http.StatusUnprocessableEntity) // invited just now
	s.Exec(t, `INSERT INTO app.portal_users (portal_user_id, name, email, active) VALUES ('cy', 'C', 'cy@x.example', true)`)
	more := ada.post("/v1/invitations", map[string]any{"all_without_account": true}).is(http.StatusAccepted).text("id")
	if stopped := ada.post("/v1/invitations/"+more+"/cancel", nil).is(http.StatusOK); stopped.text("status") != "cancelled" {
		t.Errorf("%s", stopped.body)
	}
}

func (w world) wrongInvitations() []wrong {
	const start, get, cancel = "POST /v1/invitations", "GET /v1/invitations/{id}", "POST /v1/invitations/{id}/cancel"
	unknown := "/v1/invitations/" + uuid.NewString()
	return []wrong{
		{name: "no one", who: w.staff, call: start, body: `{}`, status: http.StatusUnprocessableEntity, location: "body.portal_user_ids"},
		{name: "some and all", who: w.staff, call: start, body: `{"portal_user_ids":["pu-1"],"all_without_account":true}`, status: http.StatusUnprocessableEntity, location: "body"},
		{name: "an unknown portal user", who: w.staff, call: start, body: `{"portal_user_ids":["pu-1","nobody"]}`, status: http.StatusUnprocessableEntity, location: "body.portal_user_ids"},
		{name: "without the permission", who: w.bare, call: start, body: `{"portal_user_ids":["pu-1"]}`, status: http.StatusForbidden},
		{name: "unknown invitations", who: w.staff, call: get, path: unknown, status: http.StatusNotFound},
		{name: "not an id", who: w.staff, call: get, path: "/v1/invitations/x", status: http.StatusNotFound, location: "path.id"},
		{name: "unknown invitations", who: w.staff, call: cancel, path: unknown + "/cancel", status: http.StatusNotFound},
	}
}
