package messages_test

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/compose/draft"
	"postern/internal/text/zone"
	"postern/internal/web/webtest"
)

// drafts is the number of drafts of a staff member.
func (c *clinic) drafts(t *testing.T, of *webtest.Visitor) (n int) {
	t.Helper()
	if err := c.Admin.QueryRow(t.Context(), `SELECT count(*) FROM app.drafts WHERE staff_id = $1`, of.ID).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Edit opens a copy of a message: after Undo, while it is scheduled (which cancels it), and
// after a recall. Pressed twice, it opens the same draft.
func TestEditAndSendAgain(t *testing.T) {
	t.Parallel()
	at := time.Now().Add(100 * time.Hour).Truncate(time.Minute)
	scheduled := func(r *compose.Request) { r.SendAt = &at }
	for name, one := range map[string]struct {
		hold   change
		before func(t *testing.T, c *clinic, sam *webtest.Visitor, id string) *webtest.Page // the page with the button
		button string
		when   draft.When
	}{
		"undone": {hold: undo(600), button: "Edit and send again", before: func(t *testing.T, c *clinic, sam *webtest.Visitor, id string) *webtest.Page {
			return sam.Post("/messages/"+id+"/cancel", nil).Is(http.StatusOK)
		}},
		"scheduled": {hold: scheduled, button: "Cancel sending and edit", when: draft.WhenAt(&at, zone.Clinic()), before: func(t *testing.T, c *clinic, sam *webtest.Visitor, id string) *webtest.Page {
			return sam.Get("/messages/" + id).Is(http.StatusOK)
		}},
		"cancelled": {hold: scheduled, button: "Edit and send again", when: draft.WhenAt(&at, zone.Clinic()), before: func(t *testing.T, c *clinic, sam *webtest.Visitor, id string) *webtest.Page {
			return sam.Post("/messages/"+id+"/cancel", nil).Is(http.StatusOK)
		}},
		"recalled": {hold: undo(0), button: "Edit and send again", before: func(t *testing.T, c *clinic, sam *webtest.Visitor, id string) *webtest.Page {
			c.until(t, sam, "/messages/"+id, "Delivered to all recipients")
			return sam.Post("/messages/"+id+"/recall", url.Values{"reason": {"the wrong file"}}).Is(http.StatusOK)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := open(t)
			c.person(t, "anna")
			c.person(t, "bo")
			sam := c.Staff(t, "Sam Staff", policy.SendPortalMessage, policy.SendBulkPortalMessage)
			bea := c.Staff(t, "Bea Bcc", policy.SendPortalMessage, policy.ReadRecord)
			document, err := c.Compose.Upload(t.Context(), sender(sam), "Consent.pdf", strings.NewReader("%PDF-1.4\n%%EOF\n"))
			if err != nil {
				t.Fatal(err)
			}
			id := c.send(t, sam, "Consent form", "anna bo", everybody, bcc(bea), one.hold, func(r *compose.Request) {
				r.AttachmentIDs, r.Body = []uuid.UUID{document.ID}, "First line.\nSecond line."
			})
			// By then the upload from which the document was sent has been deleted.
			c.Exec(t, `DELETE FROM app.attachments`)
			one.before(t, c, sam, id).Says(one.button).HasHTML(`/messages/` + id + `/edit"`)
			bea.Get("/messages/" + id).Is(http.StatusOK).LacksHTML(one.button)
			bea.Post("/messages/"+id+"/edit", nil).Is(http.StatusNotFound)

			opened := sam.Post("/messages/"+id+"/edit", nil).Is(http.StatusOK).HasHTML(`value="Consent form"`).Says("Consent.pdf", "15 bytes", "Name of anna", "All Portal Users", "Bea Bcc", "a copy of a message that was cancelled or recalled")
			again := sam.Post("/messages/"+id+"/edit", nil).Is(http.StatusOK)
			if !strings.HasPrefix(opened.URL.Path, "/messages/drafts/") || again.URL.Path != opened.URL.Path || c.drafts(t, sam) != 1 {
				t.Fatalf("it opens %s, then %s; there are %d drafts", opened.URL, again.URL, c.drafts(t, sam))
			}
			d, err := c.Web.Drafts.Open(t.Context(), sender(sam), uuid.MustParse(strings.TrimPrefix(opened.URL.Path, "/messages/drafts/")))
			if err != nil {
				t.Fatal(err)
			}
			want := draft.Content{Subject: "Consent form", Body: "First line.\nSecond line.", StaffBcc: []string{bea.ID}, When: one.when,
				Recipients: d.Recipients, AttachmentIDs: d.AttachmentIDs, Key: draft.CopyKey(uuid.MustParse(id))}
			if diff := cmp.Diff(want, d.Content); diff != "" {
				t.Errorf("the draft (-want +got):\n%s", diff)
			}
			if got := strings.Join(d.Recipients.PortalUserIDs, " "); got != "anna bo" || len(d.Recipients.Groups) != 1 {
				t.Errorf("it is to %s and %v", got, d.Recipients.Groups)
			}
			sam.Get("/messages/" + id).Is(http.StatusOK).Says("Edit and send again")

			// The copy is sent, and its document can be read after the first message is gone.
			request := compose.Request{Subject: d.Subject, Body: d.Body, Recipients: d.Recipients, StaffBcc: d.StaffBcc, AttachmentIDs: d.AttachmentIDs}
			sent, err := c.Compose.Send(t.Context(), sender(sam), d.Key, request)
			if err != nil {
				t.Fatal(err)
			}
			c.Await(t, sent.Seq)
			if err := c.Web.Drafts.Delete(t.Context(), sender(sam), d.ID); err != nil {
				t.Fatal(err)
			}
			c.Exec(t, `DELETE FROM app.message_content WHERE message_id = $1`, id)
			_, data, err := c.Reader.OpenAttachment(t.Context(), sent.ID, d.AttachmentIDs[0])
			if err != nil || !bytes.Equal(data, []byte("%PDF-1.4\n%%EOF\n")) || d.AttachmentIDs[0] == document.ID {
				t.Errorf("the document of the copy is %q, %v", data, err)
			}
			sam.Get("/messages/" + id).Is(http.StatusOK).Says("sent it again").LacksHTML("Edit and send again")
			if page := sam.Post("/messages/"+id+"/edit", nil).Is(http.StatusOK); page.URL.Path != "/messages/"+sent.ID.String() || c.drafts(t, sam) != 0 {
				t.Errorf("pressed again it redirects to %s; there are %d drafts", page.URL, c.drafts(t, sam))
			}
		})
	}
}

// A message that is being sent, or was erased, can't be edited. An unsent copy is deleted
// with the content of its message.
func TestEditIsRefused(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.person(t, "anna")
	sam := c.Staff(t, "Sam Staff", policy.SendPortalMessage)
	gone := c.delivered(t, sam, "Gone", "anna")
	sam.Get("/messages/" + gone).LacksHTML("Edit and send again")
	sam.Post("/messages/"+gone+"/edit", nil).Is(http.StatusConflict).Says("Only a message that was cancelled or recalled")
	sam.Post("/messages/"+uuid.NewString()+"/edit", nil).Is(http.StatusNotFound)

	id := c.send(t, sam, "Too early", "anna", undo(600))
	sam.Post("/messages/"+id+"/cancel", nil).Is(http.StatusOK)
	c.Erase(t, uuid.MustParse(id))
	sam.Get("/messages/" + id).Is(http.StatusOK).LacksHTML("Edit and send again")
	sam.Post("/messages/"+id+"/edit", nil).Is(http.StatusConflict).Says("its content was erased")
	if n := c.drafts(t, sam); n != 0 {
		t.Errorf("there are %d drafts", n)
	}
}

// A crash after the cancellation leaves the message cancelled, with the same button.
func TestEditAfterAFailure(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.person(t, "anna")
	sam := c.Staff(t, "Sam Staff", policy.SendPortalMessage)
	id := c.send(t, sam, "Next week", "anna", later(7*24*time.Hour))
	c.Exec(t, `ALTER TABLE app.drafts RENAME TO drafts_away`)
	sam.Post("/messages/"+id+"/edit", nil).Is(http.StatusInternalServerError)
	c.Exec(t, `ALTER TABLE app.drafts_away RENAME TO drafts`)
	sam.Get("/messages/"+id).Is(http.StatusOK).Says("Cancelled", "Edit and send again")
	if page := sam.Post("/messages/"+id+"/edit", nil).Is(http.StatusOK).HasHTML(`value="Next week"`); !strings.HasPrefix(page.URL.Path, "/messages/drafts/") {
		t.Errorf("redirected to %s", page.URL)
	}
}

// A notice disappears when the state that it describes has changed.
func TestStoryNoticesEnd(t *testing.T) {
	t.Parallel()
	c := open(t)
	b, sam := c.atBrowser(t, "Sam Staff", policy.SendPortalMessage)
	c.person(t, "anna")
	at := time.Now().Add(5 * time.Minute)
	id := c.sendAs(t, sam, "Consent form", "anna", func(r *compose.Request) { r.SendAt = &at })
	b.Open("/messages/" + id + "/recall")
	b.At("/messages/" + id)
	b.Sees("This message can't be recalled", "Scheduled")
	c.Clock.Advance(6 * time.Minute)
	b.Sees("Delivered to all recipients")
	b.SeesNot("This message can't be recalled")
	b.AccessibleInAllViews()

	// Undo, edit and send again, with the buttons only.
	hold := 600
	id = c.sendAs(t, sam, "Too early", "anna", func(r *compose.Request) { r.UndoSeconds = &hold })
	b.Open("/messages/" + id)
	b.Click("Undo sending")
	b.Sees("Undone.", "Cancelled")
	b.Screenshot("message-undone")
	b.Phone()
	b.Screenshot("message-undone-phone")
	b.AccessibleInAllViews()
	b.Click("Edit and send again")
	b.Sees("This draft is a copy of", "Name of anna")
	b.Reads("Subject", "Too early")
	b.AccessibleInAllViews()
	b.Screenshot("edit-again-phone")
	b.Wide()
	b.Screenshot("edit-again")
}
