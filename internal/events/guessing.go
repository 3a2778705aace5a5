package events

import (
	"strings"
	"time"

	"github.com/google/uuid"
)

// What is counted by the minute, because it may happen too often for an event each.
const (
	TypeSignInsFailed  Type = "sign_ins.failed"
	TypeActionsRefused Type = "actions.refused"
)

var guessingTypes = []Descriptor{{
	Type: TypeSignInsFailed, Version: 1, Label: "Sign-ins failed",
	When:       "more sign-ins from one source were refused within a minute than have events of their own",
	Publishers: []string{API},
	summary:    summary(SignInsFailed.summary),
}, {
	Type: TypeActionsRefused, Version: 1, Label: "Actions refused",
	When:       "a person was refused many actions within a minute",
	Publishers: []string{API},
	About:      AboutActor, summary: summary(ActionsRefused.summary),
}}

// SignInsFailed counts the failed sign-ins of a minute that have no [SignIn] of their own: those
// of strangers, after the first few from one source.
type SignInsFailed struct {
	// Tally tells this count from the count of another process.
	Tally   uuid.UUID `json:"tally"`
	Account string    `json:"account"` // as in [SignIn]
	// Source is as in [SignIn]; it is also empty for sources of which there were too many to
	// count each.
	Source string    `json:"source"`
	Minute time.Time `json:"minute"` // when the minute began
	Count  int       `json:"count"`
	// ByReason has the numbers by the reason of [SignIn].
	ByReason map[string]int `json:"by_reason"`
}

func (SignInsFailed) EventType() Type    { return TypeSignInsFailed }
func (b SignInsFailed) Key() []string    { return []string{b.Tally.String()} }
func (SignInsFailed) Message() uuid.UUID { return uuid.Nil }

func (b SignInsFailed) summary(s speaker) string {
	from := s.from(b.Source)
	if b.Account == "portal_user" {
		return s.Count(b.Count, "refused {n} more sign-in of portal users{from} within a minute", "refused {n} more sign-ins of portal users{from} within a minute", "from", from)
	}
	return s.Count(b.Count, "refused {n} more sign-in of staff{from} within a minute", "refused {n} more sign-ins of staff{from} within a minute", "from", from)
}

// from gives the source of a sign-in, where there is one.
func (s speaker) from(source string) string {
	if source == "" {
		return ""
	}
	return " " + s.Text("from {source}", "source", source)
}

// ActionsRefused says that a person, its actor, was refused many actions within a minute, because
// they may not do them.
type ActionsRefused struct {
	Tally   uuid.UUID `json:"tally"`
	Account string    `json:"account"` // as in [SignIn]
	ID      string    `json:"id"`
	Minute  time.Time `json:"minute"` // when the minute began
	Count   int       `json:"count"`
	Actions []string  `json:"actions"` // each once, in the order of the alphabet
}

func (ActionsRefused) EventType() Type    { return TypeActionsRefused }
func (b ActionsRefused) Key() []string    { return []string{b.Tally.String()} }
func (ActionsRefused) Message() uuid.UUID { return uuid.Nil }

func (b ActionsRefused) summary(s speaker) string {
	return s.Count(b.Count, "was refused {n} action within a minute: {actions}", "was refused {n} actions within a minute: {actions}", "actions", strings.Join(b.Actions, ", "))
}
