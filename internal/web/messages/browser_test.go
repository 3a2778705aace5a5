package messages_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/web/webtest"
)

// atBrowser is the browser of a staff member who has signed in.
func (c *clinic) atBrowser(t *testing.T, name string, permissions ...policy.Permission) (*webtest.Browser, policy.Subject) {
	t.Helper()
	who := c.NewStaff(t, name, permissions...)
	b := webtest.OpenBrowser(t, c.Site)
	b.SignIn(who)
	return b, policy.Subject{Realm: policy.RealmStaff, ID: who.ID, Permissions: policy.All}
}

// The page of a message that is being sent refreshes its numbers automatically.
func TestStoryFollowAMessage(t *testing.T) {
	t.Parallel()
	c := open(t)
	b, sam := c.atBrowser(t, "Sam Staff", policy.SendPortalMessage)
	anna := c.person(t, "anna")
	c.person(t, "bo")
	at := time.Now().Add(5 * time.Minute)
	id := c.sendAs(t, sam, "Consent form", "anna bo", func(r *compose.Request) { r.SendAt = &at })

	b.Open("/messages")
	b.Click("Consent form")
	b.At("/messages/" + id)
	b.Sees("Scheduled", "The message goes out", "Cancel sending")
	b.AccessibleInAllViews()
	c.Clock.Advance(6 * time.Minute) // it is time
	b.Sees("Delivered to all recipients", "Recall", "2 of 2 (100%)", "The alert e-mail was accepted")
	b.SeesNot("Cancel sending", "Not yet")
	b.Accessible()
	if err := c.reads(t, anna, id); err != nil {
		t.Fatal(err)
	}
	b.Reload()
	b.Click("1 of 2 (50%)")
	b.At("/messages/" + id + "/recipients?opened=true")
	b.Sees("Name of anna", "Alerted")
	b.SeesNot("Name of bo")
	b.AccessibleInAllViews()
	b.Screenshot("recipients")
}

// The page of a half-sent message to a large group shows bars and numbers. Screen readers
// announce each quarter, not each number.
func TestStoryProgressOfALargeMessage(t *testing.T) {
	t.Parallel()
	c := open(t)
	b, sam := c.atBrowser(t, "Sam Staff", policy.SendPortalMessage, policy.SendBulkPortalMessage)
	c.person(t, "anna")
	at := time.Now().Add(24 * time.Hour)
	id := c.sendAs(t, sam, "The practice is closed on Monday", "anna", func(r *compose.Request) { r.SendAt = &at }, everybody)
	moved := func(delivered int) {
		c.Exec(t, `UPDATE record.messages SET status = 'sending', released_at = now(), audience = 120000, delivered = $2,
			alert_accepted = $2 * 9 / 10, alert_failed = $2 / 100, alert_skipped = $2 / 20 WHERE message_id = $1`, id, delivered)
	}
	moved(31_000)
	b.Open("/messages/" + id)
	b.Sees("The message is going out.", "31,000 of 120,000 (25%)", "27,900 of 120,000")
	moved(40_000)
	b.Sees("40,000 of 120,000 (33%)")
	if said := webtest.Evaluate[string](b, `document.getElementById("announcement").textContent`); said != "" {
		t.Errorf("within a quarter is read out: %s", said)
	}
	b.TabTo("Recall")
	moved(73_204)
	b.Sees("73,204 of 120,000 (61%)", "Sending. 73,204 of 120,000 delivered")
	b.Focuses("Recall")
	b.AccessibleInAllViews()
	b.Screenshot("message-sending")
}

