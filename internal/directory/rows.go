package directory

import "postern/internal/directory/field"

// The rows that the decoders make from files. Each has the place that it comes from.

// place says where a row comes from: the number of the file, the line, and the number of
// the entry, counted from 1, if the line is a Bundle with several FHIR resources.
type place struct{ file, line, entry int }

type patientRow struct {
	place
	id, given, family string
	birth             field.Date
	discharged        bool
	deceased          bool
}

type portalUserRow struct {
	place
	id, name, email string
	active          bool
}

type linkRow struct {
	place
	portalUser, patient string
	relationship        string
	from, until         field.Date
}

// relatedRow is the data of a FHIR RelatedPerson that makes a link.
type relatedRow struct {
	place
	id, patient string // patient is "" if it names none
	active      bool
	from, until field.Date
}

// episodeRow is the data of a FHIR EpisodeOfCare that decides a patient's status.
type episodeRow struct {
	place
	id, patient string // patient is "" if it names none
	state       episodeState
}

// episodeState is the state of an episode of care, with its name in the tables.
type episodeState string

const (
	episodeOpen episodeState = "open"
	episodeOver episodeState = "over"
	episodeVoid episodeState = "void" // entered in error, or deleted
)

// replacementRow is the claim in a FHIR Patient that one record replaces another.
type replacementRow struct {
	place
	saidBy, replaced, successor string // successor is "" if it can't be found
}

// resourceKind is a supported type of FHIR resource, with its name in the tables.
type resourceKind string

const (
	kindPatient       resourceKind = "patient"
	kindRelatedPerson resourceKind = "related_person"
	kindEpisode       resourceKind = "episode"
)

// versionRow is one version of a FHIR resource, with the time when it was made.
type versionRow struct {
	place
	kind    resourceKind
	id      string
	deleted bool

	updated  int64 // microseconds since 1970, if dated
	dated    bool
	version  int64 // if numbered
	numbered bool
	history  int // the number of the entry in a history, the newest first; 0 means none

	// Digests of the content. who covers the values that decide which portal users are
	// written to and at which address; rest covers the others.
	who, rest [16]byte
}

// sink receives the rows and the faults of a decoder. The caller of the decoder sets
// its functions. An error of one of them ends the decoding.
type sink struct {
	patient    func(patientRow) error
	portalUser func(portalUserRow) error
	link       func(linkRow) error
	fault      func(fault)
	// Used by the FHIR decoder only.
	related     func(relatedRow) error
	episode     func(episodeRow) error
	replacement func(replacementRow) error
	version     func(versionRow) error
	warn        func(fault)
}
