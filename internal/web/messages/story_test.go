package messages_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/directory/audience"
	"postern/internal/giveup"
	"postern/internal/web/webtest"
)

func TestMain(m *testing.M) { webtest.Main(m) }

// clinic is a site that sends messages.
type clinic struct{ *webtest.Site }

func open(t *testing.T) *clinic {
	t.Helper()
	return &clinic{webtest.New(t)}
}

// sender is the subject of a visitor who can send, for calls below the pages.
func sender(v *webtest.Visitor) policy.Subject {
	return policy.Subject{Realm: policy.RealmStaff, ID: v.ID, Permissions: policy.All}
}

// person is a portal user who does not visit the pages.
func (c *clinic) person(t *testing.T, id string) policy.Subject {
	t.Helper()
	return c.System.PortalUser(t, id)
}

// reads opens a message as a portal user.
func (c *clinic) reads(t *testing.T, who policy.Subject, id string) error {
	t.Helper()
	_, err := c.Web.Inbox.Open(t.Context(), who, uuid.MustParse(id))
	c.Settle(t)
	return err
}

type change func(*compose.Request)

func undo(seconds int) change { return func(r *compose.Request) { r.UndoSeconds = &seconds } }
func later(d time.Duration) change {
	return func(r *compose.Request) { at := time.Now().Add(d); r.SendAt = &at }
}
func bcc(who *webtest.Visitor) change {
	return func(r *compose.Request) { r.StaffBcc = append(r.StaffBcc, who.ID) }
}
func everybody(r *compose.Request) { r.Recipients.Groups = []audience.Group{audience.AllPortalUsers} }

// send sends a message to portal users and returns its id.
func (c *clinic) send(t *testing.T, v *webtest.Visitor, subject string, to string, changes ...change) string {
	t.Helper()
	return c.sendAs(t, sender(v), subject, to, changes...)
}

func (c *clinic) sendAs(t *testing.T, staff policy.Subject, subject string, to string, changes ...change) string {
	t.Helper()
	request := compose.Request{Subject: subject, Body: "The text of " + subject + ".",
		Recipients: audience.Selection{PortalUserIDs: strings.Fields(to)}}
	for _, change := range changes {
		change(&request)
	}
	sent, err := c.Compose.Send(t.Context(), staff, uuid.NewString(), request)
	if err != nil {
		t.Fatal(err)
	}
	c.Await(t, sent.Seq)
	return sent.ID.String()
}

// until loads the page after each event that the recorder handles, until it shows a text.
func (c *clinic) until(t *testing.T, v *webtest.Visitor, path, text string) *webtest.Page {
	t.Helper()
	deadline := time.After(giveup.After)
	for {
		changed := c.Position.Changed()
		page := v.Get(path)
		if strings.Contains(page.Text(), text) {
			return page
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("timeout: %s does not say %q: %s", path, text, page.Text())
		}
	}
}

// delivered sends a message and waits until its alerts have been accepted, too.
func (c *clinic) delivered(t *testing.T, v *webtest.Visitor, subject string, to string, changes ...change) string {
	t.Helper()
	id := c.send(t, v, subject, to, changes...)
	n := len(strings.Fields(to))
	c.until(t, v, "/messages/"+id, fmt.Sprintf("was accepted %d of %d", n, n))
	return id
}
