package events

import (
	"time"

	"github.com/google/uuid"
)

// ReplayFilter chooses alerts whose last outcome was failed or unknown. What is
// not set chooses all.
type ReplayFilter struct {
	MessageID *uuid.UUID   `json:"message_id,omitempty"`
	State     []AlertState `json:"state"`
	// Reason is that of the outcome, word for word.
	Reason string `json:"reason,omitempty"`
	// From and To bound when the outcome came about: not before From, before To.
	From *time.Time `json:"from,omitempty"`
	To   *time.Time `json:"to,omitempty"`
	// Attempt is that of the outcome; 1 is the one that a message makes by itself.
	Attempt int `json:"attempt,omitempty"`
	// Domain is what follows the @ of the address that is to be mailed.
	Domain string `json:"domain,omitempty"`
}

// ReplayPlanned says that a set of failures was frozen, so that it can be
// repeated. Digest is the SHA-256 of who is in it: see docs/adr.
type ReplayPlanned struct {
	ReplayID uuid.UUID      `json:"replay_id"`
	Filter   ReplayFilter   `json:"filter"`
	Reason   string         `json:"reason"` // why, as it was typed
	Count    int            `json:"count"`
	Digest   string         `json:"digest"`
	ByReason map[string]int `json:"by_reason"`
	Excluded map[string]int `json:"excluded"` // chosen by the filter and left out, by why
	Oldest   *time.Time     `json:"oldest,omitempty"`
	Newest   *time.Time     `json:"newest,omitempty"`
}

// ReplayStarted says that a plan is to be carried out, at a rate of alerts a
// minute; 0 is as fast as SendGrid takes them.
type ReplayStarted struct {
	ReplayID uuid.UUID `json:"replay_id"`
	Rate     int       `json:"rate"`
}

// ReplayPaused says that nothing more of a replay is to go out for now. Change
// tells one pause from the next.
type ReplayPaused struct {
	ReplayID uuid.UUID `json:"replay_id"`
	Change   uuid.UUID `json:"change"`
}

// ReplayResumed ends a pause.
type ReplayResumed struct {
	ReplayID uuid.UUID `json:"replay_id"`
	Change   uuid.UUID `json:"change"`
}

// ReplayCancelled says that nothing more of a replay goes out. What has gone out
// stays so.
type ReplayCancelled struct {
	ReplayID uuid.UUID `json:"replay_id"`
}

// Why an alert that failed is not repeated.
const (
	LeftOutOpened   = "the message was opened already"
	LeftOutRepeated = "another replay repeats it"
	LeftOutAccepted = "SendGrid has it by now"
	LeftOutLost     = "the plan was lost with the database"
)

// SkippedAccepted is why versions before ADR 33 recorded an attempt of a replay as
// skipped: SendGrid had accepted the attempt before, even where it reported later that
// the e-mail had come back.
const SkippedAccepted = "SendGrid had accepted it before"

// ReplayCompleted says that a replay is done. LeftOut are those of the set that had
// been accepted, opened or repeated by another replay before their turn, or to whom
// no alert was due any more.
type ReplayCompleted struct {
	ReplayID uuid.UUID `json:"replay_id"`
	Accepted int       `json:"accepted"`
	Failed   int       `json:"failed"`
	Skipped  int       `json:"skipped"`
	Unknown  int       `json:"unknown"`
	LeftOut  int       `json:"left_out"`
}

func (ReplayPlanned) EventType() (Type, int)   { return TypeReplayPlanned, 1 }
func (b ReplayPlanned) Key() []string          { return []string{b.ReplayID.String()} }
func (ReplayPlanned) Message() uuid.UUID       { return uuid.Nil }
func (ReplayStarted) EventType() (Type, int)   { return TypeReplayStarted, 1 }
func (b ReplayStarted) Key() []string          { return []string{b.ReplayID.String()} }
func (ReplayStarted) Message() uuid.UUID       { return uuid.Nil }
func (ReplayPaused) EventType() (Type, int)    { return TypeReplayPaused, 1 }
func (b ReplayPaused) Key() []string           { return []string{b.ReplayID.String(), b.Change.String()} }
func (ReplayPaused) Message() uuid.UUID        { return uuid.Nil }
func (ReplayResumed) EventType() (Type, int)   { return TypeReplayResumed, 1 }
func (b ReplayResumed) Key() []string          { return []string{b.ReplayID.String(), b.Change.String()} }
func (ReplayResumed) Message() uuid.UUID       { return uuid.Nil }
func (ReplayCancelled) EventType() (Type, int) { return TypeReplayCancelled, 1 }
func (b ReplayCancelled) Key() []string        { return []string{b.ReplayID.String()} }
func (ReplayCancelled) Message() uuid.UUID     { return uuid.Nil }
func (ReplayCompleted) EventType() (Type, int) { return TypeReplayCompleted, 1 }
func (b ReplayCompleted) Key() []string        { return []string{b.ReplayID.String()} }
func (ReplayCompleted) Message() uuid.UUID     { return uuid.Nil }
