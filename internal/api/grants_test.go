package api_test

import (
	"net/http"
	"testing"

	"github.com/google/uuid"

	"postern/internal/access/policy"
)

// A permission to read or erase is requested by one administrator and approved by another one,
// who is signed in.
func TestGrants(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	ada, ben := s.staff(t, "Ada", policy.ManageStaff), s.staff(t, "Ben", policy.ManageStaff)
	noel := s.staff(t, "Noel", policy.SendPortalMessage)
	permissions := "/v1/staff/" + noel.id + "/permissions"
	asked := ada.json(http.MethodPut, permissions, map[string]any{"permissions": []string{"send_bulk_portal_message", "read_record"}}).is(http.StatusOK)
	if asked.at("permissions.0") != "send_bulk_portal_message" || asked.at("permissions.1") != nil ||
		asked.at("requested.0.permission") != "read_record" || asked.at("requested.0.requested_by") != "staff:"+ada.id {
		t.Errorf("it is answered with %s", asked.body)
	}
	noel.get("/v1/record").is(http.StatusForbidden)
	grant := "/v1/grants/" + asked.text("requested.0.id")
	ben.post(grant+"/approve", nil).is(http.StatusForbidden).isOf("session-needed")
	ada.session(s).post(grant+"/approve", nil).is(http.StatusForbidden).isOf("two-people")
	done := ben.session(s).post(grant+"/approve", nil).is(http.StatusOK)
	if done.at("state") != "approved" || done.at("settled_by") != "staff:"+ben.id {
		t.Errorf("it is answered with %s", done.body)
	}
	noel.get("/v1/record").is(http.StatusOK)
	if got := ada.get(permissions).is(http.StatusOK); got.at("permissions.0") != "read_record" || got.at("requested.0") != nil {
		t.Errorf("they hold %s", got.body)
	}
	ada.post(grant+"/withdraw", nil).is(http.StatusConflict).isOf("grant-settled")
	if list := ada.get("/v1/grants").is(http.StatusOK); list.at("items.0.state") != "approved" || list.at("next_cursor") != nil {
		t.Errorf("the list is %s", list.body)
	}
}

// isOf checks the kind of a problem.
func (r *reply) isOf(kind string) {
	r.t.Helper()
	if got := r.text("type"); got != "/problems/"+kind {
		r.t.Errorf("%s is answered with %s, want %s", r.asked, got, kind)
	}
}

func (w world) wrongGrants() (all []wrong) {
	const list, approve = "GET /v1/grants", "POST /v1/grants/{id}/approve"
	who := w.staff.session(w.system)
	all = append(all,
		wrong{"no permission", w.bare, list, "", "", false, nil, 403, ""},
		wrong{"no cursor", w.staff, list, "/v1/grants?cursor=x", "", false, nil, 422, "query.cursor"},
		wrong{"a token", w.staff, approve, "/v1/grants/" + uuid.NewString() + "/approve", "", false, nil, 403, ""})
	for _, verb := range []string{"/approve", "/withdraw"} {
		call, at := "POST /v1/grants/{id}"+verb, func(id string) string { return "/v1/grants/" + id + verb }
		all = append(all,
			wrong{"no permission", w.bare, call, at(uuid.NewString()), "", false, nil, 403, ""},
			wrong{"a portal user", w.pat, call, at(uuid.NewString()), "", false, nil, 401, ""},
			wrong{"no id", who, call, at("17"), "", false, nil, 404, "path.id"},
			wrong{"no request", who, call, at(uuid.NewString()), "", false, nil, 404, ""})
	}
	return all
}
