package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/events"
	"postern/internal/proof/receipt"
)

// What a reviewer takes away: the checkpoint, the key, and a receipt that both
// prove. No other client gets any of them.
func TestWhatAReviewerTakesAway(t *testing.T) {
	s := newSystem(t)
	ada := s.staff(t, "Ada Sender", policy.SendPortalMessage)
	rui := s.staff(t, "Rui Reviewer", policy.ReadRecord)
	both := s.staff(t, "Bo Both", policy.ReadRecord, policy.SendPortalMessage)
	pat := s.portalUser(t, "pu-1")
	up := both.upload("results.pdf", pdf).is(http.StatusCreated)
	message := letter("Your results", "pu-1")
	message["attachment_ids"] = []string{up.text("id")}
	id := both.send(message)
	s.Deliver(t, uuid.MustParse(id))
	path := "/v1/messages/" + id + "/deliveries/pu-1/receipt"

	key := rui.get("/v1/record/key").is(http.StatusOK)
	if !strings.HasPrefix(string(key.body), "clinic.example/record+") || key.header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("the key is %s, as %s", key.body, key.header.Get("Content-Type"))
	}
	proof := rui.get(path).is(http.StatusOK)
	r, c, err := receipt.Verify(proof.body, string(key.body))
	if err != nil {
		t.Fatal(err)
	}
	if text := string(rui.get("/v1/record/checkpoint").is(http.StatusOK).body); !strings.HasPrefix(text, c.Origin+"\n") {
		t.Errorf("the checkpoint is %s", text)
	}
	if sent, err := r.IsBody([]byte(message["body"].(string))); !sent || err != nil {
		t.Errorf("the body: %v, %v", sent, err)
	}
	if _, sent, err := r.IsDocument(pdf); !sent || err != nil {
		t.Errorf("the document: %v, %v", sent, err)
	}
	if strings.Contains(string(proof.body), "results.pdf") {
		t.Error("who may not read the message learns how its documents are called")
	}
	if own := both.get(path).is(http.StatusOK); !strings.Contains(string(own.body), "results.pdf") {
		t.Error("the sender does not learn how the documents are called")
	}
	ada.get(path).is(http.StatusForbidden)
	pat.get(path).is(http.StatusUnauthorized)
	// A portal user with a receipt can get the key.
	if public := pat.get("/v1/record/key").is(http.StatusOK); string(public.body) != string(key.body) {
		t.Errorf("a portal user gets the key %s", public.body)
	}
	rui.get("/v1/messages/" + id + "/deliveries/pu-2/receipt").is(http.StatusNotFound)
	rui.get("/v1/messages/" + uuid.NewString() + "/deliveries/pu-1/receipt").is(http.StatusNotFound)
}

// A portal user gets the receipt of their own message, without opening it. It names
// neither other recipients nor the staff who got a copy. It is on the record that they did.
func TestAPortalUserTakesTheirOwnReceipt(t *testing.T) {
	s := newSystem(t)
	ada := s.staff(t, "Ada Sender", policy.SendPortalMessage)
	rui := s.staff(t, "Rui Reviewer", policy.ReadRecord)
	bo := s.staff(t, "Bo Copied", policy.SendPortalMessage)
	pat, other := s.portalUser(t, "pu-1"), s.portalUser(t, "pu-2")
	message := letter("Your results", "pu-1", "pu-2")
	message["staff_bcc"] = []string{bo.id}
	id := ada.send(message)
	s.Deliver(t, uuid.MustParse(id))
	s.Record(t, "process:test", events.AlertOutcome{MessageID: uuid.MustParse(id), Chunks: 1, Attempt: 1, Recipients: 2, State: events.AlertAccepted,
		Exceptions: []events.AlertException{{PortalUserID: "pu-2", PortalUserNo: 2, State: events.AlertFailed}}, Requests: []events.AlertRequest{}})
	own := "/v1/portal/messages/" + id + "/receipt"

	proof := pat.get(own).is(http.StatusOK)
	for _, name := range []string{"pu-2", bo.id} {
		if strings.Contains(string(proof.body), name) {
			t.Errorf("it names %s", name)
		}
	}
	r, _, err := receipt.Verify(proof.body, string(rui.get("/v1/record/key").is(http.StatusOK).body))
	if err != nil || r.PortalUserID != "pu-1" {
		t.Errorf("%+v, %v", r, err)
	}
	s.portalUser(t, "pu-3").get(own).is(http.StatusNotFound)
	if theirs := other.get(own).is(http.StatusOK); strings.Contains(string(theirs.body), "pu-1") || !strings.Contains(string(theirs.body), "attempt 1: failed") {
		t.Errorf("the other's says %s", theirs.body)
	}
	pat.get("/v1/portal/messages/" + uuid.NewString() + "/receipt").is(http.StatusNotFound)
	rui.get(own).is(http.StatusUnauthorized)
	s.Settle(t)
	var issued, opened int
	if err := s.Admin.QueryRow(t.Context(), `SELECT count(*) FILTER (WHERE type = 'receipt.issued' AND actor = 'portal_user:pu-1'), count(*) FILTER (WHERE type = 'delivery.opened')
		FROM record.events`).Scan(&issued, &opened); err != nil || issued != 1 || opened != 0 {
		t.Errorf("the record has %d receipts and %d openings, %v", issued, opened, err)
	}
}

// A message from before people were hidden has a receipt that names others. A portal user does
// not get it.
func TestAReceiptThatNamesOthers(t *testing.T) {
	s := newSystem(t)
	ada := s.staff(t, "Ada Sender", policy.SendPortalMessage)
	pat := s.portalUser(t, "pu-1")
	s.portalUser(t, "pu-2")
	id := ada.send(letter("Your results", "pu-1", "pu-2"))
	s.DeliverInFormat1(t, uuid.MustParse(id))
	if refused := pat.get("/v1/portal/messages/" + id + "/receipt").is(http.StatusConflict); !strings.Contains(string(refused.body), "ask the clinic") || strings.Contains(string(refused.body), "pu-2") {
		t.Errorf("it says %s", refused.body)
	}
}
