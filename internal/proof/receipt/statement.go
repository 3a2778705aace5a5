package receipt

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"postern/internal/directory/audience/matter"
	"postern/internal/directory/audience/rule"
	"postern/internal/directory/field"
	"postern/internal/events"
	"postern/internal/proof/salted"
)

// statement is derived from the events of a receipt, both to issue and to check it, so that a
// receipt's statement always agrees with its events.
type statement struct {
	message    uuid.UUID
	portalUser string
	lines      []Line
	sender     string
	sent       bool
	delivered  bool
	chunk      int              // of the delivery
	no         int32            // of the portal user
	recipients events.Selection // of the message, as far as the receipt shows them
	selection  string           // the digest of the recipients
	said       matter.Statement // whom the message concerns
	entry      *Entry
	cited      bool            // the delivery cites the roster of the entry
	named      map[string]bool // other portal users that the events name
	copied     bool            // the events name staff who got a copy
	facts      Facts
}

// NamesOthers reports whether the events of a receipt name other portal users, or staff who got a
// copy of the message without the recipients' knowledge. The portal user may not have such a receipt.
func (r *Receipt) NamesOthers() (bool, error) {
	t, err := derive(r)
	if err != nil {
		return false, fmt.Errorf("looking for names in a receipt: %w", err)
	}
	return len(t.named) > 0 || t.copied, nil
}

// derive reads the events. It refuses events that are not about the delivery.
func derive(r *Receipt) (*statement, error) {
	t := &statement{message: r.MessageID, portalUser: r.PortalUserID, entry: r.Entry, named: map[string]bool{}}
	for i := range r.Events {
		e, err := r.Events[i].parsed()
		if err == nil {
			err = t.add(r.Events[i].Seq, e, r.Events[i].Entries)
		}
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", r.Events[i].Seq, err)
		}
	}
	if r.Entry != nil && !t.cited {
		return nil, errors.New("it holds an entry of a roster that no event cites")
	}
	if !t.sent || !t.delivered {
		return nil, errors.New("it does not hold that the message was sent and delivered")
	}
	return t, nil
}

// notice returns the text about who may see the receipt.
func (t *statement) notice() string {
	if len(t.named) == 0 {
		return "For those who may read the record, and for the portal user that it is about."
	}
	return fmt.Sprintf("For those who may read the record, and for nobody else: an event can be proved only whole, and these name %d other portal users by their ids.", len(t.named))
}

// compare compares a receipt's notice and statement with those derived from its events.
func (t *statement) compare(r *Receipt) error {
	if r.Notice != t.notice() {
		return errors.New("its notice is not what its events make necessary")
	}
	if len(r.Statement) != len(t.lines) {
		return fmt.Errorf("its statement has %d lines, and its events say %d things", len(r.Statement), len(t.lines))
	}
	for i, want := range t.lines {
		if got := r.Statement[i]; got.Seq != want.Seq || !got.Time.Equal(want.Time) || got.Text != want.Text {
			return fmt.Errorf("line %d of its statement is not what event %d says", i+1, want.Seq)
		}
	}
	return nil
}

func (t *statement) add(seq uint64, e events.Event, entries []salted.Proof) error {
	if e.MessageID != t.message && e.Type != events.TypeStaffCreated {
		return errors.New("it is of another message")
	}
	t.facts.at(seq, e.Time.UTC())
	text, err := t.text(e, entries)
	if err != nil {
		return err
	}
	for _, line := range text {
		t.lines = append(t.lines, Line{seq, e.Time.UTC(), line})
	}
	return nil
}

func (t *statement) text(e events.Event, entries []salted.Proof) ([]string, error) {
	switch e.Type {
	case events.TypeMessageSent:
		b, err := events.DecodeShown[events.MessageSent](e, entries)
		if err != nil {
			return nil, err
		}
		return t.sending(b)
	case events.TypeDeliveriesCreated:
		if e.IsByBlock() && len(entries) == 0 {
			return t.deliveryToGroup(e)
		}
		return t.delivery(e, entries)
	case events.TypeAlertsAccepted, events.TypeAlertsFailed, events.TypeAlertsSkipped, events.TypeAlertsUnknown:
		b, err := events.DecodeShown[events.AlertOutcome](e, entries)
		if err != nil {
			return nil, err
		}
		return t.alert(b)
	case events.TypeAlertsReported:
		b, err := events.DecodeShown[events.AlertsReported](e, entries)
		if err != nil {
			return nil, err
		}
		return t.reports(b)
	}
	if len(entries) > 0 {
		return nil, errors.New("it has no entries")
	}
	return t.whole(e)
}

