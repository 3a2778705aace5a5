package export

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/directory/audience/matter"
	"postern/internal/events"
	"postern/internal/inbox/delivered"
)

// message has the values that all deliveries of a message share. Its Communications
// (https://hl7.org/fhir/R4/communication.html) are encoded by hand, because there may be a
// million of them, with the members in R4's order.
type message struct {
	id       uuid.UUID
	recalled bool
	end      []byte // sender and payload, encoded
}

type payload struct {
	ContentAttachment attachment `json:"contentAttachment"`
}

// attachment is a document without its name, because a name may contain a diagnosis. R4's
// Attachment.hash is a SHA-1 (https://hl7.org/fhir/R4/datatypes.html#attachment). The record
// proves a SHA-256, which is in an extension.
type attachment struct {
	Extension   []extension `json:"extension"`
	ContentType string      `json:"contentType"`
	Size        int64       `json:"size"`
}

// extensionSHA256 is the extension with the SHA-256 of a document in hex.
const extensionSHA256 = "urn:postern:fhir:attachment-sha256"

// communications writes the Communications of one chunk, with their present state.
func (r *resources) communications(ctx context.Context, e events.Event) error {
	if r.sent.id != e.MessageID {
		if err := r.lookUp(ctx, e.MessageID); err != nil {
			return err
		}
	}
	opened, err := r.openings(ctx, e)
	if err != nil {
		return err
	}
	err = delivered.EachMatter(ctx, r.pool, &e, nil, func(to *events.Recipient, about matter.Matter) error {
		if !r.speaksOf(to, about) {
			return nil
		}
		r.n++
		r.line = append(r.sent.appendTo(r.line[:0], to, about, e.Time, opened[to.PortalUserNo]), '\n')
		_, err := r.out.Write(r.line)
		return err
	})
	if err != nil {
		return fmt.Errorf("writing chunk %d of message %s: %w", e.Chunk.Index, e.MessageID, err)
	}
	return nil
}

// speaksOf reports whether a delivery matches the filter.
func (r *resources) speaksOf(to *events.Recipient, about matter.Matter) bool {
	if r.filter.PortalUserID != "" && r.filter.PortalUserID != to.PortalUserID {
		return false
	}
	return r.filter.PatientID == "" || about.Concerns(r.filter.PatientID)
}

func (r *resources) lookUp(ctx context.Context, id uuid.UUID) error {
	var documents []events.AttachmentFact
	var sender, status string
	err := r.pool.QueryRow(ctx, `SELECT sender_id, status, attachments FROM record.messages WHERE message_id = $1`, id).
		Scan(&sender, &status, &documents)
	if err != nil {
		return fmt.Errorf("looking up message %s: %w", id, err)
	}
	var end struct {
		Sender  reference `json:"sender"`
		Payload []payload `json:"payload,omitempty"`
	}
	end.Sender = known("Practitioner", systemStaff, sender)
	for _, d := range documents {
		end.Payload = append(end.Payload, payload{attachment{[]extension{{extensionSHA256, d.SHA256}}, d.MediaType, d.Size}})
	}
	r.sent = message{id: id, recalled: status == "recalled"}
	r.sent.end, err = json.Marshal(end)
	return err
}

// openings returns the times at which a chunk's recipients opened the message.
func (r *resources) openings(ctx context.Context, e events.Event) (map[int32]time.Time, error) {
	rows, err := r.pool.Query(ctx, `SELECT o.portal_user_no, o.opened_at
		FROM record.chunks c JOIN record.opens o ON o.message_id = c.message_id AND o.portal_user_no BETWEEN c.first_no AND c.last_no
		WHERE c.message_id = $1 AND c.chunk = $2`, e.MessageID, e.Chunk.Index)
	if err != nil {
		return nil, fmt.Errorf("reading who opened message %s: %w", e.MessageID, err)
	}
	opened := map[int32]time.Time{}
	var no int32
	var at time.Time
	if _, err := pgx.ForEachRow(rows, []any{&no, &at}, func() error { opened[no] = at; return nil }); err != nil {
		return nil, fmt.Errorf("reading who opened message %s: %w", e.MessageID, err)
	}
	return opened, nil
}

// appendTo appends the Communication of the delivery to one recipient. Its status is stopped
// if the message was recalled before the recipient opened it, and otherwise completed.
func (m *message) appendTo(b []byte, to *events.Recipient, about matter.Matter, at, opened time.Time) []byte {
	id, name := deliveryOf(m.id, to.PortalUserID)
	b = append(appendText(append(b, `{"resourceType":"Communication","id":`...), id), `,"extension":[{"url":"`+extensionMatter+`","valueString":"`...)
	b = append(append(b, about.Basis...), `"}],"identifier":[`...)
	b = append(appendIdentifier(b, name), `],"status":`...)
	if m.recalled && opened.IsZero() {
		b = append(b, `"stopped","statusReason":{"text":"taken back by its sender before it was opened"}`...)
	} else {
		b = append(b, `"completed"`...)
	}
	b = appendPatients(b, about)
	b = append(appendInstant(append(b, `,"sent":"`...), at), '"')
	if !opened.IsZero() {
		b = append(appendInstant(append(b, `,"received":"`...), opened), '"')
	}
	b = append(appendReference(append(b, `,"recipient":[`...), recipient(to)), `],`...)
	return append(b, m.end[1:]...)
}

// recipient returns the patient if the delivery has a self link, or else the portal user as a
// RelatedPerson.
func recipient(to *events.Recipient) reference {
	for _, l := range to.Links {
		if l.Relationship == "self" {
			return referTo("Patient", systemPatient, l.PatientID)
		}
	}
	return referTo("RelatedPerson", systemPortalUser, to.PortalUserID)
}

// appendPatients adds the patients whom the message concerns, as about, and a single one also as the
// subject.
func appendPatients(b []byte, m matter.Matter) []byte {
	ids := m.IDs()
	if len(ids) == 1 {
		b = appendReference(append(b, `,"subject":`...), referTo("Patient", systemPatient, ids[0]))
	}
	for i, id := range ids {
		b = append(b, []string{`,"about":[`, `,`}[min(i, 1)]...)
		b = appendReference(b, referTo("Patient", systemPatient, id))
	}
	if len(ids) > 0 {
		b = append(b, ']')
	}
	return b
}

// extensionMatter is the extension of a Communication with the basis on which its patients are those
// whom the message concerns: the values of matter.Basis.
const extensionMatter = "urn:postern:fhir:communication-about-basis"
