package events

import (
	"time"

	"github.com/google/uuid"
)

// Passwords, the links with which they are set, and the name and address of a staff
// account. None of these events has a password, a token or an e-mail address.
const (
	TypePasswordSet  Type = "password.set"
	TypeLinkIssued   Type = "link.issued"
	TypeStaffChanged Type = "staff.changed"
)

var credentialTypes = []Descriptor{{
	Type: TypePasswordSet, Version: 2, Label: "Password set",
	When:       "a password is set or changed",
	Publishers: []string{API}, Rows: []string{accountEvents},
	summary: summary(PasswordSet.summary),
}, {
	Type: TypeLinkIssued, Version: 2, Label: "Password link issued",
	When:       "a link, or the code of a letter, to set a password is made",
	Publishers: []string{API}, Rows: []string{accountEvents},
	summary: summary(LinkIssued.summary),
}, {
	Type: TypeStaffChanged, Version: 1, Label: "Staff changed",
	When:       "the name or e-mail address of a staff account is changed",
	Publishers: []string{API}, Rows: []string{"staff"},
	About: AboutStaff, summary: summary(StaffChanged.summary),
}}

// PasswordSet says that the password of an account was set. Account is "staff" or
// "portal_user", and ID is whose it is. Change tells one change from the next: a change
// that is repeated, or done twice at once, is one fact. Version 1 knows no letters.
type PasswordSet struct {
	Change  uuid.UUID   `json:"change"`
	Account string      `json:"account"`
	ID      string      `json:"id"`
	How     PasswordHow `json:"how"`
}

func (PasswordSet) EventType() Type    { return TypePasswordSet }
func (b PasswordSet) Key() []string    { return []string{b.Change.String(), b.Account, b.ID} }
func (PasswordSet) Message() uuid.UUID { return uuid.Nil }

func (b PasswordSet) summary(s speaker) string {
	who := s.account(b.Account, b.ID)
	switch b.How {
	case ByLink:
		return s.Text("set the password of {who} with a link", "who", who)
	case ByLetter:
		return s.Text("set the password of {who} with the code of a letter", "who", who)
	case ByCurrentPassword:
		return s.Text("changed the password of {who}", "who", who)
	}
	return s.Text("set the password of {who} at the command line", "who", who)
}

// PasswordHow is what allowed the change of a password.
type PasswordHow string

// The values of [PasswordHow]: a single-use link, the single-use code of a letter, the current
// password, or access to the command line of the machine that holds the data.
const (
	ByLink            PasswordHow = "link"
	ByLetter          PasswordHow = "letter"
	ByCurrentPassword PasswordHow = "current_password"
	ByCommandLine     PasswordHow = "command_line"
)

// LinkIssued says that a single-use link was made with which a person sets a password, or, with
// LinkByLetter, a user name and a single-use code on a letter.
// Account is "staff" or "portal_user", and ID is whose it is. The actor is the staff
// member or operator who made it, or the process where a person asked for it by typing an
// e-mail address. Link identifies the link; neither the token nor the code can be derived from it.
// Version 1 knows no letters.
type LinkIssued struct {
	Link      uuid.UUID   `json:"link"`
	Account   string      `json:"account"`
	ID        string      `json:"id"`
	Purpose   LinkPurpose `json:"purpose"`
	By        LinkBy      `json:"by"`
	ExpiresAt time.Time   `json:"expires_at"`
}

func (LinkIssued) EventType() Type    { return TypeLinkIssued }
func (b LinkIssued) Key() []string    { return []string{b.Link.String()} }
func (LinkIssued) Message() uuid.UUID { return uuid.Nil }

func (b LinkIssued) summary(s speaker) string {
	password := s.Text("a new password")
	if b.Purpose == LinkFirst {
		password = s.Text("a first password")
	}
	who := s.account(b.Account, b.ID)
	switch b.By {
	case LinkByEmail:
		return s.Text("sent {who} a link to set {password}", "who", who, "password", password)
	case LinkByLetter:
		return s.Text("made a letter with a code with which {who} can set {password}", "who", who, "password", password)
	}
	return s.Text("made a link with which {who} can set {password}", "who", who, "password", password)
}

// LinkPurpose says whether the owner of a link had a password when it was made.
type LinkPurpose string

// The values of [LinkPurpose].
const (
	LinkFirst LinkPurpose = "first"
	LinkReset LinkPurpose = "reset"
)

// LinkBy is how a link goes to its owner.
type LinkBy string

// The values of [LinkBy]. A link that is shown at the command line is handed over by the
// operator. A letter is printed.
const (
	LinkByEmail       LinkBy = "email"
	LinkByCommandLine LinkBy = "command_line"
	LinkByLetter      LinkBy = "letter"
)

// StaffChanged says that the name or the e-mail address of a staff account changed. Name
// is the name from now on, changed or not. The address is not in the event.
type StaffChanged struct {
	Change         uuid.UUID `json:"change"`
	StaffID        string    `json:"staff_id"`
	Name           string    `json:"name"`
	NameChanged    bool      `json:"name_changed"`
	AddressChanged bool      `json:"address_changed"`
}

func (StaffChanged) EventType() Type    { return TypeStaffChanged }
func (b StaffChanged) Key() []string    { return []string{b.Change.String(), b.StaffID} }
func (StaffChanged) Message() uuid.UUID { return uuid.Nil }

func (b StaffChanged) summary(s speaker) string {
	switch who := s.staff(b.StaffID); {
	case b.NameChanged && b.AddressChanged:
		return s.Text("changed the name and e-mail address of {who}", "who", who)
	case b.AddressChanged:
		return s.Text("changed the e-mail address of {who}", "who", who)
	default:
		return s.Text("changed the name of {who}", "who", who)
	}
}
