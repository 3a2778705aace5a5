package export

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/events"
)

// communication is https://hl7.org/fhir/R4/communication.html.
type communication struct {
	ResourceType string       `json:"resourceType"`
	ID           string       `json:"id"`
	Identifier   []identifier `json:"identifier"`
	Status       string       `json:"status"`
	StatusReason *concept     `json:"statusReason,omitempty"`
	Subject      *reference   `json:"subject,omitempty"` // the patient, where there is one
	About        []reference  `json:"about,omitempty"`   // the patients, where there are several
	Sent         string       `json:"sent"`
	Received     string       `json:"received,omitempty"`
	Recipient    []reference  `json:"recipient"`
	Sender       reference    `json:"sender"`
	Payload      []payload    `json:"payload,omitempty"`
}

type payload struct {
	ContentAttachment attachment `json:"contentAttachment"`
}

// attachment is a document, without its name, which can say a diagnosis. R4's own
// Attachment.hash is a SHA-1 (https://hl7.org/fhir/R4/datatypes.html#attachment): what
// the record proves is SHA-256, in an extension.
type attachment struct {
	Extension   []extension `json:"extension"`
	ContentType string      `json:"contentType"`
	Size        int64       `json:"size"`
}

// extensionSHA256 carries the SHA-256 of a document in hex.
const extensionSHA256 = "urn:postern:fhir:attachment-sha256"

// message is what all deliveries of a message have in common.
type message struct {
	id       uuid.UUID
	sender   string
	recalled bool
	payload  []payload
}

// communications writes those of one chunk, as things are now.
func (r *resources) communications(ctx context.Context, e events.Event) error {
	if r.sent.id != e.MessageID {
		if err := r.lookUp(ctx, e.MessageID); err != nil {
			return err
		}
	}
	var chunk events.DeliveriesCreated
	if err := json.Unmarshal(e.Data, &chunk); err != nil {
		return fmt.Errorf("reading chunk %d of message %s: %w", e.Chunk.Index, e.MessageID, err)
	}
	opened, err := r.openings(ctx, chunk)
	if err != nil {
		return err
	}
	for i := range chunk.Recipients {
		to := &chunk.Recipients[i]
		if !r.speaksOf(to) {
			continue
		}
		if err := r.write(r.sent.to(to, e.Time, opened[to.PortalUserNo])); err != nil {
			return err
		}
	}
	return nil
}

// speaksOf tells whether a delivery is one of those that were asked for.
func (r *resources) speaksOf(to *events.Recipient) bool {
	if r.filter.PortalUserID != "" && r.filter.PortalUserID != to.PortalUserID {
		return false
	}
	for _, l := range to.Links {
		if l.PatientID == r.filter.PatientID {
			return true
		}
	}
	return r.filter.PatientID == ""
}

func (r *resources) lookUp(ctx context.Context, id uuid.UUID) error {
	var documents []events.AttachmentFact
	var sender, status string
	err := r.pool.QueryRow(ctx, `SELECT sender_id, status, attachments FROM record.messages WHERE message_id = $1`, id).
		Scan(&sender, &status, &documents)
	if err != nil {
		return fmt.Errorf("looking up message %s: %w", id, err)
	}
	r.sent = message{id: id, sender: sender, recalled: status == "recalled"}
	for _, d := range documents {
		r.sent.payload = append(r.sent.payload, payload{attachment{[]extension{{extensionSHA256, d.SHA256}}, d.MediaType, d.Size}})
	}
	return nil
}

// openings gives when each of a chunk's recipients opened the message.
func (r *resources) openings(ctx context.Context, chunk events.DeliveriesCreated) (map[int32]time.Time, error) {
	numbers := make([]int32, len(chunk.Recipients))
	for i := range chunk.Recipients {
		numbers[i] = chunk.Recipients[i].PortalUserNo
	}
	rows, err := r.pool.Query(ctx, `SELECT portal_user_no, opened_at FROM record.opens
		WHERE message_id = $1 AND portal_user_no = ANY($2)`, chunk.MessageID, numbers)
	if err != nil {
		return nil, fmt.Errorf("reading who opened message %s: %w", chunk.MessageID, err)
	}
	opened := map[int32]time.Time{}
	var no int32
	var at time.Time
	if _, err := pgx.ForEachRow(rows, []any{&no, &at}, func() error { opened[no] = at; return nil }); err != nil {
		return nil, fmt.Errorf("reading who opened message %s: %w", chunk.MessageID, err)
	}
	return opened, nil
}

// to is the delivery of the message to one recipient. One that was taken back before
// it was opened has stopped; else it was completed when it could be read.
func (m *message) to(r *events.Recipient, at, opened time.Time) *communication {
	id, name := deliveryOf(m.id, r.PortalUserID)
	c := &communication{ResourceType: "Communication", ID: id, Identifier: []identifier{name}, Status: "completed",
		Sent: instant(at), Sender: known("Practitioner", systemStaff, m.sender), Payload: m.payload}
	switch {
	case !opened.IsZero():
		c.Received = instant(opened)
	case m.recalled:
		c.Status, c.StatusReason = "stopped", &concept{"taken back by its sender before it was opened"}
	}
	recipient := referTo("RelatedPerson", systemPortalUser, r.PortalUserID)
	var patients []reference
	for _, l := range r.Links {
		patient := referTo("Patient", systemPatient, l.PatientID)
		if l.Relationship == "self" {
			recipient = patient
		}
		patients = append(patients, patient)
	}
	c.Recipient = []reference{recipient}
	if len(patients) == 1 {
		c.Subject = &patients[0]
	} else {
		c.About = patients
	}
	return c
}
