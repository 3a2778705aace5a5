package record_test

import (
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/events"
)

const why = "It went to the wrong person."

// Two staff members erase the content of a message, and all pages say so.
func TestTwoStaffMembersErase(t *testing.T) {
	t.Parallel()
	c := open(t)
	ann := c.Site.Staff(t, "Ann Admin", policy.EraseMessageContent)
	ben := c.Site.Staff(t, "Ben Admin", policy.EraseMessageContent)
	wendy := c.Site.Staff(t, "Wendy Too", policy.SendPortalMessage, policy.ReadRecord)

	ann.Get("/search?q=erasures").HasHTML(`href="/record/erasures"`)
	ann.Get("/record/erasures").Is(http.StatusOK).Says("6 years", "No erasures have been requested.").HasHTML(`href="/record/erasures/new"`)
	ann.Get("/record/erasures/new?message=" + c.message).Is(http.StatusOK).HasHTML(c.message)
	for _, wrong := range []struct{ message, reason, says string }{
		{"x", why, "the id of a message"}, {uuid.NewString(), why, "no message with this id"},
		{"x", " ", "the id of a message"}, {"x", " ", "Enter why"}, {c.message, "  ", "Enter why"}, {c.message, strings.Repeat("x", 501), "at most 500"},
	} {
		ann.Post("/record/erasures", url.Values{"message": {wrong.message}, "reason": {wrong.reason}}).Is(http.StatusUnprocessableEntity).Says(wrong.says)
	}
	asked := ann.Post("/record/erasures", url.Values{"message": {c.message}, "reason": {why}}).Is(http.StatusOK).
		Says("You requested the erasure", "Waiting for approval", why, "You requested this")
	at := "/record/erasures/" + path.Base(asked.URL.Path)
	ben.Post("/record/erasures", url.Values{"message": {c.message}, "reason": {"me too"}}).Is(http.StatusConflict).Says("asked for before")

	// The requester, a newer holder of the permission and a reader can't approve.
	asked.LacksHTML("Approve and erase")
	ann.Post(at+"/approve", nil).Is(http.StatusForbidden).Says("another staff member with the permission Erase Content has to approve it")
	c.Site.Staff(t, "Late Admin", policy.EraseMessageContent).Post(at+"/approve", nil).Is(http.StatusForbidden).Says("after this erasure was requested")
	c.reader.Get(at).Is(http.StatusOK).Says(why, "Ann Admin").LacksHTML("<button class=\"govuk-button govuk-button--warning\"")
	c.pat.Get("/portal/messages/" + c.message).Is(http.StatusOK).Says(secret)

	ben.Get("/record/erasures").Says("Ann Admin", why)
	ben.Get(at).Says("should be kept until", "You can’t undo this")
	ben.Post(at+"/approve", nil).Is(http.StatusOK).Says("The content was erased", "Erased", "by Ben Admin", "before the end of its retention period")
	ben.Post(at+"/approve", nil).Is(http.StatusConflict).Says("settled before")
	ann.Post(at+"/withdraw", nil).Is(http.StatusConflict)

	// No one can read it now, and the pages say so.
	c.pat.Get("/portal/messages/"+c.message).Is(http.StatusGone).LacksHTML(secret, "call us", "biopsy.pdf")
	c.pat.Get("/portal/messages/" + c.message + "/documents/" + c.plan.String() + "/download").Is(http.StatusGone)
	c.pat.Get("/portal").Is(http.StatusOK).LacksHTML(secret)
	wendy.Get("/messages/"+c.message).Is(http.StatusOK).
		Says("Message with erased content", "Ann Admin requested the erasure and Ben Admin approved it", why).LacksHTML(secret, "Request erasure of the content")
	c.reader.Get("/messages?whose=everybody").Says("The content was erased").LacksHTML(secret)
	// Its events stay, and show the erasure.
	c.reader.Get("/record/messages/"+c.message).Says("Message sent", "Message opened", "Erasure requested", "Content erased", "before its retention had ended")
	c.reader.Get("/record/erasures").Says("Erased", why)
	c.holds(t)
}

// A declined request erases nothing.
func TestADeclinedErasure(t *testing.T) {
	t.Parallel()
	c := open(t)
	ann := c.Site.Staff(t, "Ann Admin", policy.EraseMessageContent)
	ben := c.Site.Staff(t, "Ben Admin", policy.EraseMessageContent)
	asked := ann.Post("/record/erasures", url.Values{"message": {c.message}, "reason": {why}}).Is(http.StatusOK)
	ben.Post(asked.URL.Path+"/withdraw", nil).Is(http.StatusOK).Says("Nothing was erased", "Withdrawn", "by Ben Admin")
	ben.Post(asked.URL.Path+"/approve", nil).Is(http.StatusConflict)
	c.pat.Get("/portal/messages/" + c.message).Is(http.StatusOK).Says(secret)
	if c.count(t, events.TypeContentErased) != 0 {
		t.Error("an erasure was recorded")
	}
	for _, nowhere := range []string{"/record/erasures/x", "/record/erasures/" + uuid.NewString()} {
		ann.Get(nowhere).Is(http.StatusNotFound)
		ann.Post(nowhere+"/approve", nil).Is(http.StatusNotFound)
	}
}
