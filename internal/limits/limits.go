// Package limits states how large, how long and how many things may be, where a clinic
// may decide that: each limit once, with its unit. Checks, the API and its description,
// pages, texts of errors and docs/operating.md take the limits from here; a test compares
// the CHECKs of the database with them. The schemas of events have their own, wider
// bounds.
//
// To change a limit, change it here and run `go generate ./...`. Where the test then says
// that a CHECK of the database differs, add a migration.
//
// The package does no I/O.
package limits

import (
	"fmt"
	"reflect"
	"strings"

	"postern/internal/text/number"
	"postern/internal/text/size"
)

// The units of the limits. Each is written as people read it: "4 MB", "200 characters".
type (
	Bytes      int64
	Characters int
	Count      int
	Seconds    int
	Days       int
)

// Messages.
const (
	// Subject is the most characters of a message's subject.
	Subject Characters = 200
	// Body is the most characters of a message's text.
	Body Characters = 100_000
	// Recipients is how many portal users can be chosen by name for a message. Groups
	// have no limit.
	Recipients Count = 5000
	// StaffBcc is how many staff a message can name as Staff Bcc.
	StaffBcc Count = 50
	// Attachments is how many documents a message can carry.
	Attachments Count = 20
	// AttachmentSize is the most bytes of a document. A CHECK of app.attachments has it too.
	AttachmentSize Bytes = 4 << 20
	// Undo is how long a message can be held before it goes out, so that it can be cancelled.
	Undo Seconds = 600
	// SendAhead is how far ahead a message can be scheduled.
	SendAhead Days = 366
)

// What staff type and set.
const (
	// Reason is the most characters of a reason: for a recall, an erasure, a pause, a
	// replay, or settling a parked event.
	Reason Characters = 500
	// WordingName is the most characters of the name of a saved wording.
	WordingName Characters = 100
	// Wordings is how many saved wordings a staff member can have.
	Wordings Count = 200
	// Label is the most characters of a Custom Label.
	Label Characters = 40
	// ClinicLine is the most characters of the clinic's name or telephone.
	ClinicLine Characters = 100
	// ClinicLines is the most characters of the clinic's address or opening hours.
	ClinicLines Characters = 500
	// ClinicHelp is the most characters of the page of help.
	ClinicHelp Characters = 10_000
	// ClinicLogo is the most bytes of the logo as it is kept: an event holds it.
	ClinicLogo Bytes = 48 << 10
	// ClinicLogoFile is the most bytes of the file of a logo, before it is cleaned.
	ClinicLogoFile Bytes = 1 << 20
	// StaffName is the most characters of a staff member's name.
	StaffName Characters = 200
	// TokenName is the most characters of the name of an API token.
	TokenName Characters = 100
	// PasskeyName is the most characters of the name of a passkey.
	PasskeyName Characters = 100
	// Passkeys is how many passkeys a person can have.
	Passkeys Count = 20
	// Tokens is how many API tokens that work a staff member can have.
	Tokens Count = 50
	// TokenLifetime is how long an API token can be valid.
	TokenLifetime Days = 366
	// Search is the most characters that a search takes.
	Search Characters = 200
	// ReplayRate is the highest rate of a replay, in alerts a minute.
	ReplayRate Count = 1_000_000
)

// Passwords.
const (
	// StaffPassword is the fewest characters of a staff member's password.
	StaffPassword Characters = 12
	// PortalPassword is the fewest characters of a portal user's password, which many
	// choose on a phone.
	PortalPassword Characters = 10
	// Password is the most characters of any password.
	Password Characters = 128
	// LetterCode is how long the code of a letter to set a password works: a letter takes days.
	LetterCode Days = 21
	// Letters is how many letters are made at once.
	Letters Count = 50
)

// The directory.
const (
	// DirectoryID is the most characters of the id of a patient or a portal user. CHECKs
	// of app.patients and app.portal_users have it too.
	DirectoryID Characters = 64
	// DirectoryName is the most characters of a name in the directory.
	DirectoryName Characters = 200
	// ImportFiles is how many files an import by page can have.
	ImportFiles Count = 50
	// ImportSize is the most bytes of the files of an import by page together.
	ImportSize Bytes = 1 << 30
)

