package events

import (
	"fmt"
	"strconv"
	"strings"

	"postern/internal/text/number"

	"github.com/google/uuid"
)

// The outcomes of one attempt at the alerts of a chunk.
const (
	TypeAlertsAccepted Type = "alerts.accepted"
	TypeAlertsFailed   Type = "alerts.failed"
	TypeAlertsSkipped  Type = "alerts.skipped"
	TypeAlertsUnknown  Type = "alerts.unknown"
)

var alertTypes = []Descriptor{
	outcome(TypeAlertsAccepted, "Alerts accepted", "SendGrid accepted the alerts of most of a chunk"),
	outcome(TypeAlertsFailed, "Alerts failed", "SendGrid refused the alerts of most of a chunk"),
	outcome(TypeAlertsSkipped, "Alerts skipped", "most of a chunk needed no alert"),
	outcome(TypeAlertsUnknown, "Alerts unknown", "SendGrid gave no answer for most of a chunk"),
}

func outcome(t Type, label, when string) Descriptor {
	return Descriptor{
		Type: t, Version: 3, Label: label,
		When:       when,
		Publishers: []string{NotifyWorker}, Rows: []string{"messages", "chunks", "alert_exceptions", "reports", "replays"},
		About: AboutChunk, OfMessage: OneMessage, summary: summary(AlertOutcome.summary),
	}
}

// IsOutcome reports whether the body of the type is an [AlertOutcome].
func (t Type) IsOutcome() bool {
	switch t {
	case TypeAlertsAccepted, TypeAlertsFailed, TypeAlertsSkipped, TypeAlertsUnknown:
		return true
	}
	return false
}

// AlertState is the state of an alert.
type AlertState string

// The states of an alert; see docs/states.md.
const (
	AlertPending  AlertState = "pending"
	AlertAccepted AlertState = "accepted"
	AlertFailed   AlertState = "failed"
	AlertSkipped  AlertState = "skipped"
	AlertUnknown  AlertState = "unknown"
)

// AlertOutcome is the body of the four alerts.* events: the outcome of one attempt at
// the alerts of one chunk. State applies to every recipient of the attempt except
// those in Exceptions.
//
// The outcome of a replay has a ReplayID. It refers only to the recipients in
// Exceptions. (Version 1 of the schemas had only outcomes of first attempts, version 2
// only those of replays.)
type AlertOutcome struct {
	MessageID  uuid.UUID        `json:"message_id"`
	Chunk      int              `json:"chunk"`
	Chunks     int              `json:"chunks"`
	Attempt    int              `json:"attempt"`
	Recipients int              `json:"recipients"`
	State      AlertState       `json:"state"`
	Reason     string           `json:"reason,omitempty"`
	Exceptions []AlertException `json:"exceptions"`
	Requests   []AlertRequest   `json:"requests"`
	// ReplayID and Part identify the replay, and its part, that made the attempt. The
	// first attempt, without a replay, has neither.
	ReplayID *uuid.UUID `json:"replay_id,omitempty"`
	Part     int64      `json:"part,omitempty"`
}

func (b AlertOutcome) Message() uuid.UUID { return b.MessageID }
func (b AlertOutcome) ChunkRef() ChunkRef { return ChunkRef{b.Chunk, b.Chunks} }
func (b *AlertOutcome) ofType(t Type)     { b.State = AlertState(strings.TrimPrefix(string(t), "alerts.")) }

// EventType follows State, the state of most recipients.
func (b AlertOutcome) EventType() Type { return Type("alerts." + string(b.State)) }

// Key has the state, and the number of unknown recipients if only some are unknown: an
// answer that arrives after the alert was recorded as unknown is a new fact. The other
// counters are left out.
func (b AlertOutcome) Key() []string {
	key := []string{b.MessageID.String(), strconv.Itoa(b.Chunk), strconv.Itoa(b.Attempt), string(b.State)}
	if b.ReplayID != nil {
		key = append(key, strconv.FormatInt(b.Part, 10))
	}
	if n := b.Unknown(); n > 0 && n < b.Recipients {
		key = append(key, fmt.Sprintf("%d unknown", n))
	}
	return key
}

// Unknown counts the recipients for whom SendGrid's answer is unknown.
func (b AlertOutcome) Unknown() (n int) {
	if b.State == AlertUnknown {
		n = b.Recipients - len(b.Exceptions)
	}
	for _, x := range b.Exceptions {
		if x.State == AlertUnknown {
			n++
		}
	}
	return n
}

func (b AlertOutcome) summary(Names) string {
	others := map[AlertState]int{}
	for _, x := range b.Exceptions {
		others[x.State]++
	}
	others[b.State] += b.Recipients - len(b.Exceptions)
	var parts []string
	for _, state := range []AlertState{AlertAccepted, AlertFailed, AlertSkipped, AlertUnknown} {
		if n := others[state]; n > 0 {
			parts = append(parts, number.Text(n)+" "+string(state))
		}
	}
	text := "recorded alerts: " + strings.Join(parts, ", ") + placeOf(&ChunkRef{b.Chunk, b.Chunks})
	if others[AlertSkipped] == b.Recipients { // no request was made
		return text
	}
	return text + ", attempt " + strconv.Itoa(b.Attempt)
}

// AlertException is a recipient whose alert has another state than most of the chunk.
type AlertException struct {
	PortalUserID string     `json:"portal_user_id"`
	PortalUserNo int32      `json:"portal_user_no"`
	State        AlertState `json:"state"`
	Reason       string     `json:"reason,omitempty"`
}

// AlertRequest is one request to SendGrid. RequestID is Postern's own random id, which
// SendGrid's reports repeat; SendGridID is the id in SendGrid's answer.
type AlertRequest struct {
	RequestID  uuid.UUID `json:"request_id"`
	SendGridID string    `json:"sendgrid_message_id,omitempty"`
	Recipients int       `json:"recipients"`
}