// whole describes an event that names at most one person.
func (t *statement) whole(e events.Event) ([]string, error) {
	switch e.Type {
	case events.TypeStaffCreated:
		return one(events.Decode[events.StaffCreated](e))(func(b events.StaffCreated) string {
			t.facts.created = b
			return fmt.Sprintf("%s is made staff, with the id %s", b.Name, b.StaffID)
		})
	case events.TypeMessageReleased:
		t.facts.happened("Released, after it was held")
		return []string{"The message, which had been held, is let go"}, nil
	case events.TypeAudienceResolved:
		return one(events.Decode[events.AudienceResolved](e))(func(b events.AudienceResolved) string {
			frozen := fmt.Sprintf("The audience is frozen: %d portal users, manifest %s", b.Count, b.ManifestDigest)
			if b.Directory != "" {
				frozen += fmt.Sprintf(", on %s from the state %s of the directory", b.Day, b.Directory)
			}
			return frozen
		})
	case events.TypeDeliveryOpened:
		b, err := events.Decode[events.DeliveryOpened](e)
		t.facts.happened("Opened for the first time")
		return t.own(b.PortalUserID, "The portal user opens the message for the first time", err)
	case events.TypeAttachmentDownloaded:
		b, err := events.Decode[events.AttachmentDownloaded](e)
		t.facts.downloaded(b.AttachmentID)
		return t.own(b.PortalUserID, fmt.Sprintf("The portal user downloads document %s", b.AttachmentID), err)
	case events.TypeMessageRecalled:
		return one(events.Decode[events.MessageRecalled](e))(func(b events.MessageRecalled) string {
			t.facts.happened("Recalled: " + b.Reason)
			return fmt.Sprintf("Staff %s take the message back: %s", b.StaffID, b.Reason)
		})
	}
	return nil, fmt.Errorf("a receipt has no use for %s", e.Type)
}

func one[T any](b T, err error) func(func(T) string) ([]string, error) {
	return func(text func(T) string) ([]string, error) {
		if err != nil {
			return nil, err
		}
		return []string{text(b)}, nil
	}
}

// errOthers is the error if an event shows the entry of another portal user.
var errOthers = errors.New("it shows an entry of another portal user")

func (t *statement) sending(b events.MessageSent) ([]string, error) {
	t.sent, t.sender, t.recipients, t.selection, t.copied = true, b.SenderID, b.Recipients, b.SelectionDigest(), len(b.StaffBcc) > 0
	t.name(b.Recipients.PortalUserIDs...)
	if b.Hidden != nil && len(t.named) > 0 {
		return nil, errOthers
	}
	groups, err := rule.SetOf(b.Recipients.Groups)
	if err != nil {
		return nil, err
	}
	t.said = matter.Statement{States: b.StatesMatter(), About: b.Recipients.About, Groups: groups}
	t.facts.SenderID, t.facts.BodyDigest, t.facts.Documents = b.SenderID, b.BodyDigest, b.Attachments
	t.facts.happened("Sent")
	lines := []string{fmt.Sprintf("Staff %s send the message: body %s, subject %s, documents: %d", b.SenderID, b.BodyDigest, b.SubjectDigest, len(b.Attachments))}
	for _, a := range b.Attachments {
		lines = append(lines, fmt.Sprintf("Document %s: %s, %d bytes, SHA-256 %s", a.AttachmentID, a.MediaType, a.Size, a.SHA256))
	}
	return lines, nil
}

func (t *statement) name(ids ...string) {
	for _, id := range ids {
		if id != t.portalUser {
			t.named[id] = true
		}
	}
}

