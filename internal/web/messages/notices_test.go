package messages_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"

	"postern/internal/access"
	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/messages/notice"
	"postern/internal/web/webtest"
)

// blasted sends a message to everybody, of whom SendGrid refuses anna, and waits until it has ended.
func (c *clinic) blasted(t *testing.T, who access.Staff, subject string) string {
	t.Helper()
	c.Refuse(func(address string) string {
		if strings.HasPrefix(address, "anna@") {
			return "The mailbox is full."
		}
		return ""
	})
	now := 0
	sam := policy.Subject{Realm: policy.RealmStaff, ID: who.ID, Permissions: policy.All}
	id := c.sendAs(t, sam, subject, "", everybody, func(r *compose.Request) { r.UndoSeconds = &now })
	c.noticed(t, sam, id)
	return id
}

// noticed waits until a message has its notice.
func (c *clinic) noticed(t *testing.T, who policy.Subject, id string) notice.Notice {
	t.Helper()
	for {
		changed := c.Position.Changed()
		if n, err := c.Web.Notices.Of(t.Context(), who, uuid.MustParse(id)); err == nil {
			return n
		}
		select {
		case <-changed:
		case <-t.Context().Done():
			t.Fatal("the message did not end")
		}
	}
}

// A sender learns from the number in the menu that a blast has ended, and sends the alerts that
// failed again. When the replay ends, the notice is new again.
func TestErrandLearnThatABlastHasEnded(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.person(t, "anna")
	c.person(t, "bo")
	who := c.NewStaff(t, "Sam Staff", policy.SendBulkPortalMessage, policy.ReplayDeliveries)
	id := c.blasted(t, who, "We move")
	c.Refuse(func(string) string { return "" })

	e := webtest.StaffErrand(t, c.Site, who)
	e.Sees("Notices (1")
	e.Click("Notices")
	e.Sees("We move", "New", "1 sent, 1 failed", "The mailbox is full.")
	e.Screenshot("notices")
	e.Accessible()
	e.Click("Plan a replay")
	e.Sees("1 alert would be repeated")
	e.Type("Why are you repeating these alerts?", "The mailbox has room again")
	e.Click("Make the plan")
	e.Click("Start the replay")
	e.Sees("Done", "1 of 1 (100%)")
	e.Done()

	sam := policy.Subject{Realm: policy.RealmStaff, ID: who.ID, Permissions: policy.All}
	if n := c.noticed(t, sam, id); !n.Replayed || n.Message.Progress.Alerted != 2 || len(n.Failures) != 0 {
		t.Errorf("after the replay the notice is %+v", n)
	}
}

// Notices are marked as read one by one, on the page of their message, or all together. Staff who
// may not plan replays learn whom to ask.
func TestStoryReadNotices(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.person(t, "anna")
	c.person(t, "bo")
	who := c.NewStaff(t, "Sam Staff", policy.SendBulkPortalMessage)
	first := c.blasted(t, who, "We move")
	c.blasted(t, who, "We have moved")
	c.blasted(t, who, "Our new address")
	b := webtest.OpenBrowser(t, c.Site)
	b.SignIn(who)
	b.Open("/notices")
	b.Sees("Notices (3", "ask a staff member with Replay Failed Deliveries")
	b.SeesNot("Plan a replay")
	b.AccessibleInAllViews()
	b.Click("Mark as read")
	b.Sees("The notice was marked as read.", "Notices (2")
	b.Open("/messages/" + first)
	b.Sees("This message ended")
	b.AccessibleInAllViews()
	b.Screenshot("message-ended")
	b.Click("Mark the notice as read")
	b.At("/messages/" + first)
	b.Sees("Notices (1")
	b.SeesNot("Mark the notice as read")
	b.Open("/notices?unread=on")
	b.Sees("We have moved")
	b.SeesNot("Our new address")
	b.Click("Mark all as read")
	b.SeesNot("Notices (1", "Mark all as read")
	b.Open("/notices?unread=on")
	b.Sees("No unread notices.")
	other := c.Staff(t, "Noel Novice", policy.SendPortalMessage)
	if got := other.Post("/notices/read", url.Values{"message": {first}, "seq": {"1"}}); got.Status != 404 {
		t.Errorf("another's notice is answered with %d", got.Status)
	}
}

// A sender who wants it gets one e-mail when a blast has ended. It says nothing of the message.
func TestStoryEMailAboutANotice(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.person(t, "bo")
	who := c.NewStaff(t, "Sam Staff", policy.SendBulkPortalMessage)
	b := webtest.OpenBrowser(t, c.Site)
	b.SignIn(who)
	b.Open("/account")
	b.AccessibleInAllViews()
	b.Click("E-mail me when a message I sent to a group has ended")
	b.Sees("You will get an e-mail when a message that you send to a group has ended.", "Turn these e-mails off")
	b.Screenshot("account-notices")
	c.blasted(t, who, "Sensitive things")
	mails := func() (n int) {
		t.Helper()
		if err := c.Web.Letters.SendEnded(t.Context()); err != nil {
			t.Fatal(err)
		}
		for mail := range c.Mails.Accepted() {
			if mail.To == who.Email {
				n++
				if text := fmt.Sprint(*mail.Letter); strings.Contains(text, "ensitive") || !strings.Contains(text, "has ended") {
					t.Errorf("the e-mail says %s", text)
				}
			}
		}
		return n
	}
	for range 2 {
		if n := mails(); n != 1 {
			t.Errorf("%d e-mails were sent", n)
		}
	}
	b.Click("Turn these e-mails off")
	b.Sees("You will get no e-mails when messages have ended.")
	c.blasted(t, who, "More sensitive things")
	if n := mails(); n != 1 {
		t.Errorf("%d e-mails were sent after they were switched off", n)
	}
}
