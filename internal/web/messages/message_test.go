package messages_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"postern/internal/access"
	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/content"
	"postern/internal/inbox"
	"postern/internal/limits"
	"postern/internal/process"
	"postern/internal/text/language"
	"postern/internal/web/webtest"
)

// The page of a message shows its content, recipients, times and delivery status.
func TestAMessage(t *testing.T) {
	t.Parallel()
	c := open(t)
	anna := c.person(t, "anna")
	c.person(t, "bo")
	sam, bea := c.Staff(t, "Sam Staff", policy.SendPortalMessage), c.Staff(t, "Bea Bcc")
	document, err := c.Compose.Upload(t.Context(), sender(sam), "Consent.pdf", strings.NewReader("%PDF-1.4\n%%EOF\n"))
	if err != nil {
		t.Fatal(err)
	}
	attached := func(r *compose.Request) { r.AttachmentIDs = []uuid.UUID{document.ID} }
	id := c.delivered(t, sam, "Consent form", "anna bo", bcc(bea), attached)
	if err := c.reads(t, anna, id); err != nil {
		t.Fatal(err)
	}

	page := sam.Get("/messages/"+id).Is(http.StatusOK).Says(
		"Consent form", "Sent", "Delivered to all recipients", "In the portal inbox 2 of 2 (100%)", "Read in the portal 1 of 2 (50%)",
		"From Sam Staff", "To Name of anna, Name of bo", "Staff Bcc Bea Bcc", "First delivered", "As portal users see it.",
		"The text of Consent form.", "Consent.pdf", "15 bytes", "Recall").
		HasHTML(`id="opened-bar"`, `max="2" value="1"`, `href="/messages/`+id+`/recipients?opened=true"`).
		LacksHTML("hx-get=\"/messages", "/cancel", "Not yet")
	for _, v := range []*webtest.Visitor{sam, bea} {
		v.Get(href(t, page.Body, "/v1/messages/")).Is(http.StatusOK).Says("%PDF-1.4")
	}
}

// The pages of messages are in Spanish, too. What people and SendGrid wrote stays as it is.
func TestMessagesInSpanish(t *testing.T) {
	t.Parallel()
	c := &clinic{webtest.New(t, func(c *process.WebConfig) { c.Language = language.Spanish })}
	c.person(t, "anna")
	c.person(t, "bo")
	sam := c.Staff(t, "Sam Staff", policy.SendBulkPortalMessage, policy.ReplayDeliveries)
	id := c.blasted(t, access.Staff{ID: sam.ID}, "We move")
	sam.Get("/messages").Is(http.StatusOK).Says("Mensajes, primero los más recientes", "We move", "Entregado a 2, abierto por 0, 1 aviso fallido")
	sam.Get("/messages/"+id).Is(http.StatusOK).Says("Entregado a todos los destinatarios el ", "Fallido El correo fue rechazado", "1 de 2 (50 %)",
		"Por qué fallaron los avisos", "The mailbox is full.", "Retirar")
	sam.Get("/messages/"+id+"/recipients?alert=failed").Is(http.StatusOK).Says("Fallido: The mailbox is full.", "Sin abrir", "Planificar un reenvío")
	sam.Get("/messages/"+id+"/recall").Is(http.StatusOK).Says("Ninguno de los 2 destinatarios lo ha abierto.", "¿Por qué retira este mensaje?")
	sam.Post("/messages/"+id+"/recall", url.Values{}).Is(http.StatusUnprocessableEntity).Says("Escriba por qué retira el mensaje")
	sam.Get("/notices").Is(http.StatusOK).Says("1 enviado, 1 fallido", "The mailbox is full.")
	sam.Get("/worklists/unread?days=many").Is(http.StatusUnprocessableEntity).Says("Escriba un número de días de 0 a 3650")
}

