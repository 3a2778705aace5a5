package events

import (
	"strconv"
	"time"

	"github.com/google/uuid"
)

// The record is read and exported, receipts are issued, and deliveries are disclosed.
const (
	TypeRecordRead     Type = "record.read"
	TypeRecordExported Type = "record.exported"
	TypeReceiptIssued  Type = "receipt.issued"
	// TypeDeliveryDisclosed is the only disclosure outside the portal that Postern makes itself.
	TypeDeliveryDisclosed Type = "delivery.disclosed"
)

var recordTypes = []Descriptor{{
	Type: TypeRecordRead, Version: 2, Label: "Record read",
	When:       "the record is read, or people are found by name to read of them, before the reader gets the answer",
	Publishers: []string{API},
	summary:    summary(RecordRead.summary),
}, {
	Type: TypeRecordExported, Version: 1, Label: "Record exported",
	When:       "an export of the record is complete",
	Publishers: []string{API},
	summary:    summary(RecordExported.summary),
}, {
	Type: TypeReceiptIssued, Version: 1, Label: "Receipt issued",
	When:       "a receipt for a delivery is issued",
	Publishers: []string{API},
	About:      AboutNamed, OfMessage: OneMessage,
	summary: summary(func(b ReceiptIssued, s speaker) string {
		return s.Text("issued a receipt for the delivery of the message to portal user {id}", "id", b.PortalUserID)
	}),
}, {
	Type: TypeDeliveryDisclosed, Version: 1, Label: "Delivery disclosed",
	When:       "the evidence of a delivery is about to be handed to a person outside the portal",
	Publishers: []string{API},
	About:      AboutNamed, OfMessage: OneMessage,
	summary: summary(DeliveryDisclosed.summary),
}}

// DeliveryDisclosed says that a bundle with the evidence of one delivery was made for a person
// outside the portal. It is stored before the bundle is given out, so that the accounting of
// disclosures (45 CFR 164.528) has every bundle. Who got it, their address and the purpose are
// as the actor typed them.
type DeliveryDisclosed struct {
	Disclosure   uuid.UUID `json:"disclosure"`
	MessageID    uuid.UUID `json:"message_id"`
	PortalUserID string    `json:"portal_user_id"`
	// PatientIDs are the patients whom the delivery concerned: those of its links.
	PatientIDs []string        `json:"patient_ids"`
	To         string          `json:"to"`
	Address    string          `json:"address"` // "" if it is not known
	Basis      DisclosureBasis `json:"basis"`
	Purpose    string          `json:"purpose"`
	// Content is whether the bundle has the text and the documents; Documents counts these.
	Content   bool `json:"content"`
	Documents int  `json:"documents"`
	// Digest is that of the bundle's file: "sha256:" and hex. Receipt is that of its receipt.
	Digest  string `json:"digest"`
	Receipt string `json:"receipt"`
}

// EventType implements [Body].
func (DeliveryDisclosed) EventType() Type { return TypeDeliveryDisclosed }

// Key implements [Body].
func (b DeliveryDisclosed) Key() []string { return []string{b.Disclosure.String()} }

// Message implements [Body].
func (b DeliveryDisclosed) Message() uuid.UUID { return b.MessageID }

func (b DeliveryDisclosed) summary(s speaker) string {
	with := s.Text("without its content")
	if b.Content {
		with = s.Count(b.Documents, "with its text and {n} document", "with its text and {n} documents")
	}
	return s.Text("disclosed the delivery of the message to portal user {id}, {with}, to {whom}", "id", b.PortalUserID, "with", with, "whom", b.To)
}

// DisclosureBasis says on what ground a disclosure is made, which decides whether the accounting
// of disclosures must have it.
type DisclosureBasis string

// The values of [DisclosureBasis].
const (
	// ToOther is a disclosure that the accounting must have: for example by a court order, or to
	// the lawyer of another party.
	ToOther DisclosureBasis = "other"
	// ToPatient is one to the patient, or to their representative.
	ToPatient DisclosureBasis = "patient"
	// ByAuthorization is one that the patient has authorized in writing.
	ByAuthorization DisclosureBasis = "authorization"
	// ForOperations is one for treatment, payment or the clinic's own operations, for example to
	// the clinic's own lawyer.
	ForOperations DisclosureBasis = "operations"
)

