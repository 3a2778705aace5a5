// Package state defines the states of a message, an alert and a replay, and the moves
// between them. The recorder's projection uses only these tables; packages that offer an
// action use them to tell whether it is still possible. The drawings of docs/states.md are
// generated from them, and the CHECKs of the database name the same states.
//
// It does no I/O.
package state

import (
	"slices"

	"postern/internal/events"
)

// A Move is one arrow of a state machine: from one state to another, by a cause.
type Move[S, By comparable] struct {
	From S
	By   By
	To   S
}

// Moves are all moves of one state machine.
type Moves[S, By comparable] []Move[S, By]

// From returns the states from which the cause by moves, in the order of the table.
func (m Moves[S, By]) From(by By) (from []S) {
	for _, move := range m {
		if move.By == by {
			from = append(from, move.From)
		}
	}
	return from
}

// Has says whether the cause by may move from one state to the other.
func (m Moves[S, By]) Has(from S, by By, to S) bool {
	return slices.Contains(m, Move[S, By]{from, by, to})
}

// next returns the first state to which the cause by moves, or from and false where it does
// not move.
func (m Moves[S, By]) next(from S, by By) (to S, ok bool) {
	for _, move := range m {
		if move.From == from && move.By == by {
			return move.To, true
		}
	}
	return from, false
}

// Message is the status of a message.
type Message string

// The statuses of a message.
const (
	Scheduled Message = "scheduled" // held until its time, or while Undo is possible
	Sending   Message = "sending"   // its deliveries are being recorded
	Sent      Message = "sent"      // all its deliveries are recorded
	Cancelled Message = "cancelled" // taken back before its release
	Recalled  Message = "recalled"  // taken back after its release
)

// MessageMoves are the moves of a message, by the events that make them.
var MessageMoves = Moves[Message, events.Type]{
	{Scheduled, events.TypeMessageReleased, Sending},
	{Scheduled, events.TypeMessageCancelled, Cancelled},
	{Sending, events.TypeFanoutCompleted, Sent},
	{Sending, events.TypeMessageRecalled, Recalled},
	{Sent, events.TypeMessageRecalled, Recalled},
}

// Initial is the status of a message that was just sent.
func Initial(h events.Hold) Message {
	if h == events.HoldNone {
		return Sending
	}
	return Scheduled
}

// After returns the status after an event: the same, and false, where the event changes nothing.
func (m Message) After(t events.Type) (after Message, ok bool) { return MessageMoves.next(m, t) }

// Allows says whether an event would still change the status.
func (m Message) Allows(t events.Type) bool {
	_, ok := m.After(t)
	return ok
}

// Withdrawn says whether the sender has taken the message back: no alert goes out for it.
func (m Message) Withdrawn() bool { return m == Cancelled || m == Recalled }

// Replay is the status of a replay.
type Replay string

// The statuses of a replay.
const (
	Planned         Replay = "planned"
	Running         Replay = "running"
	Paused          Replay = "paused"
	Completed       Replay = "completed"
	ReplayCancelled Replay = "cancelled" // before all its alerts were repeated
)

// ReplayMoves are the moves of a replay, by the events that make them.
var ReplayMoves = Moves[Replay, events.Type]{
	{Planned, events.TypeReplayStarted, Running},
	{Running, events.TypeReplayPaused, Paused},
	{Paused, events.TypeReplayResumed, Running},
	{Running, events.TypeReplayCompleted, Completed},
	{Paused, events.TypeReplayCompleted, Completed},
	{Planned, events.TypeReplayCancelled, ReplayCancelled},
	{Running, events.TypeReplayCancelled, ReplayCancelled},
	{Paused, events.TypeReplayCancelled, ReplayCancelled},
}

// After returns the status after an event: the same, and false, where the event changes nothing.
func (r Replay) After(t events.Type) (after Replay, ok bool) { return ReplayMoves.next(r, t) }

// An AlertCause is what moves an alert.
type AlertCause string

