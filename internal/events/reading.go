package events

import (
	"time"

	"github.com/google/uuid"
)

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

// EventType, Key and Message of each, as in bodies.go.

func (RecordRead) EventType() (Type, int)     { return TypeRecordRead, 1 }
func (b RecordRead) Key() []string            { return []string{b.Reading.String()} }
func (RecordRead) Message() uuid.UUID         { return uuid.Nil }
func (RecordExported) EventType() (Type, int) { return TypeRecordExported, 1 }
func (b RecordExported) Key() []string        { return []string{b.Export.String()} }
func (RecordExported) Message() uuid.UUID     { return uuid.Nil }
