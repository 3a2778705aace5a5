package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"postern/internal/access/policy"
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
	for _, p := range []string{path, "/v1/record/key", "/v1/record/checkpoint"} {
		ada.get(p).is(http.StatusForbidden)
		pat.get(p).is(http.StatusUnauthorized)
	}
	rui.get("/v1/messages/" + id + "/deliveries/pu-2/receipt").is(http.StatusNotFound)
	rui.get("/v1/messages/" + uuid.NewString() + "/deliveries/pu-1/receipt").is(http.StatusNotFound)
}
