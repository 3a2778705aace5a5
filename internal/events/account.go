package events

import (
	"github.com/google/uuid"
)

// Sign-ins, staff accounts and their permissions.
const (
	TypeSignedIn          Type = "signed_in"
	TypeSignInFailed      Type = "sign_in.failed"
	TypeStaffCreated      Type = "staff.created"
	TypeStaffDisabled     Type = "staff.disabled"
	TypeStaffEnabled      Type = "staff.enabled"
	TypePermissionGranted Type = "permission.granted"
	TypePermissionRevoked Type = "permission.revoked"
)

var accountTypes = []Descriptor{{
	Type: TypeSignedIn, Version: 3, Label: "Signed in",
	When:       "a staff member or a portal user signed in",
	Publishers: []string{API},
	About:      AboutActor, summary: summary(SignIn.summary),
}, {
	Type: TypeSignInFailed, Version: 5, Label: "Sign-in failed",
	When:       "a sign-in was refused",
	Publishers: []string{API},
	summary:    summary(SignIn.summary), // not about the account: the actor is unknown
}, {
	Type: TypeStaffCreated, Version: 1, Label: "Staff created",
	When:       "a staff account is created",
	Publishers: []string{API}, Rows: []string{"staff"},
	About: AboutStaff, summary: summary(func(b StaffCreated, s speaker) string {
		return s.Text("created the staff account of {who}", "who", b.Name)
	}),
}, {
	Type: TypeStaffDisabled, Version: 1, Label: "Staff disabled",
	When:       "a staff account is disabled",
	Publishers: []string{API}, Rows: []string{"staff", "grants", "emergencies"},
	About: AboutStaff, summary: summary(StaffEnabledChanged.summary),
}, {
	Type: TypeStaffEnabled, Version: 1, Label: "Staff enabled",
	When:       "a staff account is enabled again",
	Publishers: []string{API}, Rows: []string{"staff"},
	About: AboutStaff, summary: summary(StaffEnabledChanged.summary),
}, {
	Type: TypePermissionGranted, Version: 3, Label: "Permission given",
	When:       "a permission is given",
	Publishers: []string{API}, Rows: []string{"staff_permissions", "grants"},
	About: AboutStaff, summary: summary(PermissionChanged.summary),
}, {
	Type: TypePermissionRevoked, Version: 2, Label: "Permission removed",
	When:       "a permission is removed",
	Publishers: []string{API}, Rows: []string{"staff_permissions", "emergencies"},
	About: AboutStaff, summary: summary(PermissionChanged.summary),
}}

// SignIn is the body of signed_in and sign_in.failed. Account is "staff" or
// "portal_user". ID is empty if there is no such account: the typed address is not
// kept. Source is the network that a failed sign-in came from, as 192.0.2.0/24, as exact as the
// clinic wants it; it may be empty. Version 1 has no Method, and version 2 no Source. Passkeys came
// with version 3 of signed_in and version 4 of sign_in.failed, and letters with its version 5.
type SignIn struct {
	Failed  bool         `json:"-"`
	Attempt uuid.UUID    `json:"attempt"`
	Account string       `json:"account"`
	ID      string       `json:"id"`
	Method  SignInMethod `json:"method,omitempty"`
	Reason  string       `json:"reason,omitempty"`
	Source  string       `json:"source,omitempty"`
}

func (b SignIn) Key() []string    { return []string{b.Attempt.String()} }
func (SignIn) Message() uuid.UUID { return uuid.Nil }
func (b *SignIn) ofType(t Type)   { b.Failed = t == TypeSignInFailed }

// EventType is signed_in, or sign_in.failed if the sign-in failed.
func (b SignIn) EventType() Type {
	if b.Failed {
		return TypeSignInFailed
	}
	return TypeSignedIn
}

func (b SignIn) summary(s speaker) string {
	if b.Failed {
		return s.Text("refused a sign-in as {who}", "who", s.account(b.Account, b.ID)) + s.from(b.Source)
	}
	switch b.Method {
	case ByPasswordAndCode:
		return s.Text("signed in with a second factor")
	case ByPasswordAndPasskey:
		return s.Text("signed in with a passkey as second factor")
	case ByPasswordAndRecoveryCode:
		return s.Text("signed in with a recovery code")
	case ByPasskey:
		return s.Text("signed in with a passkey")
	case ByOrganisation:
		return s.Text("signed in at their organisation")
	}
	return s.Text("signed in")
}

