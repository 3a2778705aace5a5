package events

import "github.com/google/uuid"

// Alerts are paused and resumed, for one message or for all.
const (
	TypeAlertingPaused  Type = "alerting.paused"
	TypeAlertingResumed Type = "alerting.resumed"
)

var alertingTypes = []Descriptor{{
	Type: TypeAlertingPaused, Version: 1, Label: "Alerting paused",
	When:       "alerts are paused, for one message or for all",
	Publishers: []string{API, NotifyWorker}, Rows: []string{"pauses"}, // the worker: when too many alerts fail
	OfMessage: MaybeMessage, summary: summary(AlertingPaused.summary),
}, {
	Type: TypeAlertingResumed, Version: 1, Label: "Alerting resumed",
	When:       "paused alerts are resumed",
	Publishers: []string{API}, Rows: []string{"pauses"},
	OfMessage: MaybeMessage, summary: summary(AlertingResumed.summary),
}}

// AlertingPaused says that no more alerts are sent for one message, or for any message
// if MessageID is nil.
type AlertingPaused struct {
	// Change tells this pause from the next. For an automatic pause it is derived from
	// the message, so that each message is paused automatically at most once.
	Change    uuid.UUID  `json:"change"`
	MessageID *uuid.UUID `json:"message_id"`
	Automatic bool       `json:"automatic"`
	Reason    string     `json:"reason"`
}

func (AlertingPaused) EventType() Type      { return TypeAlertingPaused }
func (b AlertingPaused) Key() []string      { return []string{b.Change.String()} }
func (b AlertingPaused) Message() uuid.UUID { return orNil(b.MessageID) }

func (b AlertingPaused) summary(s speaker) string {
	if b.Automatic {
		return s.Text("paused the alerts of the message, because too many failed")
	}
	if b.MessageID == nil {
		return s.Text("paused all alerts")
	}
	return s.Text("paused the alerts of the message")
}

// AlertingResumed ends a pause.
type AlertingResumed struct {
	Change    uuid.UUID  `json:"change"`
	MessageID *uuid.UUID `json:"message_id"`
	Reason    string     `json:"reason"`
}

func (AlertingResumed) EventType() Type      { return TypeAlertingResumed }
func (b AlertingResumed) Key() []string      { return []string{b.Change.String()} }
func (b AlertingResumed) Message() uuid.UUID { return orNil(b.MessageID) }
func (b AlertingResumed) summary(s speaker) string {
	if b.MessageID == nil {
		return s.Text("resumed all alerts")
	}
	return s.Text("resumed the alerts of the message")
}

func orNil(id *uuid.UUID) uuid.UUID {
	if id == nil {
		return uuid.Nil
	}
	return *id
}
