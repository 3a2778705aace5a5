package receipt

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"postern/internal/directory/audience/matter"
	"postern/internal/events"
)

// Facts are what the events of a receipt say, for a page that people read. [Receipt.Check]
// proves the events; facts of a receipt that was not checked prove nothing.
type Facts struct {
	SenderID string
	// SenderName is the name with which the sender's account was created; "" in a receipt that
	// does not have that event.
	SenderName string
	// Links are those that made the portal user a recipient, as they were then. None: chosen by
	// name.
	Links []events.Link
	// Matter is whom the message to the portal user concerns. In a message that does not state it,
	// the basis is [matter.NotStated], and the patients are those of Links.
	Matter matter.Matter
	// Group is the group that brought the portal user in; "" if they were chosen one by one.
	Group string
	// Documents are the sent documents. Their names are not in events.
	Documents  []events.AttachmentFact
	BodyDigest string // "sha256:" and hex, of the salt and the body
	Moments    []Moment

	created events.StaffCreated
	now     Moment
}

// A Moment is something that happened to the delivery. Seq is its event, and Time when it
// happened, UTC.
type Moment struct {
	Seq  uint64
	Time time.Time
	Text string
}

// Facts derives the facts from the events, in the order of their times.
func (r *Receipt) Facts() (Facts, error) {
	t, err := derive(r)
	if err != nil {
		return Facts{}, fmt.Errorf("reading the facts of a receipt: %w", err)
	}
	f := t.facts
	if f.created.StaffID == f.SenderID {
		f.SenderName = f.created.Name
	}
	slices.SortStableFunc(f.Moments, func(a, b Moment) int { return a.Time.Compare(b.Time) })
	return f, nil
}

// at says which event the next moments are of.
func (f *Facts) at(seq uint64, time time.Time) { f.now = Moment{Seq: seq, Time: time} }

func (f *Facts) happened(text string) { f.happenedAt(f.now.Time, text) }

func (f *Facts) happenedAt(at time.Time, text string) {
	f.Moments = append(f.Moments, Moment{f.now.Seq, at, text})
}

// downloaded names a document by its place in the message.
func (f *Facts) downloaded(id uuid.UUID) {
	at := slices.IndexFunc(f.Documents, func(a events.AttachmentFact) bool { return a.AttachmentID == id })
	if at < 0 {
		f.happened("Downloaded document " + id.String())
		return
	}
	f.happened("Downloaded document " + strconv.Itoa(at+1))
}

// alertWords describes the result of an attempt at the alert.
func alertWords(attempt int, state events.AlertState, reason string) string {
	result := map[events.AlertState]string{
		events.AlertAccepted: "accepted by SendGrid", events.AlertFailed: "failed",
		events.AlertSkipped: "not sent", events.AlertUnknown: "result unknown",
	}[state]
	text := "Alert by e-mail, attempt " + strconv.Itoa(attempt) + ": " + cmp.Or(result, string(state))
	if reason != "" {
		text += ", " + reason
	}
	return text
}