// delivery describes a delivery to chosen portal users.
func (t *statement) delivery(e events.Event, entries []salted.Proof) ([]string, error) {
	b, err := events.DecodeShown[events.DeliveriesCreated](e, entries)
	if err != nil {
		return nil, err
	}
	var text string
	for i := range b.Recipients {
		r := &b.Recipients[i]
		t.name(r.PortalUserID)
		if r.PortalUserID == t.portalUser {
			text, t.no = t.readable(r.Links), r.PortalUserNo
		}
	}
	switch {
	case text == "":
		return nil, errors.New("it delivers nothing to the portal user")
	case b.Hidden != nil && len(b.Recipients) > 1:
		return nil, errOthers
	}
	if t.said.States && !slices.Contains(t.recipients.PortalUserIDs, t.portalUser) {
		return nil, errors.New("the portal user's entry in the sending is missing")
	}
	t.delivered, t.chunk = true, b.Chunk
	ties := make([]rule.Tie, len(t.facts.Links))
	for i, l := range t.facts.Links {
		ties[i] = rule.Tie{No: l.PatientNo, ID: l.PatientID, Relationship: l.Relationship}
	}
	return append([]string{text}, t.concerns(t.said.OfChosen(t.portalUser, ties))...), nil
}

// concerns says whose matter the message to the portal user is. Events of earlier versions don't
// state it, and a receipt of them says nothing about it.
func (t *statement) concerns(m matter.Matter) []string {
	t.facts.Matter = m
	as := make([]string, 0, len(m.Patients))
	for _, id := range m.IDs() {
		as = append(as, "patient "+id)
	}
	switch {
	case !t.said.States:
	case m.Basis == matter.Picked:
		return []string{"The message concerns " + strings.Join(as, ", ")}
	case m.Basis == matter.ByGroup:
		return []string{"The message concerns " + strings.Join(as, ", ") + ": by the link the portal user is in the group"}
	case m.Basis == matter.NotStated:
		return []string{"The message does not state which of these patients it concerns"}
	}
	return nil
}

// readable says that the portal user can read the message, on the account of the linked
// patients.
func (t *statement) readable(links []events.Link) string {
	t.facts.Links = links
	t.facts.happened("Readable in the recipient’s inbox")
	as := make([]string, len(links))
	for i, l := range links {
		as[i] = l.Relationship + " of patient " + l.PatientID
	}
	text := fmt.Sprintf("Portal user %s has the message in the inbox and can read it", t.portalUser)
	if len(as) > 0 {
		text += ", as " + strings.Join(as, ", ")
	}
	return text
}

// deliveryToGroup describes a delivery by block. The event cites the roster of the portal user's
// block and names the groups and the day: the entry shows that the portal user was in one of
// them. A portal user in none of them was chosen by id when the message was sent.
func (t *statement) deliveryToGroup(e events.Event) ([]string, error) {
	b, err := events.DecodePublic(e.Data)
	switch {
	case err != nil:
		return nil, err
	case b.MessageID != e.MessageID || e.Chunk == nil || b.Chunk != e.Chunk.Index:
		return nil, errors.New("the headers name another message or chunk than the body")
	case !t.sent || b.Selection != t.selection || !slices.Equal(b.Groups, t.recipients.Groups):
		return nil, errors.New("it is for other recipients than the message was sent to")
	case t.entry == nil:
		return nil, errors.New("the entry of its roster is missing")
	}
	i := slices.IndexFunc(b.Blocks, func(c events.CitedBlock) bool { return c.No == t.entry.Block })
	if i < 0 {
		return nil, errors.New("it cites no roster of the entry's block")
	}
	person, err := t.entry.in(b.Blocks[i].Roster)
	if err != nil {
		return nil, err
	}
	if person.ID != t.portalUser {
		return nil, errors.New("the entry is of another portal user")
	}
	groups, err := rule.SetOf(b.Groups)
	if err != nil {
		return nil, err
	}
	in, _ := groups.Why(&person, field.Day(b.Day))
	why := fmt.Sprintf("Why: %s on %s, by the roster %x", in, b.Day.Format(time.DateOnly), b.Blocks[i].Roster)
	if in == "" {
		if !slices.Contains(t.recipients.PortalUserIDs, t.portalUser) {
			return nil, errors.New("the portal user is in none of the groups, and was not chosen by id")
		}
		why = "Why: chosen by id"
	}
	t.facts.Group = string(in)
	var links []events.Link
	for _, l := range rule.InForce(&person, field.Day(b.Day)) {
		links = append(links, events.Link{PatientID: l.ID, PatientNo: l.No, Relationship: l.Relationship})
	}
	t.delivered, t.cited, t.chunk, t.no = true, true, b.Chunk, person.No
	text := []string{t.readable(links), why}
	return append(text, t.concerns(t.said.OfPerson(&person, field.Day(b.Day)))...), nil
}