// href returns the first address on a page that begins with prefix.
func href(t *testing.T, body, prefix string) string {
	t.Helper()
	_, rest, ok := strings.Cut(body, `href="`+prefix)
	if !ok {
		t.Fatalf("the page has no link to %s…", prefix)
	}
	rest, _, _ = strings.Cut(rest, `"`)
	return prefix + strings.ReplaceAll(rest, "&amp;", "&")
}

// A message can be opened by its sender, its Staff Bcc and readers of the record. Readers of
// the record see no content.
func TestAccessToAMessage(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.person(t, "anna")
	sam := c.Staff(t, "Sam Staff", policy.SendPortalMessage)
	bea := c.Staff(t, "Bea Bcc")
	id := c.delivered(t, sam, "Consent form", "anna", bcc(bea))

	reader := c.Staff(t, "Rea Reader", policy.ReadRecord)
	reader.Get("/messages/"+id).Is(http.StatusOK).Says("You see this message because you can read the record", "Sam Staff", "Name of anna").
		LacksHTML("The text of", "Bea Bcc", "Attachments</h2>", "/recall")
	reader.Get("/messages/" + id + "/recipients").Is(http.StatusOK).Says("Name of anna")
	reader.Get("/messages/" + id + "/recall").Is(http.StatusNotFound)
	reader.Post("/messages/"+id+"/recall", url.Values{"reason": {"mine"}}).Is(http.StatusForbidden)
	sam.Get("/messages/" + id + "/nonsense").Is(http.StatusNotFound)

	both := c.Staff(t, "Kim Both", policy.SendPortalMessage, policy.ReadRecord)
	other := c.Staff(t, "Eve Other", policy.SendPortalMessage)
	for _, path := range []string{"", "/progress", "/recipients", "/recipients.csv"} {
		other.Get("/messages/" + id + path).Is(http.StatusNotFound)
		other.Get("/messages/" + uuid.NewString() + path).Is(http.StatusNotFound)
		c.SignedOut(t).Get("/messages/" + id + path).Says("Staff sign-in")
	}
	other.Get("/messages/compost").Is(http.StatusNotFound)
	for _, v := range []*webtest.Visitor{other, both} {
		v.Get("/messages/" + id + "/recall").Is(http.StatusNotFound)
		v.Post("/messages/"+id+"/recall", url.Values{"reason": {"mine now"}}).Is(http.StatusNotFound)
		v.Post("/messages/"+id+"/cancel", nil).Is(http.StatusNotFound)
	}
	sam.Get("/messages/" + id).Is(http.StatusOK).Says("Delivered to all recipients")
}

// Undo cancels a message before it is delivered. A second press changes nothing.
func TestUndo(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.person(t, "anna")
	sam := c.Staff(t, "Sam Staff", policy.SendPortalMessage)
	id := c.send(t, sam, "Too early", "anna", undo(600))
	sam.Get("/messages/"+id).Is(http.StatusOK).
		Says("About to go out", "The message goes out in", "seconds.", "Undo sending", "Not yet").
		HasHTML(`hx-get="/messages/`+id+`/progress?seen=scheduled-0-true"`, `hx-trigger="every 1s"`, `role="timer"`).LacksHTML("Recall")
	sam.Get("/messages").Says("About to go out")
	sam.Get("/messages/" + id + "/recipients").Says("No one has received the message yet.")
	sam.Post("/messages/"+id+"/cancel", nil).Is(http.StatusOK).
		Says("Undone. No one will receive the message.", "Cancelled", "No one received it.", "First delivered Never", "Portal Users never received this.").LacksHTML("Undo sending", "Recall", "Not yet")
	sam.Post("/messages/"+id+"/cancel", nil).Is(http.StatusOK).Says("Cancelled")
	sam.Get("/messages/" + id + "/recipients").Says("The message was cancelled. No one received it.")
	sam.Get("/messages").Says("Cancelled", "No one received it")
}