// A Limit is a row of the table for texts and docs.
type Limit struct {
	Name  string // of the constant, as texts have it in braces
	Value fmt.Stringer
	Of    string // what it limits, as a person reads it
}

// All is the table of limits.
var All = []Limit{
	{"Subject", Subject, "Subject of a message"},
	{"Body", Body, "Text of a message"},
	{"Recipients", Recipients, "Portal users chosen by name for a message"},
	{"StaffBcc", StaffBcc, "Staff Bcc of a message"},
	{"Attachments", Attachments, "Documents of a message"},
	{"AttachmentSize", AttachmentSize, "Size of a document"},
	{"Undo", Undo, "Time in which a message can be undone"},
	{"SendAhead", SendAhead, "How far ahead a message can be scheduled"},
	{"Reason", Reason, "A reason for a recall, an erasure, a pause, a replay or a parked event"},
	{"WordingName", WordingName, "Name of a saved wording"},
	{"Wordings", Wordings, "Saved wordings of a staff member"},
	{"Label", Label, "A Custom Label"},
	{"ClinicLine", ClinicLine, "The clinic's name or telephone"},
	{"ClinicLines", ClinicLines, "The clinic's address or opening hours"},
	{"ClinicHelp", ClinicHelp, "The page of help in the portal"},
	{"ClinicLogo", ClinicLogo, "The clinic's logo, as it is kept"},
	{"ClinicLogoFile", ClinicLogoFile, "The file of a logo"},
	{"StaffName", StaffName, "Name of a staff member"},
	{"TokenName", TokenName, "Name of an API token"},
	{"PasskeyName", PasskeyName, "Name of a passkey"},
	{"Passkeys", Passkeys, "Passkeys of a person"},
	{"Tokens", Tokens, "API tokens of a staff member that work"},
	{"TokenLifetime", TokenLifetime, "How long an API token can be valid"},
	{"Search", Search, "Words of a search"},
	{"ReplayRate", ReplayRate, "Alerts a minute of a replay"},
	{"StaffPassword", StaffPassword, "Password of a staff member, at least"},
	{"PortalPassword", PortalPassword, "Password of a portal user, at least"},
	{"Password", Password, "Any password, at most"},
	{"LetterCode", LetterCode, "How long the code of a letter works"},
	{"Letters", Letters, "Letters that are made and printed at once"},
	{"DirectoryID", DirectoryID, "Id of a patient or a portal user"},
	{"DirectoryName", DirectoryName, "Name of a patient or a portal user"},
	{"ImportFiles", ImportFiles, "Files of an import by page"},
	{"ImportSize", ImportSize, "Size of the files of an import by page, together"},
}

// Number is the value of a limit by its name, in its unit. It fails where there is no
// such limit, and so does a template that names one.
func Number(name string) (int64, error) {
	for _, limit := range All {
		if limit.Name == name {
			return reflect.ValueOf(limit.Value).Int(), nil
		}
	}
	return 0, fmt.Errorf("there is no limit %q", name)
}

// filler puts limits in the place of their names.
var filler = func() *strings.Replacer {
	var pairs []string
	for _, limit := range All {
		pairs = append(pairs, "{"+limit.Name+"}", limit.Value.String())
	}
	return strings.NewReplacer(pairs...)
}()

// Fill puts limits into a text that has their names in braces: "at most {AttachmentSize}"
// becomes "at most 4 MB".
func Fill(text string) string { return filler.Replace(text) }

// Each unit as people read it.
func (b Bytes) String() string      { return size.Text(int64(b)) }
func (c Characters) String() string { return number.Text(int(c)) + " characters" }
func (c Count) String() string      { return number.Text(int(c)) }
func (s Seconds) String() string    { return number.Text(int(s)) + " seconds" }
func (d Days) String() string       { return number.Text(int(d)) + " days" }
