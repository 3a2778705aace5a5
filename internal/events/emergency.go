package events

import (
	"time"

	"github.com/google/uuid"

	"postern/internal/text/language"
)

// Emergency access to the content of one message, or to the disclosures of one patient.
const (
	TypeEmergencyOpened   Type = "emergency.opened"
	TypeEmergencyRead     Type = "emergency.read"
	TypeEmergencyEnded    Type = "emergency.ended"
	TypeEmergencyReviewed Type = "emergency.reviewed"
)

var emergencyTypes = []Descriptor{{
	Type: TypeEmergencyOpened, Version: 1, Label: "Emergency access opened",
	When:       "a staff member opens emergency access, before anything is shown",
	Publishers: []string{API}, Rows: []string{"emergencies"},
	OfMessage: MaybeMessage, summary: summary(EmergencyOpened.summary),
}, {
	Type: TypeEmergencyRead, Version: 1, Label: "Read by emergency access",
	When:       "content, a document or disclosures are about to be shown by emergency access",
	Publishers: []string{API}, Rows: []string{"emergency_reads"},
	OfMessage: MaybeMessage, summary: summary(EmergencyRead.summary),
}, {
	Type: TypeEmergencyEnded, Version: 1, Label: "Emergency access ended",
	When:       "emergency access is ended before its time",
	Publishers: []string{API}, Rows: []string{"emergencies"},
	summary: words(language.Mark("ended emergency access before its time")),
}, {
	Type: TypeEmergencyReviewed, Version: 1, Label: "Emergency access reviewed",
	When:       "a reviewer has looked at emergency access that another person used",
	Publishers: []string{API}, Rows: []string{"emergencies"},
	summary: words(language.Mark("reviewed emergency access")),
}}

// EmergencyOpened says that a staff member, who is the actor, opened the content of one message
// or the disclosures of one patient, until a time. MessageID is nil, or PatientID is empty.
// Reason is as they typed it.
type EmergencyOpened struct {
	Opening   uuid.UUID  `json:"opening"`
	MessageID *uuid.UUID `json:"message_id"`
	PatientID string     `json:"patient_id"`
	Reason    string     `json:"reason"`
	Until     time.Time  `json:"until"`
}

func (EmergencyOpened) EventType() Type      { return TypeEmergencyOpened }
func (b EmergencyOpened) Key() []string      { return []string{b.Opening.String()} }
func (b EmergencyOpened) Message() uuid.UUID { return orNil(b.MessageID) }

func (b EmergencyOpened) summary(s speaker) string {
	until := b.Until.UTC().Format("2006-01-02 15:04:05 UTC")
	if b.PatientID != "" {
		return s.Text("opened emergency access to the disclosures of patient {patient}, until {time}", "patient", b.PatientID, "time", until)
	}
	return s.Text("opened emergency access to the content of the message, until {time}", "time", until)
}

// EmergencyRead says that something is about to be shown by emergency access.
type EmergencyRead struct {
	Reading      uuid.UUID     `json:"reading"`
	Opening      uuid.UUID     `json:"opening"`
	What         EmergencyWhat `json:"what"`
	MessageID    *uuid.UUID    `json:"message_id"`
	AttachmentID *uuid.UUID    `json:"attachment_id"`
	PatientID    string        `json:"patient_id"`
}

func (EmergencyRead) EventType() Type      { return TypeEmergencyRead }
func (b EmergencyRead) Key() []string      { return []string{b.Reading.String()} }
func (b EmergencyRead) Message() uuid.UUID { return orNil(b.MessageID) }

func (b EmergencyRead) summary(s speaker) string {
	switch {
	case b.PatientID != "":
		return s.Text("read the disclosures of patient {patient} by emergency access", "patient", b.PatientID)
	case b.What == ReadDocument:
		return s.Text("read a document of the message by emergency access")
	}
	return s.Text("read the content of the message by emergency access")
}

// EmergencyWhat is what is shown by emergency access.
type EmergencyWhat string

// The values of [EmergencyWhat].
const (
	ReadContent     EmergencyWhat = "content"
	ReadDocument    EmergencyWhat = "document"
	ReadDisclosures EmergencyWhat = "disclosures"
)

// EmergencyEnded says that nothing more is shown by an opening: the person who opened it, or a
// reviewer, ended it before its time.
type EmergencyEnded struct {
	Opening uuid.UUID `json:"opening"`
}

func (EmergencyEnded) EventType() Type    { return TypeEmergencyEnded }
func (b EmergencyEnded) Key() []string    { return []string{b.Opening.String()} }
func (EmergencyEnded) Message() uuid.UUID { return uuid.Nil }

// EmergencyReviewed says that the actor, who is ReviewedBy, looked at an opening of another
// person. Note is as they typed it.
type EmergencyReviewed struct {
	Opening    uuid.UUID `json:"opening"`
	ReviewedBy string    `json:"reviewed_by"`
	Note       string    `json:"note"`
}

func (EmergencyReviewed) EventType() Type    { return TypeEmergencyReviewed }
func (b EmergencyReviewed) Key() []string    { return []string{b.Opening.String(), b.ReviewedBy} }
func (EmergencyReviewed) Message() uuid.UUID { return uuid.Nil }
