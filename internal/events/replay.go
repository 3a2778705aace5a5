package events

import (
	"strings"
	"time"

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
	Type: TypeReplayPlanned, Version: 2, Label: "Replay planned",
	When:       "a set of failed alerts is chosen, to be sent again",
	Publishers: []string{API, NotifyWorker}, Rows: []string{"replays"},
	summary: summary(ReplayPlanned.summary),
}, {
	Type: TypeReplayStarted, Version: 1, Label: "Replay started",
	When:       "a planned replay is started",
	Publishers: []string{API, NotifyWorker}, Rows: []string{"replays"},
	summary: summary(func(b ReplayStarted, s speaker) string {
		return s.Text("started the replay {id}", "id", b.ReplayID.String())
	}),
}, {
	Type: TypeReplayPaused, Version: 1, Label: "Replay paused",
	When:       "a replay is paused",
	Publishers: []string{API}, Rows: []string{"replays"},
	summary: summary(func(b ReplayPaused, s speaker) string {
		return s.Text("paused the replay {id}", "id", b.ReplayID.String())
	}),
}, {
	Type: TypeReplayResumed, Version: 1, Label: "Replay resumed",
	When:       "a paused replay is resumed",
	Publishers: []string{API}, Rows: []string{"replays"},
	summary: summary(func(b ReplayResumed, s speaker) string {
		return s.Text("resumed the replay {id}", "id", b.ReplayID.String())
	}),
}, {
	Type: TypeReplayCancelled, Version: 1, Label: "Replay cancelled",
	When:       "a replay is cancelled",
	Publishers: []string{API}, Rows: []string{"replays", "notices"},
	summary: summary(func(b ReplayCancelled, s speaker) string {
		return s.Text("cancelled the replay {id}", "id", b.ReplayID.String())
	}),
}, {
	Type: TypeReplayCompleted, Version: 1, Label: "Replay completed",
	When:       "every alert of a replay has an outcome or was left out",
	Publishers: []string{NotifyWorker}, Rows: []string{"replays", "notices"},
	summary: summary(ReplayCompleted.summary),
}}

// ReplayFilter selects alerts whose last outcome is failed or unknown. An unset field
// selects all.
type ReplayFilter struct {
	MessageID *uuid.UUID   `json:"message_id,omitempty"`
	State     []AlertState `json:"state"`
	// Reason is the reason of the outcome, word for word.
	Reason string `json:"reason,omitempty"`
	// Reasons are reasons of the outcome, word for word: any of them.
	Reasons []string `json:"reasons,omitempty"`
	// From and To limit the time of the outcome: not before From, and before To.
	From *time.Time `json:"from,omitempty"`
	To   *time.Time `json:"to,omitempty"`
	// Attempt is the attempt of the outcome; 1 is the first one, without a replay.
	Attempt int `json:"attempt,omitempty"`
	// Domain is the part of the recipient's address after the @.
	Domain string `json:"domain,omitempty"`
	// PortalUsers is the number of portal users of whom the alerts are; 0 selects all. The digest
	// of the plan covers them. The event does not name them.
	PortalUsers int `json:"portal_users,omitempty"`
	// PortalUserIDs are these portal users. They are not recorded.
	PortalUserIDs []string `json:"-"`
}

// ReplayPlanned says that a set of failed alerts was frozen, to be sent again. Digest
// is the SHA-256 of the recipients in it: see docs/adr. The filter has Reasons and PortalUsers from
// version 2 on.
type ReplayPlanned struct {
	ReplayID uuid.UUID      `json:"replay_id"`
	Filter   ReplayFilter   `json:"filter"`
	Reason   string         `json:"reason"` // as the staff member typed it
	Count    int            `json:"count"`
	Digest   string         `json:"digest"`
	ByReason map[string]int `json:"by_reason"`
	Excluded map[string]int `json:"excluded"` // selected by the filter and left out, by reason
	Oldest   *time.Time     `json:"oldest,omitempty"`
	Newest   *time.Time     `json:"newest,omitempty"`
}

func (ReplayPlanned) EventType() Type    { return TypeReplayPlanned }
func (b ReplayPlanned) Key() []string    { return []string{b.ReplayID.String()} }
func (ReplayPlanned) Message() uuid.UUID { return uuid.Nil }

func (b ReplayPlanned) summary(s speaker) string {
	return s.Count(b.Count, "planned the replay {id} of {n} alert", "planned the replay {id} of {n} alerts", "id", b.ReplayID.String())
}

// ReplayStarted says that a planned replay was started. Rate is in alerts per minute; 0
// is as fast as SendGrid accepts them.
type ReplayStarted struct {
	ReplayID uuid.UUID `json:"replay_id"`
	Rate     int       `json:"rate"`
}

func (ReplayStarted) EventType() Type    { return TypeReplayStarted }
func (b ReplayStarted) Key() []string    { return []string{b.ReplayID.String()} }
func (ReplayStarted) Message() uuid.UUID { return uuid.Nil }

// ReplayPaused says that a replay sends no more alerts until it is resumed. Change
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

// ReplayCancelled says that a replay sends no more alerts. Alerts that it has sent are
// not affected.
type ReplayCancelled struct {
	ReplayID uuid.UUID `json:"replay_id"`
}

func (ReplayCancelled) EventType() Type    { return TypeReplayCancelled }
func (b ReplayCancelled) Key() []string    { return []string{b.ReplayID.String()} }
func (ReplayCancelled) Message() uuid.UUID { return uuid.Nil }

// The reasons for which a failed alert is not sent again.
const (
	LeftOutOpened   = "the message was opened already"
	LeftOutRepeated = "another replay repeats it"
	LeftOutAccepted = "SendGrid has it by now"
	LeftOutLost     = "the plan was lost with the database"
)

// SkippedAccepted is the reason with which versions before ADR 33 recorded an attempt
// of a replay as skipped: SendGrid had accepted the previous attempt, even if it
// reported a bounce later.
const SkippedAccepted = "SendGrid had accepted it before"

// ReplayCompleted says that a replay is done. LeftOut counts the alerts of the set that
// were not sent again: before their turn, the alert was accepted, the message was
// opened, another replay sent the alert, or no alert was needed any more.
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

func (b ReplayCompleted) summary(s speaker) string {
	return s.Text("completed the replay {id}: {counts}", "id", b.ReplayID.String(), "counts", strings.Join([]string{
		s.alerts(b.Accepted, AlertAccepted), s.alerts(b.Failed, AlertFailed), s.alerts(b.Skipped, AlertSkipped), s.alerts(b.Unknown, AlertUnknown)}, ", "))
}