// A scheduled message shows its time, and can be cancelled until then.
func TestCancel(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.person(t, "anna")
	sam := c.Staff(t, "Sam Staff", policy.SendPortalMessage)
	id := c.send(t, sam, "Next week", "anna", later(7*24*time.Hour))
	sam.Get("/messages/"+id).Says("Scheduled", "The message goes out", "Cancel sending").LacksHTML("hx-get=\"/messages", "Undo")
	sam.Get("/messages/" + id + "/recall").Says("This message can't be recalled")
	sam.Post("/messages/"+id+"/recall", url.Values{"reason": {"early"}}).Is(http.StatusConflict).Says("There is nothing to recall")
	sam.Post("/messages/"+id+"/cancel", nil).Is(http.StatusOK).Says("The message was cancelled. No one will receive it.")
}

// Undo after the release gives an error that says what to do instead.
func TestUndoTooLate(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.person(t, "anna")
	sam := c.Staff(t, "Sam Staff", policy.SendPortalMessage)
	id := c.delivered(t, sam, "Gone", "anna")
	sam.Post("/messages/"+id+"/cancel", nil).Is(http.StatusConflict).
		Says("There is a problem", "It is too late to cancel this message", "You can recall it instead", "Delivered to all recipients", "Recall")
}

// Recall shows how many recipients have opened the message and requires a reason. After it,
// no one can read the message.
func TestRecall(t *testing.T) {
	t.Parallel()
	c := open(t)
	anna := c.person(t, "anna")
	c.person(t, "bo")
	sam := c.Staff(t, "Sam Staff", policy.SendPortalMessage)
	id := c.delivered(t, sam, "Wrong file", "anna bo")
	sam.Get("/messages/"+id+"/recall").Is(http.StatusOK).Says("None of the 2 recipients has opened it.", "It is recorded exactly as you type it")
	if err := c.reads(t, anna, id); err != nil {
		t.Fatal(err)
	}
	sam.Get("/messages/"+id+"/recall").Says("1 of 2 has already opened it", "can't be taken back")

	sam.Post("/messages/"+id+"/recall", url.Values{"reason": {"  "}}).Is(http.StatusUnprocessableEntity).
		Says("Enter why you are recalling the message").HasHTML(`href="#reason"`)
	long := strings.Repeat("x", int(limits.Reason)+1)
	sam.Post("/messages/"+id+"/recall", url.Values{"reason": {long}}).Is(http.StatusUnprocessableEntity).
		Says("The reason has 501 characters; at most 500 are allowed").HasHTML(long)
	if err := c.reads(t, anna, id); err != nil {
		t.Fatal(err)
	}

	sam.Post("/messages/"+id+"/recall", url.Values{"reason": {"The wrong file was attached"}}).Is(http.StatusOK).
		Says("The message was recalled. No one can read it any more.", "Recalled", "1 recipient had opened it", "Recorded reason: The wrong file was attached",
			"Portal Users can no longer read this").LacksHTML("/recall")
	if err := c.reads(t, anna, id); !errors.Is(err, inbox.ErrRecalled) {
		t.Errorf("reading it gives %v", err)
	}
	sam.Post("/messages/"+id+"/recall", url.Values{"reason": {"Another reason"}}).Is(http.StatusOK).Says("The wrong file was attached").LacksHTML("Another reason")
	sam.Get("/messages/" + id + "/recall").Says("This message can't be recalled")
	sam.Get("/messages").Says("Recalled", "1 of 2 had opened it")
}

