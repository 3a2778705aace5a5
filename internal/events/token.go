package events

import (
	"strings"
	"time"

	"github.com/google/uuid"
)

// API tokens of staff, and sessions that another person ended.
const (
	TypeTokenCreated  Type = "token.created"
	TypeTokenRevoked  Type = "token.revoked"
	TypeSessionsEnded Type = "sessions.ended"
)

var tokenTypes = []Descriptor{{
	Type: TypeTokenCreated, Version: 1, Label: "API token created",
	When:       "an API token of a staff member is created, before it works",
	Publishers: []string{API}, Rows: []string{"tokens"},
	About: AboutStaff, summary: summary(TokenCreated.summary),
}, {
	Type: TypeTokenRevoked, Version: 1, Label: "API token revoked",
	When:       "an API token of a staff member is revoked",
	Publishers: []string{API}, Rows: []string{"tokens"},
	About: AboutStaff, summary: summary(TokenRevoked.summary),
}, {
	Type: TypeSessionsEnded, Version: 1, Label: "Sessions ended",
	When:       "another person ends all sessions of a staff member or a portal user",
	Publishers: []string{API}, Rows: []string{accountEvents},
	summary: summary(SessionsEnded.summary), // its account is of either kind
}}

// TokenScope says what an API token permits.
type TokenScope string

// The values of [TokenScope]. With ScopeOwner, a token permits what its owner may do at the
// time. With ScopeListed, it permits those of its permissions that its owner has at the time.
const (
	ScopeOwner  TokenScope = "owner"
	ScopeListed TokenScope = "listed"
)

// TokenCreated says that an API token of a staff member was created. It names the token by
// its id. The token itself is in no event.
type TokenCreated struct {
	Token   uuid.UUID  `json:"token"`
	StaffID string     `json:"staff_id"`
	Name    string     `json:"name"` // as the owner typed it
	Scope   TokenScope `json:"scope"`
	// Permissions is empty with the scope owner, and only then.
	Permissions []string  `json:"permissions"`
	ExpiresAt   time.Time `json:"expires_at"`
}

func (TokenCreated) EventType() Type    { return TypeTokenCreated }
func (b TokenCreated) Key() []string    { return []string{b.Token.String()} }
func (TokenCreated) Message() uuid.UUID { return uuid.Nil }

func (b TokenCreated) summary(s speaker) string {
	args := []any{"who", s.staff(b.StaffID), "permissions", strings.Join(b.Permissions, ", "), "time", b.ExpiresAt.UTC().Format("2006-01-02 15:04:05 UTC")}
	if b.Scope == ScopeListed {
		return s.Text("created an API token of {who} for {permissions}, until {time}", args...)
	}
	return s.Text("created an API token of {who} for everything that they may do, until {time}", args...)
}

// TokenRevoked says that an API token no longer works. A token is revoked once: all
// revocations of a token are the same fact, and the first counts.
type TokenRevoked struct {
	Token   uuid.UUID   `json:"token"`
	StaffID string      `json:"staff_id"`
	Why     TokenRevoke `json:"why"`
}

func (TokenRevoked) EventType() Type    { return TypeTokenRevoked }
func (b TokenRevoked) Key() []string    { return []string{b.Token.String()} }
func (TokenRevoked) Message() uuid.UUID { return uuid.Nil }

func (b TokenRevoked) summary(s speaker) string {
	if b.Why == RevokedWithAccount {
		return s.Text("revoked an API token of {who}, whose account is disabled", "who", s.staff(b.StaffID))
	}
	return s.Text("revoked an API token of {who}", "who", s.staff(b.StaffID))
}

// TokenRevoke is the reason for which a token was revoked.
type TokenRevoke string

// The values of [TokenRevoke].
const (
	RevokedByOwner         TokenRevoke = "revoked"
	RevokedByAdministrator TokenRevoke = "by_administrator"
	RevokedByOperator      TokenRevoke = "by_operator"
	RevokedWithAccount     TokenRevoke = "account_disabled"
)

// SessionsEnded says that all sessions of an account were ended by another person: a staff
// member or an operator. Account is "staff" or "portal_user".
type SessionsEnded struct {
	Change  uuid.UUID `json:"change"`
	Account string    `json:"account"`
	ID      string    `json:"id"`
}

func (SessionsEnded) EventType() Type    { return TypeSessionsEnded }
func (b SessionsEnded) Key() []string    { return []string{b.Change.String()} }
func (SessionsEnded) Message() uuid.UUID { return uuid.Nil }

func (b SessionsEnded) summary(s speaker) string {
	return s.Text("ended all sessions of {who}", "who", s.account(b.Account, b.ID))
}
