// Package source defines what the decoders make from the files of an import: rows with the
// places that they come from, and faults. Its packages csvfile and fhir decode. None of
// them uses a database.
//
// A value of a row is checked and fits the database. Values are not safe for concurrent use.
package source

import "postern/internal/directory/field"

// Place says where a row comes from: the number of the file in the order given, counted
// from 0, the line, counted from 1, and the number of the entry, counted from 1, if the
// line is a Bundle with several FHIR resources.
type Place struct{ File, Line, Entry int }

// Patient is a patient of a file.
type Patient struct {
	Place
	ID, Given, Family string
	Birth             field.Date
	Discharged        bool
	Deceased          bool
}

// PortalUser is a portal user of a file.
type PortalUser struct {
	Place
	ID, Name, Email string
	Active          bool
}

// Link is a link of a file.
type Link struct {
	Place
	PortalUser, Patient string // ids
	Relationship        string // field.Self or field.Representative
	From, Until         field.Date
}

// RelatedPerson is the data of a FHIR RelatedPerson that makes a link.
type RelatedPerson struct {
	Place
	ID, Patient string // Patient is "" if it names none
	Active      bool
	From, Until field.Date
}

// Episode is the data of a FHIR EpisodeOfCare that decides a patient's status.
type Episode struct {
	Place
	ID, Patient string // Patient is "" if it names none
	State       EpisodeState
}

// EpisodeState is the state of an episode of care, with its name in the tables.
type EpisodeState string

// The states of an episode.
const (
	EpisodeOpen EpisodeState = "open"
	EpisodeOver EpisodeState = "over"
	EpisodeVoid EpisodeState = "void" // entered in error, or deleted
)

// Replacement is the claim in a FHIR Patient that one record replaces another.
type Replacement struct {
	Place
	SaidBy, Replaced, Successor string // Successor is "" if it can't be found
}

// ResourceKind is a supported type of FHIR resource, with its name in the tables.
type ResourceKind string

// The supported types of resources.
const (
	PatientResource       ResourceKind = "patient"
	RelatedPersonResource ResourceKind = "related_person"
	EpisodeResource       ResourceKind = "episode"
)

// Version is one version of a FHIR resource, with the time when it was made.
type Version struct {
	Place
	Kind    ResourceKind
	ID      string
	Deleted bool

	Updated  int64 // microseconds since 1970, if dated
	Dated    bool
	Version  int64 // if numbered
	Numbered bool
	History  int // the number of the entry in a history, the newest first; 0 means none

	// Digests of the content. Who covers the values that decide which portal users are
	// written to and at which address; Rest covers the others.
	Who, Rest [16]byte
}

// Sink receives the rows and the faults of a decoder. The caller of the decoder sets
// its functions. An error of one of them ends the decoding.
type Sink struct {
	Patient    func(Patient) error
	PortalUser func(PortalUser) error
	Link       func(Link) error
	Fault      func(Fault)
	// Used by the FHIR decoder only.
	RelatedPerson func(RelatedPerson) error
	Episode       func(Episode) error
	Replacement   func(Replacement) error
	Version       func(Version) error
	Warn          func(Fault)
}