// ReceiptIssued says that the receipt for one delivery was issued. Digest is the
// digest in the receipt; Names says whether the receipt has the documents' names.
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

// RecordRead says that a person read the record. It is stored before the person gets
// the events. Count is the number of events read. For an export it is 0: a
// [RecordExported] gives the number when the export is complete. An export without a
// RecordExported was interrupted.
//
// From version 2 on, What may be [ReadPeople]: then Count is the number of people found by name, and
// the Filter is empty. The name is not in the event.
type RecordRead struct {
	Reading uuid.UUID    `json:"reading"`
	What    ReadKind     `json:"what"`
	Seq     uint64       `json:"seq,omitempty"` // for one event
	Format  string       `json:"format"`        // for an export; otherwise ""
	Filter  RecordFilter `json:"filter"`
	Count   int          `json:"count"`
}

func (RecordRead) EventType() Type    { return TypeRecordRead }
func (b RecordRead) Key() []string    { return []string{b.Reading.String()} }
func (RecordRead) Message() uuid.UUID { return uuid.Nil }

func (b RecordRead) summary(s speaker) string {
	switch b.What {
	case ReadEvent:
		return s.Text("read event {seq} of the record", "seq", strconv.FormatUint(b.Seq, 10))
	case ReadExport:
		return s.Text("began an export of the record")
	case ReadTail:
		return s.Text("followed new events of the record")
	case ReadPeople:
		return s.Count(b.Count, "found {n} person by name", "found {n} people by name")
	}
	return s.Count(b.Count, "read a list of {n} event of the record", "read a list of {n} events of the record")
}

// ReadKind is the kind of access to the record.
type ReadKind string

// The values of [ReadKind]: a page of a list, one whole event, new events as they are
// recorded, an export of all events that a filter selects, people found by name.
const (
	ReadPeople ReadKind = "people"
	ReadList   ReadKind = "list"
	ReadEvent  ReadKind = "event"
	ReadTail   ReadKind = "tail"
	ReadExport ReadKind = "export"
)

// RecordFilter selects events; an absent member means any.
type RecordFilter struct {
	MessageID    *uuid.UUID `json:"message_id,omitempty"`
	PortalUserID string     `json:"portal_user_id,omitempty"`
	PatientID    string     `json:"patient_id,omitempty"`
	Type         string     `json:"type,omitempty"`
	Actor        string     `json:"actor,omitempty"`
	From         *time.Time `json:"from,omitempty"`
	To           *time.Time `json:"to,omitempty"`
}

// RecordExported is the manifest of an export: its filter, the last event it covers,
// and the size of its file. Export is the [RecordRead] that began it.
type RecordExported struct {
	Export  uuid.UUID    `json:"export"`
	Format  string       `json:"format"`
	Filter  RecordFilter `json:"filter"`
	Through uint64       `json:"through"` // the last event that the filter was applied to
	Events  int          `json:"events"`  // events that the filter selected
	Rows    int          `json:"rows"`    // lines or resources written
	Bytes   int64        `json:"bytes"`
	Digest  string       `json:"digest"` // of the file: "sha256:" and hex
	// Checkpoint is the latest signed checkpoint when the export ended, and Covers the
	// number of events that it proves; "" and 0 if there was none.
	Checkpoint string `json:"checkpoint"`
	Covers     uint64 `json:"covers"`
}

func (RecordExported) EventType() Type    { return TypeRecordExported }
func (b RecordExported) Key() []string    { return []string{b.Export.String()} }
func (RecordExported) Message() uuid.UUID { return uuid.Nil }

func (b RecordExported) summary(s speaker) string {
	return s.Count(b.Events, "exported {n} event of the record as {format}", "exported {n} events of the record as {format}", "format", b.Format)
}