// While a message is being sent, its page polls for the numbers. It gets a sentence for
// screen readers only when there is news.
func TestProgressIsPolled(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.person(t, "anna")
	sam := c.Staff(t, "Sam Staff", policy.SendPortalMessage)
	id := c.send(t, sam, "On its way", "anna", later(5*time.Minute))
	at := "/messages/" + id + "/progress?seen="
	sam.Get("/messages/" + id).HasHTML(`hx-get="` + at + `scheduled-0-true"`)
	sam.Fragment(at+"scheduled-0-true").Is(http.StatusOK).HasHTML(`hx-trigger="every 1s"`).LacksHTML("announcement", `id="state"`)

	// A message to a thousand recipients, half of whom have it.
	c.Exec(t, `UPDATE record.messages SET status = 'sending', released_at = now(), audience = 1000, delivered = 612, alert_accepted = 500 WHERE message_id = $1`, id)
	sam.Get("/messages/"+id).Says("Sending", "The message is going out.", "612 of 1,000 (61%)", "500 of 1,000 (50%)", "Recall").
		HasHTML(`hx-get="` + at + `sending-2-true"`)
	sam.Get("/messages").Says("Sending", "612 of 1,000 delivered, 0 opened")
	sam.Fragment(at+"scheduled-0-true").
		Says("612 of 1,000 (61%)", "Sending. 612 of 1,000 delivered, 0 opened.", "The message is going out.").
		HasHTML(`id="state"`, `id="delivered" hx-swap-oob="true"`, `value="612" hx-swap-oob="true"`, `id="announcement" hx-swap-oob="innerHTML"`)
	sam.Fragment(at + "sending-1-true").Says("Sending. 612 of 1,000 delivered").LacksHTML(`id="state"`)
	sam.Fragment(at+"sending-2-true").Says("612 of 1,000 (61%)").LacksHTML("announcement", `id="state"`)

	// All deliveries and alerts are settled: the page stops polling.
	c.Exec(t, `UPDATE record.messages SET status = 'sent', completed_at = now(), delivered = 1000, alert_accepted = 990, alert_failed = 10 WHERE message_id = $1`, id)
	sam.Fragment(at+"sending-3-true").Says("Sent. 1,000 delivered, 0 opened, 10 alerts failed.", "10 of 1,000 (1%)").LacksHTML("hx-trigger")
	if page := sam.Get(at + "x"); page.URL.Path != "/messages/"+id {
		t.Errorf("the address of the progress, opened as a page, redirects to %s", page.URL.Path)
	}
}

// The content of an erased message is gone, and the page says so.
func TestAnErasedMessage(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.person(t, "anna")
	sam := c.Staff(t, "Sam Staff", policy.SendPortalMessage)
	id := c.delivered(t, sam, "Forgotten", "anna")
	c.Erase(t, uuid.MustParse(id))
	sam.Get("/messages/"+id).Is(http.StatusOK).Says("Message with erased content", "The content of this message was erased", "1 of 1").LacksHTML("Forgotten")
	sam.Get("/messages").Says("(The content was erased)").LacksHTML("Forgotten")
	c.Staff(t, "Rea Reader", policy.ReadRecord).Get("/messages/" + id).Is(http.StatusOK).Says("Message with erased content")
}

// Content that can't be found is shown as missing, not as erased, on every page.
func TestAMessageWhoseContentIsMissing(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.person(t, "anna")
	sam := c.Staff(t, "Sam Staff", policy.SendPortalMessage)
	id := c.delivered(t, sam, "Forgotten", "anna")
	c.Lose(t, uuid.MustParse(id))
	sam.Get("/messages/"+id).Is(http.StatusOK).Says("Message with missing content", "It was not erased", "1 of 1").LacksHTML("Forgotten", "was erased.")
	sam.Get("/messages").Says("(The content is missing)").LacksHTML("Forgotten")
	sam.Get("/worklists/unread?days=0").Says("(The content is missing)").LacksHTML("Forgotten")
	c.Staff(t, "Rea Reader", policy.ReadRecord).Get("/messages/" + id).Is(http.StatusOK).Says("Message with missing content")

	// The rest is shown without the body.
	id = c.delivered(t, sam, "Half of it", "anna")
	if err := c.Content.Delete(t.Context(), content.BodyOf(uuid.MustParse(id))); err != nil {
		t.Fatal(err)
	}
	sam.Get("/messages/"+id).Is(http.StatusOK).Says("Half of it", "The content of this message is missing")
}