// errForeign is the error if an event is not about the delivery.
var errForeign = errors.New("it says nothing of the delivery")

// alert describes the outcome of one attempt. The first attempt is about all recipients of a
// chunk, and a replay's attempt only about those that it names.
func (t *statement) alert(b events.AlertOutcome) ([]string, error) {
	i := slices.IndexFunc(b.Exceptions, func(x events.AlertException) bool { return t.is(b.Hidden, x) })
	if b.Hidden != nil {
		switch {
		case len(b.Exceptions) > 1 || len(b.Exceptions) == 1 && i < 0:
			return nil, errOthers
		case b.Hidden.Entries > 0 && i < 0:
			return nil, errors.New("the portal user's entry is missing")
		}
	} else {
		for _, x := range b.Exceptions {
			t.name(x.PortalUserID)
		}
	}
	if !t.delivered || b.Chunk != t.chunk || i < 0 && b.ReplayID != nil {
		return nil, errForeign
	}
	state, reason := b.State, b.Reason
	if i >= 0 {
		state, reason = b.Exceptions[i].State, b.Exceptions[i].Reason
	}
	t.facts.happened(alertWords(b.Attempt, state, reason))
	text := fmt.Sprintf("The alert by e-mail, attempt %d: %s", b.Attempt, state)
	if reason != "" {
		text += ": " + reason
	}
	if b.ReplayID != nil {
		text += fmt.Sprintf(" (part %d of replay %s)", b.Part, b.ReplayID)
	}
	return []string{text}, nil
}

// is reports whether an exception is the portal user's. An entry has the number alone.
func (t *statement) is(hidden *events.Hidden, x events.AlertException) bool {
	if hidden != nil {
		return x.PortalUserNo == t.no
	}
	return x.PortalUserID == t.portalUser
}

// reports describes the reports about the alert in one post of SendGrid's webhook.
func (t *statement) reports(b events.AlertsReported) (text []string, err error) {
	for _, request := range b.Requests {
		for i := range request.Reports {
			r := &request.Reports[i]
			t.name(r.PortalUserID)
			for _, d := range r.Dead {
				t.name(d.PortalUserID)
			}
			if t.delivered && request.Chunk == t.chunk && r.PortalUserID == t.portalUser {
				text = append(text, reported(request.Attempt, r))
				t.facts.happenedAt(r.At.UTC(), "SendGrid reports of alert "+strconv.Itoa(request.Attempt)+": "+reportWords(r))
			}
		}
	}
	switch {
	case len(text) == 0:
		return nil, errForeign
	case b.Hidden != nil && len(text) < len(b.Requests): // it shows each report with its request
		return nil, errOthers
	}
	return text, nil
}

func reported(attempt int, r *events.Report) string {
	return fmt.Sprintf("SendGrid reports of attempt %d, at %s: %s", attempt, r.At.UTC().Format(time.RFC3339), reportWords(r))
}

func reportWords(r *events.Report) string {
	what := strings.Join(slices.DeleteFunc([]string{r.Type, r.Bounce, r.Status}, func(s string) bool { return s == "" }), " ")
	if why := cmp.Or(r.Words(), r.Reason); why != "" {
		what += ": " + why
	}
	return what
}

// own checks an event that only the portal user can cause.
func (t *statement) own(portalUser, text string, err error) ([]string, error) {
	if err == nil && portalUser != t.portalUser {
		err = errors.New("it is of another portal user")
	}
	return []string{text}, err
}
