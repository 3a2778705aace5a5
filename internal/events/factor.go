package events

import (
	"strings"

	"github.com/google/uuid"
)

// The second factors of staff and portal users, and their recovery codes.
const (
	TypeSecondFactorAdded   Type = "second_factor.added"
	TypeSecondFactorRemoved Type = "second_factor.removed"
	TypeSecondFactorReset   Type = "second_factor.reset"
	TypeRecoveryCodesMade   Type = "recovery_codes.made"
)

var factorTypes = []Descriptor{{
	Type: TypeSecondFactorAdded, Version: 2, Label: "Second factor added",
	When:       "a person set up a second factor: an authenticator app or a passkey",
	Publishers: []string{API}, Rows: []string{"second_factors", "recovery_codes", accountEvents},
	About: AboutActor, summary: summary(SecondFactor.summary),
}, {
	Type: TypeSecondFactorRemoved, Version: 2, Label: "Second factor removed",
	When:       "a person removed a second factor of their own",
	Publishers: []string{API}, Rows: []string{"second_factors", "recovery_codes", accountEvents},
	About: AboutActor, summary: summary(SecondFactor.summary),
}, {
	Type: TypeSecondFactorReset, Version: 2, Label: "Second factor reset",
	When:       "another person removed all second factors of an account",
	Publishers: []string{API}, Rows: []string{"second_factors", "recovery_codes", accountEvents},
	summary: summary(SecondFactor.summary),
}, {
	Type: TypeRecoveryCodesMade, Version: 1, Label: "Recovery codes made",
	When:       "a person got recovery codes, which end all earlier ones",
	Publishers: []string{API}, Rows: []string{"recovery_codes", accountEvents},
	About: AboutActor, summary: summary(RecoveryCodesMade.summary),
}}

// SecondFactor is the body of the second_factor events: a change of the second factors with
// which a person signs in. Account is "staff" or "portal_user", and ID is whose it is. Change is
// the id of an added factor; for other changes it is a new id, which tells one change from the
// next.
//
// Version 1 has only Change and StaffID: each staff member had one factor, an authenticator app,
// and its recovery codes came with it.
type SecondFactor struct {
	What    SecondFactorChange `json:"-"`
	Change  uuid.UUID          `json:"change"`
	Account string             `json:"account,omitempty"`
	ID      string             `json:"id,omitempty"`
	// Kind is that of the factor that was added or removed. A reset removes all kinds.
	Kind FactorKind `json:"kind,omitempty"`
	// Factor is the id of the factor that was removed.
	Factor *uuid.UUID `json:"factor,omitempty"`
	// StaffID is the ID of version 1.
	StaffID string `json:"staff_id,omitempty"`
}

func (b SecondFactor) Key() []string {
	_, id := b.Owner()
	return []string{b.Change.String(), id}
}

func (SecondFactor) Message() uuid.UUID { return uuid.Nil }
func (b SecondFactor) EventType() Type  { return Type("second_factor." + string(b.What)) }

func (b *SecondFactor) ofType(t Type) {
	b.What = SecondFactorChange(strings.TrimPrefix(string(t), "second_factor."))
}

// Owner is whose factor it is, in both versions.
func (b SecondFactor) Owner() (account, id string) {
	if b.StaffID != "" {
		return "staff", b.StaffID
	}
	return b.Account, b.ID
}

func (b SecondFactor) summary(s speaker) string {
	whose := s.account(b.Owner())
	switch {
	case b.What == FactorAdded && b.Kind == FactorApp:
		return s.Text("set up an authenticator app for {who}", "who", whose)
	case b.What == FactorAdded && b.Kind == FactorPasskey:
		return s.Text("set up a passkey for {who}", "who", whose)
	case b.What == FactorAdded:
		return s.Text("set up a second factor for {who}", "who", whose)
	case b.What == FactorRemoved && b.Kind == FactorApp:
		return s.Text("removed the authenticator app of {who}", "who", whose)
	case b.What == FactorRemoved && b.Kind == FactorPasskey:
		return s.Text("removed a passkey of {who}", "who", whose)
	case b.What == FactorRemoved:
		return s.Text("removed the second factor of {who}", "who", whose)
	}
	return s.Text("reset the second factor of {who}", "who", whose)
}

// SecondFactorChange is the kind of change of a second factor.
type SecondFactorChange string

// The values of [SecondFactorChange]. The owner adds and removes a factor; another
// person resets all of them.
const (
	FactorAdded   SecondFactorChange = "added"
	FactorRemoved SecondFactorChange = "removed"
	FactorReset   SecondFactorChange = "reset"
)

// FactorKind is a kind of second factor.
type FactorKind string

// The values of [FactorKind]. An authenticator app shows codes (TOTP, RFC 6238); a passkey
// signs a challenge (WebAuthn).
const (
	FactorApp     FactorKind = "totp"
	FactorPasskey FactorKind = "passkey"
)

// RecoveryCodesMade says that a person got recovery codes, each for one sign-in. Codes of before
// no longer work. Set is the id of the new codes.
type RecoveryCodesMade struct {
	Set     uuid.UUID `json:"set"`
	Account string    `json:"account"`
	ID      string    `json:"id"`
}

func (RecoveryCodesMade) EventType() Type    { return TypeRecoveryCodesMade }
func (b RecoveryCodesMade) Key() []string    { return []string{b.Set.String(), b.Account, b.ID} }
func (RecoveryCodesMade) Message() uuid.UUID { return uuid.Nil }

func (b RecoveryCodesMade) summary(s speaker) string {
	return s.Text("made recovery codes for {who}", "who", s.account(b.Account, b.ID))
}