// The causes.
const (
	FirstOutcome AlertCause = "first outcome"
	LateAnswer   AlertCause = "late answer"      // to an attempt that was declared unknown
	LaterAttempt AlertCause = "later attempt"    // of a replay
	AnyAccepted  AlertCause = "accepted attempt" // of any number
	Reported     AlertCause = "report"           // by SendGrid's event webhook
)

// AlertMoves are the moves of an alert. Only a report of SendGrid that it could not deliver
// the alert moves it from accepted.
var AlertMoves = Moves[events.AlertState, AlertCause]{
	{events.AlertPending, FirstOutcome, events.AlertAccepted},
	{events.AlertPending, FirstOutcome, events.AlertFailed},
	{events.AlertPending, FirstOutcome, events.AlertSkipped},
	{events.AlertPending, FirstOutcome, events.AlertUnknown},
	{events.AlertUnknown, LateAnswer, events.AlertAccepted},
	{events.AlertUnknown, LateAnswer, events.AlertFailed},
	{events.AlertUnknown, LateAnswer, events.AlertSkipped},
	{events.AlertUnknown, Reported, events.AlertAccepted},
	{events.AlertUnknown, Reported, events.AlertFailed},
	{events.AlertAccepted, Reported, events.AlertFailed},
	{events.AlertFailed, Reported, events.AlertFailed}, // with another reason
	{events.AlertFailed, AnyAccepted, events.AlertAccepted},
	{events.AlertUnknown, AnyAccepted, events.AlertAccepted},
	{events.AlertSkipped, AnyAccepted, events.AlertAccepted},
	{events.AlertFailed, LaterAttempt, events.AlertFailed},
	{events.AlertFailed, LaterAttempt, events.AlertUnknown},
	{events.AlertFailed, LaterAttempt, events.AlertSkipped}, // by versions before ADR 33
	{events.AlertUnknown, LaterAttempt, events.AlertFailed},
	{events.AlertUnknown, LaterAttempt, events.AlertUnknown},
	{events.AlertUnknown, LaterAttempt, events.AlertSkipped}, // by versions before ADR 33
	{events.AlertSkipped, LaterAttempt, events.AlertFailed},
	{events.AlertSkipped, LaterAttempt, events.AlertUnknown},
	{events.AlertSkipped, LaterAttempt, events.AlertSkipped}, // by versions before ADR 33
}

// Notice says how far the notice to the sender of a message is, which says that the message has
// ended.
type Notice string

// The states of a notice. See package notice for what they are for.
const (
	NoNotice   Notice = "none" // not all deliveries are recorded, or a version without notices recorded them
	NoticeDue  Notice = "due"  // to be made when the message has ended
	NoticeMade Notice = "made"
)

// An Ending is what of a message decides whether it has ended, and whether its sender gets a notice.
type Ending struct {
	Notice Notice
	Status Message
	// Bulk says that the message is to a group.
	Bulk bool
	// Delivered counts the deliveries. The others count those whose alert has an outcome.
	Delivered, Accepted, Failed, Skipped, Unknown int
}

// Ended reports whether a message has ended: all its deliveries are recorded, and the first attempt
// at each of its alerts has an outcome. A message whose alerts a pause holds has not ended, nor one
// with a parked chunk, nor a cancelled one.
func (e Ending) Ended() bool {
	return e.Notice != NoNotice && e.Accepted+e.Failed+e.Skipped+e.Unknown == e.Delivered
}

// MakesNotice reports whether the sender gets a notice now. For a message to a group that is when
// it ends. For one to chosen people it is when it has ended and not all of them got their e-mail,
// unless the sender recalled it.
func (e Ending) MakesNotice() bool {
	switch {
	case e.Notice != NoticeDue || !e.Ended():
		return false
	case e.Bulk:
		return true
	}
	return e.Status != Recalled && (e.Delivered == 0 || e.Accepted < e.Delivered)
}
