package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"postern/internal/access/policy"
)

// A person opens the content of one message with a reason, and another one reviews it.
func TestEmergencies(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	ada := s.staff(t, "Ada", policy.SendPortalMessage)
	s.portalUser(t, "pu-1")
	id := ada.send(letter("Your results", "pu-1"))
	s.Deliver(t, uuid.MustParse(id))
	eve, rae := s.staff(t, "Eve", policy.EmergencyAccess), s.staff(t, "Rae", policy.ReadRecord)
	ask := map[string]any{"message_id": id, "reason": "Their doctor is away."}
	eve.post("/v1/emergency", ask).is(http.StatusForbidden).isOf("session-needed")
	ada.session(s).post("/v1/emergency", ask).is(http.StatusForbidden).isOf("forbidden")
	eve, rae = eve.session(s), rae.session(s)
	opened := eve.post("/v1/emergency", ask).is(http.StatusCreated)
	at := "/v1/emergency/" + opened.text("id")
	if opened.at("state") != "open" || opened.at("message_id") != id || opened.at("reads") != 0.0 {
		t.Errorf("it is answered with %s", opened.body)
	}
	if got := eve.get(at + "/content").is(http.StatusOK); got.at("subject") != "Your results" || got.at("body") == "" {
		t.Errorf("the content is %s", got.body)
	}
	eve.get(at + "/attachments/" + uuid.NewString()).is(http.StatusNotFound)
	eve.get(at + "/disclosures").is(http.StatusNotFound)
	if got := rae.get(at).is(http.StatusOK); got.at("reads") != 2.0 || got.at("readings.0.what") != "content" || got.at("readings.1.what") != "document" {
		t.Errorf("it is %s", got.body)
	}
	rae.get(at + "/content").is(http.StatusForbidden)
	rae.post(at+"/review", map[string]any{"note": "Why?"}).is(http.StatusConflict).isOf("emergency-open")
	if ended := eve.post(at+"/end", nil).is(http.StatusOK); ended.at("state") != "ended" {
		t.Errorf("it is answered with %s", ended.body)
	}
	eve.get(at + "/content").is(http.StatusConflict).isOf("emergency-over")
	if done := rae.post(at+"/review", map[string]any{"note": "It was needed."}).is(http.StatusOK); done.at("state") != "reviewed" {
		t.Errorf("it is answered with %s", done.body)
	}
	rae.post(at+"/review", map[string]any{"note": "Again."}).is(http.StatusConflict).isOf("emergency-reviewed")
	for _, who := range []*client{eve, rae} {
		if list := who.get("/v1/emergency").is(http.StatusOK); list.at("items.0.note") != "It was needed." {
			t.Errorf("the list is %s", list.body)
		}
	}
	if ops := s.staff(t, "Oli", policy.ReplayDeliveries).get("/v1/operations").is(http.StatusOK); ops.at("emergencies.opened") != 1.0 || ops.at("emergencies.unreviewed") != 0.0 {
		t.Errorf("the state is %s", ops.body)
	}
}

func (w world) wrongEmergencies() (all []wrong) {
	const list, open, review = "GET /v1/emergency", "POST /v1/emergency", "POST /v1/emergency/{id}/review"
	in, rae := w.staff.session(w.system), w.system.staff(w.bare.t, "Rae Review", policy.ReadRecord).session(w.system)
	body := func(what, reason string) string { return `{` + what + `,"reason":"` + reason + `"}` }
	unknown := uuid.NewString()
	all = append(all,
		wrong{"no permission", w.bare, list, "", "", false, nil, 403, ""},
		wrong{"no cursor", w.staff, list, "/v1/emergency?cursor=x", "", false, nil, 422, "query.cursor"},
		wrong{"a token", w.staff, open, "", body(`"message_id":"`+w.theirs+`"`, "x"), false, nil, 403, ""},
		wrong{"no id", in, open, "", body(`"message_id":"17"`, "x"), false, nil, 422, "body.message_id"},
		wrong{"nothing", in, open, "", `{"reason":"x"}`, false, nil, 422, "body"},
		wrong{"both", in, open, "", body(`"message_id":"`+w.theirs+`","patient_id":"p"`, "x"), false, nil, 422, "body"},
		wrong{"no message", in, open, "", body(`"message_id":"`+unknown+`"`, "x"), false, nil, 404, ""},
		wrong{"no patient", in, open, "", body(`"patient_id":"unknown"`, "x"), false, nil, 404, ""},
		wrong{"no reason", in, open, "", body(`"message_id":"`+w.theirs+`"`, "  "), false, nil, 422, "body.reason"},
		wrong{"long reason", in, open, "", body(`"message_id":"`+w.theirs+`"`, strings.Repeat("x", 501)), false, nil, 422, "body.reason"},
		wrong{"no note", rae, review, "/v1/emergency/" + unknown + "/review", `{"note":" "}`, false, nil, 422, "body.note"},
		wrong{"no permission", w.bare, review, "/v1/emergency/" + unknown + "/review", `{"note":"x"}`, false, nil, 403, ""},
		wrong{"unknown", rae, review, "/v1/emergency/" + unknown + "/review", `{"note":"x"}`, false, nil, 404, ""})
	for _, call := range []string{"GET /v1/emergency/{id}", "GET /v1/emergency/{id}/content", "GET /v1/emergency/{id}/attachments/{attachment_id}",
		"GET /v1/emergency/{id}/disclosures", "POST /v1/emergency/{id}/end"} {
		_, path, _ := strings.Cut(strings.Replace(call, "{attachment_id}", unknown, 1), " ")
		all = append(all,
			wrong{"a token", w.staff, call, strings.Replace(path, "{id}", unknown, 1), "", false, nil, 403, ""},
			wrong{"no id", in, call, strings.Replace(path, "{id}", "17", 1), "", false, nil, 404, "path.id"},
			wrong{"unknown", in, call, strings.Replace(path, "{id}", unknown, 1), "", false, nil, 404, ""})
	}
	return all
}
