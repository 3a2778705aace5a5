package events

import (
	"strconv"
	"time"

	"postern/internal/text/number"

	"github.com/google/uuid"
)

// Who has read the record, and what left with it.
const (
	TypeRecordRead     Type = "record.read"
	TypeRecordExported Type = "record.exported"
	TypeReceiptIssued  Type = "receipt.issued"
)

var recordTypes = []Descriptor{{
	Type: TypeRecordRead, Version: 1, Label: "Record read",
	When:       "the record is read, before the reader sees it",
	Publishers: []string{API},
	summary:    summary(RecordRead.summary),
}, {
	Type: TypeRecordExported, Version: 1, Label: "Record exported",
	When:       "an export of the record was written to its end",
	Publishers: []string{API},
	summary:    summary(RecordExported.summary),
}, {
	Type: TypeReceiptIssued, Version: 1, Label: "Receipt issued",
	When:       "the proof of a delivery is handed out",
	Publishers: []string{API},
	About:      AboutNamed, OfMessage: OneMessage,
	summary: summary(func(b ReceiptIssued, _ Names) string {
		return "issued a receipt for the delivery of the message to portal user " + b.PortalUserID
	}),
}}

// ReceiptIssued says that the proof of one delivery was handed out: Digest is that
// which stands in it, Names whether it says how the documents are called.
type ReceiptIssued struct {
	ReceiptID    uuid.UUID `json:"receipt_id"`
	MessageID    uuid.UUID `json:"message_id"`
	PortalUserID string    `json:"portal_user_id"`
	Digest       string    `json:"digest"`
	Names        bool      `json:"names"`
}

func (ReceiptIssued) EventType() Type      { return TypeReceiptIssued }
func (b ReceiptIssued) Key() []string      { return []string{b.ReceiptID.String()} }
func (b ReceiptIssued) Message() uuid.UUID { return b.MessageID }

// RecordRead says that somebody read the record. It is on the record before they
// get to see what they read. Count is how many events they were given; of an export
// it is 0, which [RecordExported] tells once it has come to its end: one without it
// was broken off.
type RecordRead struct {
	Reading uuid.UUID    `json:"reading"`
	What    Reading      `json:"what"`
	Seq     uint64       `json:"seq,omitempty"` // of one event
	Format  string       `json:"format"`        // of an export; else ""
	Filter  RecordFilter `json:"filter"`
	Count   int          `json:"count"`
}

func (RecordRead) EventType() Type    { return TypeRecordRead }
func (b RecordRead) Key() []string    { return []string{b.Reading.String()} }
func (RecordRead) Message() uuid.UUID { return uuid.Nil }

func (b RecordRead) summary(Names) string {
	switch b.What {
	case ReadEvent:
		return "read event " + strconv.FormatUint(b.Seq, 10) + " of the record"
	case ReadExport:
		return "began an export of the record"
	case ReadTail:
		return "followed the record as it grows"
	}
	return "read a list of " + number.Of(b.Count, "event", "events") + " of the record"
}

// Reading is what of the record was read.
type Reading string

// The values of [Reading]: a page of a list, one event whole, what follows from now
// on, all that a filter chooses.
const (
	ReadList   Reading = "list"
	ReadEvent  Reading = "event"
	ReadTail   Reading = "tail"
	ReadExport Reading = "export"
)

// RecordFilter is which events were asked for; an absent member means any.
type RecordFilter struct {
	MessageID    *uuid.UUID `json:"message_id,omitempty"`
	PortalUserID string     `json:"portal_user_id,omitempty"`
	PatientID    string     `json:"patient_id,omitempty"`
	Type         string     `json:"type,omitempty"`
	Actor        string     `json:"actor,omitempty"`
	From         *time.Time `json:"from,omitempty"`
	To           *time.Time `json:"to,omitempty"`
}

// RecordExported is the manifest of an export: what was asked for, how far the
// record had come, and what was written. Export is the reading that began it.
type RecordExported struct {
	Export  uuid.UUID    `json:"export"`
	Format  string       `json:"format"`
	Filter  RecordFilter `json:"filter"`
	Through uint64       `json:"through"` // the last event that was looked at
	Events  int          `json:"events"`  // how many the filter chose
	Rows    int          `json:"rows"`    // lines or resources written
	Bytes   int64        `json:"bytes"`
	Digest  string       `json:"digest"` // "sha256:" and hex, over the file
	// Checkpoint is the latest signed one when the export ended, and Covers the
	// number of events that it proves; "" and 0 where there was none.
	Checkpoint string `json:"checkpoint"`
	Covers     uint64 `json:"covers"`
}

func (RecordExported) EventType() Type    { return TypeRecordExported }
func (b RecordExported) Key() []string    { return []string{b.Export.String()} }
func (RecordExported) Message() uuid.UUID { return uuid.Nil }

func (b RecordExported) summary(Names) string {
	return "exported " + number.Of(b.Events, "event", "events") + " of the record as " + b.Format
}
