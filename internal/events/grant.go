package events

import (
	"time"

	"github.com/google/uuid"
)

// Requests to give a permission that takes two people. The approval is the event
// permission.granted that names the request.
const (
	TypeGrantRequested Type = "grant.requested"
	TypeGrantWithdrawn Type = "grant.withdrawn"
)

var grantTypes = []Descriptor{{
	Type: TypeGrantRequested, Version: 1, Label: "Permission requested",
	When:       "an administrator requests a permission that a second person has to approve",
	Publishers: []string{API}, Rows: []string{"grants"},
	About: AboutStaff, summary: summary(GrantRequested.summary),
}, {
	Type: TypeGrantWithdrawn, Version: 1, Label: "Permission request withdrawn",
	When:       "a request for a permission is withdrawn or rejected",
	Publishers: []string{API}, Rows: []string{"grants"},
	About: AboutStaff, summary: summary(GrantWithdrawn.summary),
}}

// GrantRequested says that an administrator requested a permission for a staff member. It
// gives nothing: a second person approves it with a permission.granted that names the
// request. While a request for the same permission of the same person waits, another one
// changes nothing. After ExpiresAt it can't be approved.
type GrantRequested struct {
	Request    uuid.UUID    `json:"request"`
	StaffID    string       `json:"staff_id"`
	Permission string       `json:"permission"`
	Because    GrantBecause `json:"because"`
	ExpiresAt  time.Time    `json:"expires_at"`
}

func (GrantRequested) EventType() Type    { return TypeGrantRequested }
func (b GrantRequested) Key() []string    { return []string{b.Request.String()} }
func (GrantRequested) Message() uuid.UUID { return uuid.Nil }

func (b GrantRequested) summary(s speaker) string {
	args := []any{"permission", b.Permission, "who", s.staff(b.StaffID)}
	switch b.Because {
	case BecauseNewStaff:
		return s.Text("requested the permission {permission} for {who}, whose account was created", args...)
	case BecauseAddressChanged:
		return s.Text("requested the permission {permission} for {who} again, because the e-mail address of the account was changed", args...)
	case BecauseFactorReset:
		return s.Text("requested the permission {permission} for {who} again, because their second factor was reset", args...)
	}
	return s.Text("requested the permission {permission} for {who}", args...)
}

// GrantBecause is what a permission was requested for.
type GrantBecause string

// The values of [GrantBecause]. Where an administrator changes with which address, or resets
// with which factor, a staff member signs in, the permissions that take two people are
// taken away and requested again.
const (
	BecauseAsked          GrantBecause = "asked"
	BecauseNewStaff       GrantBecause = "new_staff"
	BecauseAddressChanged GrantBecause = "address_changed"
	BecauseFactorReset    GrantBecause = "factor_reset"
)

// GrantWithdrawn says that a requested permission will not be given: the person who
// requested it withdrew it, or another one rejected it.
type GrantWithdrawn struct {
	Request    uuid.UUID `json:"request"`
	StaffID    string    `json:"staff_id"`
	Permission string    `json:"permission"`
}

func (GrantWithdrawn) EventType() Type    { return TypeGrantWithdrawn }
func (b GrantWithdrawn) Key() []string    { return []string{b.Request.String()} }
func (GrantWithdrawn) Message() uuid.UUID { return uuid.Nil }

func (b GrantWithdrawn) summary(s speaker) string {
	return s.Text("withdrew or rejected the request of the permission {permission} for {who}", "permission", b.Permission, "who", s.staff(b.StaffID))
}
