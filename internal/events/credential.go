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

func (b PasswordSet) summary(names Names) string {
	switch b.How {
	case ByLink:
		return "set the password of " + names.account(b.Account, b.ID) + " with a link"
	case ByLetter:
		return "set the password of " + names.account(b.Account, b.ID) + " with the code of a letter"
	case ByCurrentPassword:
		return "changed the password of " + names.account(b.Account, b.ID)
	}
	return "set the password of " + names.account(b.Account, b.ID) + " at the command line"
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

func (b LinkIssued) summary(names Names) string {
	password := "a new password"
	if b.Purpose == LinkFirst {
		password = "a first password"
	}
	who := names.account(b.Account, b.ID)
	switch b.By {
	case LinkByEmail:
		return "sent " + who + " a link to set " + password
	case LinkByLetter:
		return "made a letter with a code with which " + who + " can set " + password
	}
	return "made a link with which " + who + " can set " + password
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

func (b StaffChanged) summary(names Names) string {
	what := "name"
	switch {
	case b.NameChanged && b.AddressChanged:
		what = "name and e-mail address"
	case b.AddressChanged:
		what = "e-mail address"
	}
	return "changed the " + what + " of " + names.staff(b.StaffID)
}
