package events

import (
	"fmt"
	"time"

	"postern/internal/text/number"

	"github.com/google/uuid"
)

// A replay: alerts that failed are sent again.
const (
	TypeReplayPlanned   Type = "replay.planned"
	TypeReplayStarted   Type = "replay.started"
	TypeReplayPaused    Type = "replay.paused"
	TypeReplayResumed   Type = "replay.resumed"
	TypeReplayCancelled Type = "replay.cancelled"
	TypeReplayCompleted Type = "replay.completed"
)

var replayTypes = []Descriptor{{
	Type: TypeReplayPlanned, Version: 1, Label: "Replay planned",
	When:       "a set of failed alerts is fixed, to be sent again",
	Publishers: []string{API, NotifyWorker}, Rows: []string{"replays"},
	summary: summary(ReplayPlanned.summary),
}, {
	Type: TypeReplayStarted, Version: 1, Label: "Replay started",
	When:       "a plan is to be carried out",
	Publishers: []string{API, NotifyWorker}, Rows: []string{"replays"},
	summary: summary(func(b ReplayStarted, _ Names) string { return "started the replay " + b.ReplayID.String() }),
}, {
	Type: TypeReplayPaused, Version: 1, Label: "Replay paused",
	When:       "a replay sends nothing more for now",
	Publishers: []string{API}, Rows: []string{"replays"},
	summary: summary(func(b ReplayPaused, _ Names) string { return "paused the replay " + b.ReplayID.String() }),
}, {
	Type: TypeReplayResumed, Version: 1, Label: "Replay resumed",
	When:       "it goes on",
	Publishers: []string{API}, Rows: []string{"replays"},
	summary: summary(func(b ReplayResumed, _ Names) string { return "resumed the replay " + b.ReplayID.String() }),
}, {
	Type: TypeReplayCancelled, Version: 1, Label: "Replay cancelled",
	When:       "a replay sends nothing more",
	Publishers: []string{API}, Rows: []string{"replays"},
	summary: summary(func(b ReplayCancelled, _ Names) string { return "cancelled the replay " + b.ReplayID.String() }),
}, {
	Type: TypeReplayCompleted, Version: 1, Label: "Replay completed",
	When:       "every alert of a replay has an outcome or was left out",
	Publishers: []string{NotifyWorker}, Rows: []string{"replays"},
	summary: summary(ReplayCompleted.summary),
}}

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

func (ReplayPlanned) EventType() Type    { return TypeReplayPlanned }
func (b ReplayPlanned) Key() []string    { return []string{b.ReplayID.String()} }
func (ReplayPlanned) Message() uuid.UUID { return uuid.Nil }

func (b ReplayPlanned) summary(Names) string {
	return "planned the replay " + b.ReplayID.String() + " of " + number.Of(b.Count, "alert", "alerts")
}

// ReplayStarted says that a plan is to be carried out, at a rate of alerts a
// minute; 0 is as fast as SendGrid takes them.
type ReplayStarted struct {
	ReplayID uuid.UUID `json:"replay_id"`
	Rate     int       `json:"rate"`
}

func (ReplayStarted) EventType() Type    { return TypeReplayStarted }
func (b ReplayStarted) Key() []string    { return []string{b.ReplayID.String()} }
func (ReplayStarted) Message() uuid.UUID { return uuid.Nil }

// ReplayPaused says that nothing more of a replay is to go out for now. Change
// tells one pause from the next.
type ReplayPaused struct {
	ReplayID uuid.UUID `json:"replay_id"`
	Change   uuid.UUID `json:"change"`
}

func (ReplayPaused) EventType() Type    { return TypeReplayPaused }
func (b ReplayPaused) Key() []string    { return []string{b.ReplayID.String(), b.Change.String()} }
func (ReplayPaused) Message() uuid.UUID { return uuid.Nil }

// ReplayResumed ends a pause.
type ReplayResumed struct {
	ReplayID uuid.UUID `json:"replay_id"`
	Change   uuid.UUID `json:"change"`
}

func (ReplayResumed) EventType() Type    { return TypeReplayResumed }
func (b ReplayResumed) Key() []string    { return []string{b.ReplayID.String(), b.Change.String()} }
func (ReplayResumed) Message() uuid.UUID { return uuid.Nil }

// ReplayCancelled says that nothing more of a replay goes out. What has gone out
// stays so.
type ReplayCancelled struct {
	ReplayID uuid.UUID `json:"replay_id"`
}

func (ReplayCancelled) EventType() Type    { return TypeReplayCancelled }
func (b ReplayCancelled) Key() []string    { return []string{b.ReplayID.String()} }
func (ReplayCancelled) Message() uuid.UUID { return uuid.Nil }

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

func (ReplayCompleted) EventType() Type    { return TypeReplayCompleted }
func (b ReplayCompleted) Key() []string    { return []string{b.ReplayID.String()} }
func (ReplayCompleted) Message() uuid.UUID { return uuid.Nil }

func (b ReplayCompleted) summary(Names) string {
	return fmt.Sprintf("completed the replay %s: %s accepted, %s failed, %s skipped, %s unknown", b.ReplayID,
		number.Text(b.Accepted), number.Text(b.Failed), number.Text(b.Skipped), number.Text(b.Unknown))
}
