package events

import "github.com/google/uuid"

// Links between staff accounts and identities at the clinic's own identity provider.
const (
	TypeIdentityLinked   Type = "identity.linked"
	TypeIdentityUnlinked Type = "identity.unlinked"
)

// ByTheOrganisation is the actor of what the clinic's own identity provider decides about a
// staff account: that there is one, and the permissions that its groups give and take.
const ByTheOrganisation = "process:organisation"

var identityTypes = []Descriptor{{
	Type: TypeIdentityLinked, Version: 1, Label: "Linked to the organisation",
	When:       "a staff account is linked to an identity at the organisation",
	Publishers: []string{API}, Rows: []string{"identities"},
	About: AboutStaff, summary: summary(IdentityLinked.summary),
}, {
	Type: TypeIdentityUnlinked, Version: 1, Label: "Unlinked from the organisation",
	When:       "the link of a staff account to an identity is ended",
	Publishers: []string{API}, Rows: []string{"identities"},
	About: AboutStaff, summary: summary(IdentityUnlinked.summary),
}}

// IdentityLinked says that a staff member signs in, from now on, with one identity at the
// issuer and no other. Identity is random: the issuer's id of the person, the sub, can't be
// derived from it, nor a guess at it be checked.
type IdentityLinked struct {
	Identity uuid.UUID `json:"identity"`
	StaffID  string    `json:"staff_id"`
	Issuer   string    `json:"issuer"`
}

func (IdentityLinked) EventType() Type    { return TypeIdentityLinked }
func (b IdentityLinked) Key() []string    { return []string{b.Identity.String(), b.StaffID} }
func (IdentityLinked) Message() uuid.UUID { return uuid.Nil }

func (b IdentityLinked) summary(s speaker) string {
	return s.Text("linked the staff account of {who} to their sign-in at the organisation", "who", s.staff(b.StaffID))
}

// IdentityUnlinked says that a link is ended. Identity is that of the [IdentityLinked], so
// ending one link twice is one fact, and never ends the next.
type IdentityUnlinked struct {
	Identity uuid.UUID `json:"identity"`
	StaffID  string    `json:"staff_id"`
}

func (IdentityUnlinked) EventType() Type    { return TypeIdentityUnlinked }
func (b IdentityUnlinked) Key() []string    { return []string{b.Identity.String(), b.StaffID} }
func (IdentityUnlinked) Message() uuid.UUID { return uuid.Nil }

func (b IdentityUnlinked) summary(s speaker) string {
	return s.Text("unlinked the staff account of {who} from their sign-in at the organisation", "who", s.staff(b.StaffID))
}
