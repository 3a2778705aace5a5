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

// Two staff members erase what a message said, and everybody's pages say so.
func TestTwoStaffMembersErase(t *testing.T) {
	t.Parallel()
	c := open(t)
	ann := c.Site.Staff(t, "Ann Admin", policy.EraseMessageContent)
	ben := c.Site.Staff(t, "Ben Admin", policy.EraseMessageContent)
	wendy := c.Site.Staff(t, "Wendy Too", policy.SendPortalMessage, policy.ReadRecord)

	ann.Get("/search?q=erasures").Holds(`href="/record/erasures"`)
	ann.Get("/record/erasures").Is(http.StatusOK).Says("6 years", "Nobody has asked").Holds(`href="/record/erasures/new"`)
	ann.Get("/record/erasures/new?message=" + c.message).Is(http.StatusOK).Holds(c.message)
	for _, wrong := range []struct{ message, reason, says string }{
		{"x", why, "the id of a message"}, {uuid.NewString(), why, "no message with this id"},
		{"x", " ", "the id of a message"}, {"x", " ", "Enter why"}, {c.message, "  ", "Enter why"}, {c.message, strings.Repeat("x", 501), "at most 500"},
	} {
		ann.Post("/record/erasures", url.Values{"message": {wrong.message}, "reason": {wrong.reason}}).Is(http.StatusUnprocessableEntity).Says(wrong.says)
	}
	asked := ann.Post("/record/erasures", url.Values{"message": {c.message}, "reason": {why}}).Is(http.StatusOK).
		Says("It is asked for", "Waits for a second person", why, "You asked for this")
	at := "/record/erasures/" + path.Base(asked.URL.Path)
	ben.Post("/record/erasures", url.Values{"message": {c.message}, "reason": {"me too"}}).Is(http.StatusConflict).Says("asked for before")

	// Who asked can't agree, nor who got the permission since, nor a reader.
	asked.Hides("Agree, and erase")
	ann.Post(at+"/approve", nil).Is(http.StatusForbidden).Says("another staff member with the permission Erase Content has to approve it")
	c.Site.Staff(t, "Late Admin", policy.EraseMessageContent).Post(at+"/approve", nil).Is(http.StatusForbidden).Says("after this erasure was requested")
	c.reader.Get(at).Is(http.StatusOK).Says(why, "Ann Admin").Hides("<button class=\"govuk-button govuk-button--warning\"")
	c.pat.Get("/portal/messages/" + c.message).Is(http.StatusOK).Says(secret)

	ben.Get("/record/erasures").Says("Ann Admin", why)
	ben.Get(at).Says("should be kept until", "There is no way back")
	ben.Post(at+"/approve", nil).Is(http.StatusOK).Says("The content was erased", "Erased", "by Ben Admin", "before it had been kept for as long as it should")
	ben.Post(at+"/approve", nil).Is(http.StatusConflict).Says("settled before")
	ann.Post(at+"/withdraw", nil).Is(http.StatusConflict)

	// Nobody reads it any more, and everybody is told.
	c.pat.Get("/portal/messages/"+c.message).Is(http.StatusGone).Hides(secret, "call us", "biopsy.pdf")
	c.pat.Get("/portal/messages/" + c.message + "/documents/" + c.plan.String() + "/download").Is(http.StatusGone)
	c.pat.Get("/portal").Is(http.StatusOK).Hides(secret)
	wendy.Get("/messages/"+c.message).Is(http.StatusOK).
		Says("A message whose content was erased", "Ben Admin agreed to it, Ann Admin had asked for it", why).Hides(secret, "Ask for its content")
	c.reader.Get("/messages?whose=everybody").Says("The content was erased").Hides(secret)
	// Its events stand, and say what happened.
	c.reader.Get("/record/messages/"+c.message).Says("Message sent", "Message opened", "Erasure asked for", "Content erased", "before the retention had passed")
	c.reader.Get("/record/erasures").Says("Erased", why)
	c.holds(t)
}

// A request that is turned down is over, and erases nothing.
func TestAnErasureIsTurnedDown(t *testing.T) {
	t.Parallel()
	c := open(t)
	ann := c.Site.Staff(t, "Ann Admin", policy.EraseMessageContent)
	ben := c.Site.Staff(t, "Ben Admin", policy.EraseMessageContent)
	asked := ann.Post("/record/erasures", url.Values{"message": {c.message}, "reason": {why}}).Is(http.StatusOK)
	ben.Post(asked.URL.Path+"/withdraw", nil).Is(http.StatusOK).Says("Nothing was erased", "Withdrawn", "by Ben Admin")
	ben.Post(asked.URL.Path+"/approve", nil).Is(http.StatusConflict)
	c.pat.Get("/portal/messages/" + c.message).Is(http.StatusOK).Says(secret)
	if c.count(t, events.TypeContentErased) != 0 {
		t.Error("the record says that it was erased")
	}
	for _, nowhere := range []string{"/record/erasures/x", "/record/erasures/" + uuid.NewString()} {
		ann.Get(nowhere).Is(http.StatusNotFound)
		ann.Post(nowhere+"/approve", nil).Is(http.StatusNotFound)
	}
}