// Undo within ten seconds: the seconds count down, and one press cancels the message.
func TestStoryUndo(t *testing.T) {
	t.Parallel()
	c := open(t)
	b, sam := c.atBrowser(t, "Sam Staff", policy.SendPortalMessage, policy.SendBulkPortalMessage)
	c.person(t, "anna")
	hold := 600
	id := c.sendAs(t, sam, "Too early", "", everybody, func(r *compose.Request) { r.UndoSeconds = &hold })
	b.Open("/messages/" + id)
	b.Sees("About to go out", "The message goes out in")
	b.AccessibleInAllViews()
	c.Clock.Advance(480 * time.Second)
	b.Sees("The message goes out in 1") // hundred and so many seconds
	b.Screenshot("message-undo")
	b.TabTo("Undo sending")
	b.Press("Enter")
	b.Sees("Undone. No one will receive the message.", "Cancelled")
	b.SeesNot("Undo sending")
	b.AccessibleInAllViews()
}

// Recall asks for a reason, explains its limits, and gives an error without a reason.
func TestStoryRecall(t *testing.T) {
	t.Parallel()
	c := open(t)
	b, sam := c.atBrowser(t, "Sam Staff", policy.SendPortalMessage)
	anna := c.person(t, "anna")
	id := c.sendAs(t, sam, "Wrong file", "anna")
	b.Open("/messages/" + id)
	b.Sees("Delivered to all recipients")
	if err := c.reads(t, anna, id); err != nil {
		t.Fatal(err)
	}
	b.Click("Recall")
	b.Sees("1 of 1 has already opened it")
	b.AccessibleInAllViews()
	b.Click("Recall the message")
	b.Sees("Enter why you are recalling the message")
	b.AccessibleInAllViews()
	b.Click("Enter why you are recalling the message")
	b.Press("I", "t", " ", "w", "a", "s")
	b.Screenshot("recall")
	b.Click("Recall the message")
	b.Sees("The message was recalled.", "Recorded reason: It was")
	b.AccessibleInAllViews()
}

// The list of messages in every state.
func TestStoryTheList(t *testing.T) {
	t.Parallel()
	c := open(t)
	b, sam := c.atBrowser(t, "Sam Staff", policy.SendPortalMessage, policy.SendBulkPortalMessage, policy.ReadRecord)
	b.Open("/messages")
	b.Sees("No messages yet.")
	b.AccessibleInAllViews()
	for _, id := range []string{"anna", "bo", "cy"} {
		c.person(t, id)
	}
	later := time.Now().Add(48 * time.Hour)
	c.sendAs(t, sam, "Your consent form for the summer camp", "anna bo cy")
	c.sendAs(t, sam, "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft", "anna")
	c.sendAs(t, sam, "We wish you happy holidays", "", everybody, func(r *compose.Request) { r.SendAt = &later })
	held := 0
	gone := c.sendAs(t, sam, "Aftercare instructions", "bo", func(r *compose.Request) { r.StaffBcc = []string{sam.ID}; r.UndoSeconds = &held })
	b.Open("/messages/" + gone)
	b.Sees("Delivered to all recipients")
	if err := c.Compose.Recall(t.Context(), sam, uuid.MustParse(gone), "The wrong file was attached"); err != nil {
		t.Fatal(err)
	}
	b.Open("/messages")
	b.Sees("Your consent form", "All Portal Users", "Recalled")
	b.AccessibleInAllViews()
	b.Screenshot("messages")
	b.Phone()
	b.Screenshot("messages-phone")
	b.Wide()
	b.Dark()
	b.Screenshot("messages-dark")
	b.Light()
	b.Choose("Status", "Scheduled")
	b.Click("Apply filters")
	b.SeesNot("Aftercare instructions")
	b.Sees("We wish you happy holidays")
	b.Type("Words in the subject", "nothing like it")
	b.Press("Enter")
	b.Sees("No message matches.")
	b.AccessibleInAllViews()
	b.Click("Clear the filters.")
	b.Sees("Aftercare instructions")
	b.Open("/messages?from=yesterday")
	b.Sees("Enter a day as year, month and day")
	b.AccessibleInAllViews()
	b.Open("/messages/bcc")
	b.Sees("Aftercare instructions", "Messages that name you as Staff Bcc")
	b.AccessibleInAllViews()
	b.Click("Aftercare instructions")
	b.Sees("The message was recalled")
	b.AccessibleInAllViews()
	b.Screenshot("message-recalled")
}
