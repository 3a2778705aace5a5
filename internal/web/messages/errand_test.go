package messages_test

import (
	"testing"

	"postern/internal/access/policy"
	"postern/internal/web/webtest"
)

// A sender reads from the list of messages how a message stands.
func TestErrandReadTheStateOfAMessage(t *testing.T) {
	t.Parallel()
	c := open(t)
	who := c.NewStaff(t, "Sam Staff", policy.SendPortalMessage)
	c.person(t, "anna")
	c.sendAs(t, policy.Subject{Realm: policy.RealmStaff, ID: who.ID, Permissions: policy.All}, "Consent form", "anna")

	e := webtest.StaffErrand(t, c.Site, who)
	e.Click("Messages")
	e.Click("Consent form")
	e.Sees("Delivered to all recipients", "0 of 1 (0%)")
	e.Done()
}
