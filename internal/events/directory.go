package events

import (
	"github.com/google/uuid"
)

// The clinic's own labels and details, and its directory of patients and portal users.
const (
	TypeLabelChanged      Type = "label.changed"
	TypeClinicChanged     Type = "clinic.changed"
	TypeDirectoryImported Type = "directory.imported"
)

var directoryTypes = []Descriptor{{
	Type: TypeLabelChanged, Version: 1, Label: "Label changed",
	When:       "the clinic changes a label",
	Publishers: []string{API}, Rows: []string{"labels"},
	summary: summary(LabelChanged.summary),
}, {
	Type: TypeClinicChanged, Version: 1, Label: "Clinic details changed",
	When:       "the clinic changes what the portal shows of it",
	Publishers: []string{API}, Rows: []string{"clinic"},
	summary: summary(ClinicChanged.summary),
}, {
	Type: TypeDirectoryImported, Version: 1, Label: "Directory imported",
	When:       "an import changed the directory",
	Publishers: []string{API, Recorder}, // the recorder publishes the events in the outbox
	summary:    summary(DirectoryImported.summary),
}}

// LabelChanged says that the clinic changed one of its labels, such as that for a
// patient.
type LabelChanged struct {
	Change uuid.UUID `json:"change"`
	Label  string    `json:"label"`
	One    string    `json:"one"`
	Many   string    `json:"many"`
}

func (LabelChanged) EventType() Type    { return TypeLabelChanged }
func (b LabelChanged) Key() []string    { return []string{b.Change.String(), b.Label} }
func (LabelChanged) Message() uuid.UUID { return uuid.Nil }
func (b LabelChanged) summary(s speaker) string {
	return s.Text("changed the label {label}", "label", b.Label)
}

// ClinicChanged says that the clinic changed its name, logo, address or other details. It has all
// of them, as they are from now on.
type ClinicChanged struct {
	Change    uuid.UUID   `json:"change"`
	Name      string      `json:"name"`
	Telephone string      `json:"telephone"`
	Address   string      `json:"address"`
	Hours     string      `json:"hours"`
	Help      string      `json:"help"`
	Colour    string      `json:"colour"`
	Logo      *ClinicLogo `json:"logo,omitempty"`
}

// ClinicLogo is a picture that has passed clinic.ReadLogo.
type ClinicLogo struct {
	MediaType string `json:"media_type"`
	Data      []byte `json:"data"`
}

func (ClinicChanged) EventType() Type          { return TypeClinicChanged }
func (b ClinicChanged) Key() []string          { return []string{b.Change.String()} }
func (ClinicChanged) Message() uuid.UUID       { return uuid.Nil }
func (ClinicChanged) summary(s speaker) string { return s.Text("changed the clinic’s details") }

// DirectoryImported says that an import changed the directory.
type DirectoryImported struct {
	ImportID    uuid.UUID   `json:"import_id"`
	Format      string      `json:"format"`
	Patients    ImportTally `json:"patients"`
	PortalUsers ImportTally `json:"portal_users"`
	Links       ImportTally `json:"links"`
}

func (DirectoryImported) EventType() Type    { return TypeDirectoryImported }
func (b DirectoryImported) Key() []string    { return []string{b.ImportID.String()} }
func (DirectoryImported) Message() uuid.UUID { return uuid.Nil }

func (b DirectoryImported) summary(s speaker) string {
	tally := func(t ImportTally) string {
		return s.Text("{fresh} new and {changed} changed", "fresh", t.New, "changed", t.Changed)
	}
	return s.Text("imported the directory: patients {patients}, portal users {users}, links {links}",
		"patients", tally(b.Patients), "users", tally(b.PortalUsers), "links", tally(b.Links))
}

// ImportTally counts the rows of one kind in an import.
type ImportTally struct {
	New       int `json:"new"`
	Changed   int `json:"changed"`
	Unchanged int `json:"unchanged"`
}