// SignInMethod is the method with which a person signed in, or tried to.
type SignInMethod string

// The values of [SignInMethod]. With ByOrganisation, the clinic's own OpenID Connect
// issuer identified the person. With ByPasskey, no password was given. With ByLetterCode, which
// only a failed sign-in has, a user name and the code of a letter were given.
const (
	ByPassword                SignInMethod = "password"
	ByPasswordAndCode         SignInMethod = "password_and_code"
	ByPasswordAndPasskey      SignInMethod = "password_and_passkey"
	ByPasskey                 SignInMethod = "passkey"
	ByPasswordAndRecoveryCode SignInMethod = "password_and_recovery_code"
	ByOrganisation            SignInMethod = "organisation"
	ByLetterCode              SignInMethod = "letter"
)

// StaffCreated says that a staff account was created.
type StaffCreated struct {
	StaffID string `json:"staff_id"`
	Name    string `json:"name"`
}

func (StaffCreated) EventType() Type    { return TypeStaffCreated }
func (b StaffCreated) Key() []string    { return []string{b.StaffID} }
func (StaffCreated) Message() uuid.UUID { return uuid.Nil }

// StaffEnabledChanged is the body of staff.disabled and staff.enabled: whether the staff
// member can sign in.
type StaffEnabledChanged struct {
	Disabled bool      `json:"-"`
	Change   uuid.UUID `json:"change"`
	StaffID  string    `json:"staff_id"`
}

func (b StaffEnabledChanged) Key() []string    { return []string{b.Change.String(), b.StaffID} }
func (StaffEnabledChanged) Message() uuid.UUID { return uuid.Nil }
func (b *StaffEnabledChanged) ofType(t Type)   { b.Disabled = t == TypeStaffDisabled }

// EventType is staff.disabled or staff.enabled.
func (b StaffEnabledChanged) EventType() Type {
	if b.Disabled {
		return TypeStaffDisabled
	}
	return TypeStaffEnabled
}

func (b StaffEnabledChanged) summary(s speaker) string {
	if b.Disabled {
		return s.Text("disabled the staff account of {who}", "who", s.staff(b.StaffID))
	}
	return s.Text("enabled the staff account of {who}", "who", s.staff(b.StaffID))
}

// PermissionChanged is the body of permission.granted and permission.revoked. A granted
// permission that takes two people names the request that the actor approved, and the actor
// who had made it; an operator gives such a permission without a request. Versions before 3
// have neither.
type PermissionChanged struct {
	Granted     bool       `json:"-"`
	Change      uuid.UUID  `json:"change"`
	StaffID     string     `json:"staff_id"`
	Permission  string     `json:"permission"`
	Request     *uuid.UUID `json:"request,omitempty"`
	RequestedBy string     `json:"requested_by,omitempty"`
}

func (PermissionChanged) Message() uuid.UUID { return uuid.Nil }
func (b *PermissionChanged) ofType(t Type)   { b.Granted = t == TypePermissionGranted }

func (b PermissionChanged) Key() []string {
	return []string{b.Change.String(), b.StaffID, b.Permission}
}

// EventType is permission.granted or permission.revoked.
func (b PermissionChanged) EventType() Type {
	if b.Granted {
		return TypePermissionGranted
	}
	return TypePermissionRevoked
}

func (b PermissionChanged) summary(s speaker) string {
	if b.Request != nil {
		return s.Text("approved the request of {asker} and gave {who} the permission {permission}", "asker", s.actor(b.RequestedBy), "who", s.staff(b.StaffID), "permission", b.Permission)
	}
	if b.Granted {
		return s.Text("gave {who} the permission {permission}", "who", s.staff(b.StaffID), "permission", b.Permission)
	}
	return s.Text("removed the permission {permission} from {who}", "who", s.staff(b.StaffID), "permission", b.Permission)
}
