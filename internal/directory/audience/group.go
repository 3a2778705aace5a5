package audience

import "postern/internal/directory/audience/rule"

// The rules are those of package rule.
type (
	// Group names a set of portal users that staff may choose as recipients.
	Group = rule.Group
	// Reason is the reason why a portal user is included in an audience or excluded from it.
	Reason = rule.Reason
	// Tie is a link in force, seen from the portal user.
	Tie = rule.Tie
)

// The groups. The package's documentation defines their members.
const (
	ActivePatients     = rule.ActivePatients
	DischargedPatients = rule.DischargedPatients
	AllPortalUsers     = rule.AllPortalUsers
)

// The reasons, see package rule.
const (
	Added             = rule.Added
	ActivePatient     = rule.ActivePatient
	DischargedPatient = rule.DischargedPatient
	AnyPortalUser     = rule.AnyPortalUser
	AccountInactive   = rule.AccountInactive
	Deceased          = rule.Deceased
	LinkEnded         = rule.LinkEnded
	LinkNotBegun      = rule.LinkNotBegun
	NoAddress         = rule.NoAddress
	OptedOut          = rule.OptedOut
)

// Selection is the choice of recipients: portal users by id, and groups.
type Selection struct {
	PortalUserIDs []string
	Groups        []Group
	// About has the patients whom the sender picked for chosen portal users, each portal user once.
	About []About `json:",omitempty"`
}
