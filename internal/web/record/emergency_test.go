package record_test

import (
	"net/http"
	"net/url"
	"path"
	"testing"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/events"
)

// A person reads a message by emergency access, and a reader of the record reviews it.
func TestEmergencyAccess(t *testing.T) {
	t.Parallel()
	c := open(t)
	eve := c.Site.Staff(t, "Eve Urgent", policy.EmergencyAccess)
	for _, wrong := range []struct{ message, patient, reason, says string }{
		{"", "", why, "and not both"}, {c.message, "p", why, "and not both"}, {"x", "", why, "the id of a message"},
		{uuid.NewString(), "", why, "no message with this id"}, {"", "unknown", why, "no one with this id"}, {c.message, "", " ", "Enter why you need it now"},
	} {
		eve.Post("/emergency", url.Values{"message": {wrong.message}, "patient": {wrong.patient}, "reason": {wrong.reason}}).
			Is(http.StatusUnprocessableEntity).Says(wrong.says)
	}
	opened := eve.Post("/emergency", url.Values{"message": {c.message}, "reason": {"Their doctor\r\nis away."}}).Is(http.StatusOK).
		Says("You opened emergency access", "Their doctor is away.", "Nothing has been read.").LacksHTML(secret)
	at := "/emergency/" + path.Base(opened.URL.Path)
	eve.Get(at+"/read").Is(http.StatusOK).Says(secret, "You read this by emergency access")
	eve.Get(at + "/documents/" + c.plan.String()).Is(http.StatusOK)
	if n := c.count(t, events.TypeEmergencyRead); n != 2 {
		t.Errorf("%d readings are recorded", n)
	}
	c.reader.Get(at + "/read").Is(http.StatusForbidden).LacksHTML(secret)
	c.reader.Get("/emergency").Says("Not reviewed yet", "Eve Urgent", "Their doctor is away.", "2 times")
	c.reader.Get(at).Says("The content of the message", "A document", "End it now").LacksHTML("Record the review", secret)
	c.reader.Post(at+"/review", url.Values{"note": {"Fine."}}).Is(http.StatusConflict).Says("can still be used")
	c.reader.Post(at+"/end", nil).Is(http.StatusOK).Says("has ended", "To be reviewed")
	eve.Get(at + "/read").Is(http.StatusConflict).LacksHTML(secret)
	c.reader.Post(at+"/review", url.Values{"note": {" "}}).Is(http.StatusUnprocessableEntity).Says("Enter what you found")
	c.reader.Post(at+"/review", url.Values{"note": {"It was needed."}}).Is(http.StatusOK).Says("Reviewed", "It was needed.")
	c.reader.Get("/emergency").Says("Every use of emergency access has been reviewed.")
	c.reader.Get("/record/messages/"+c.message).Says("opened emergency access", "by emergency access")
	c.holds(t)
}
