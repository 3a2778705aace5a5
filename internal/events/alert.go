package events

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"postern/internal/text/language"
)

// The outcomes of one attempt at the alerts of a chunk.
const (
	TypeAlertsAccepted Type = "alerts.accepted"
	TypeAlertsFailed   Type = "alerts.failed"
	TypeAlertsSkipped  Type = "alerts.skipped"
	TypeAlertsUnknown  Type = "alerts.unknown"
)

var alertTypes = []Descriptor{
	outcome(TypeAlertsAccepted, language.Mark("Alerts accepted"), "SendGrid accepted the alerts of most of a chunk"),
	outcome(TypeAlertsFailed, language.Mark("Alerts failed"), "SendGrid refused the alerts of most of a chunk"),
	outcome(TypeAlertsSkipped, language.Mark("Alerts skipped"), "most of a chunk needed no alert"),
	outcome(TypeAlertsUnknown, language.Mark("Alerts unknown"), "SendGrid gave no answer for most of a chunk"),
}

func outcome(t Type, label, when string) Descriptor {
	return Descriptor{
		Type: t, Version: 4, Label: label,
		When:       when,
		Publishers: []string{NotifyWorker}, Rows: []string{"messages", "chunks", "alert_exceptions", "reports", "replays", "notices"},
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
// only those of replays. Version 4 has parts.)
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
	// Nos are the numbers of the recipients of the attempt, in order. They are not part of the
	// body: its chunk has them. A replay's outcome, which lists all its recipients, and one
	// without exceptions need none.
	Nos []int32 `json:"-"`
	// Hidden hides the outcome of each recipient, who is an entry, if there are exceptions:
	// those who are none must not be told from them. It is nil before version 4.
	Hidden *Hidden `json:"-"`
}

// outcomeInParts is the JSON of an AlertOutcome from version 4 on.
type outcomeInParts = inParts[outcomePublic, outcomePrivate]

type outcomePublic struct {
	MessageID  uuid.UUID      `json:"message_id"`
	Chunk      int            `json:"chunk"`
	Chunks     int            `json:"chunks"`
	Attempt    int            `json:"attempt"`
	Recipients int            `json:"recipients"`
	State      AlertState     `json:"state"`
	Reason     string         `json:"reason,omitempty"`
	Requests   []AlertRequest `json:"requests"`
	ReplayID   *uuid.UUID     `json:"replay_id,omitempty"`
	Part       int64          `json:"part,omitempty"`
	Entries    *entriesOf     `json:"entries,omitempty"`
}

type outcomePrivate struct {
	Seed       string           `json:"seed,omitempty"`
	Exceptions []AlertException `json:"exceptions"`
}

// MarshalJSON implements json.Marshaler.
func (b AlertOutcome) MarshalJSON() ([]byte, error) {
	if b.Hidden == nil {
		type whole AlertOutcome
		return json.Marshal(whole(b))
	}
	return json.Marshal(outcomeInParts{
		outcomePublic{b.MessageID, b.Chunk, b.Chunks, b.Attempt, b.Recipients, b.State, b.Reason, b.Requests, b.ReplayID, b.Part, b.Hidden.public()},
		outcomePrivate{b.Hidden.seed(), b.Exceptions}})
}

// UnmarshalJSON implements json.Unmarshaler.
func (b *AlertOutcome) UnmarshalJSON(data []byte) error {
	if !hasParts(data) {
		type whole AlertOutcome
		return json.Unmarshal(data, (*whole)(b))
	}
	var in outcomeInParts
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	b.Exceptions = in.Private.Exceptions
	return b.read(in.Public, in.Private.Seed)
}

func (b *AlertOutcome) read(p outcomePublic, seed string) (err error) {
	b.MessageID, b.Chunk, b.Chunks, b.Attempt, b.Recipients = p.MessageID, p.Chunk, p.Chunks, p.Attempt, p.Recipients
	b.State, b.Reason, b.Requests, b.ReplayID, b.Part = p.State, p.Reason, p.Requests, p.ReplayID, p.Part
	b.Hidden, err = p.Entries.hidden(seed)
	return err
}

func (b *AlertOutcome) readPublic(public []byte) error {
	var p outcomePublic
	if err := json.Unmarshal(public, &p); err != nil {
		return err
	}
	return b.read(p, "")
}

// outcomeEntry is the outcome of one recipient.
type outcomeEntry struct {
	PortalUserNo int32      `json:"portal_user_no"`
	State        AlertState `json:"state"`
	Reason       string     `json:"reason,omitempty"`
}

// beginOutcome is how the JSON of an outcomeEntry begins.
const beginOutcome = `{"portal_user_no":`

func (b *AlertOutcome) show(text string) error {
	var e outcomeEntry
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		return err
	}
	b.Exceptions = append(b.Exceptions, AlertException{PortalUserNo: e.PortalUserNo, State: e.State, Reason: e.Reason})
	return nil
}

// Entries implements [Hiding]: the outcome of each recipient of the attempt, in order of number,
// or none if it is the same for all. It needs Nos.
func (b AlertOutcome) Entries() ([][]byte, error) {
	if b.namesNoOne() {
		return nil, nil
	}
	entries := make([][]byte, 0, b.Recipients)
	// Nearly all entries differ in the number alone.
	most := entry(outcomeEntry{0, b.State, wellFormed(b.Reason)})[len(beginOutcome)+len("0"):]
	room := make([]byte, 0, b.Recipients*(len(beginOutcome)+len("2147483647")+len(most)))
	add := func(no int32, state AlertState, reason string) {
		if state != b.State || reason != b.Reason {
			entries = append(entries, entry(outcomeEntry{no, state, wellFormed(reason)}))
			return
		}
		start := len(room)
		room = append(strconv.AppendInt(append(room, beginOutcome...), int64(no), 10), most...)
		entries = append(entries, room[start:len(room):len(room)])
	}
	if b.ReplayID != nil {
		for _, x := range b.Exceptions {
			add(x.PortalUserNo, x.State, x.Reason)
		}
		return entries, nil
	}
	next := 0
	for _, no := range b.Nos {
		if next < len(b.Exceptions) && b.Exceptions[next].PortalUserNo == no {
			add(no, b.Exceptions[next].State, b.Exceptions[next].Reason)
			next++
		} else {
			add(no, b.State, b.Reason)
		}
	}
	if next != len(b.Exceptions) || len(b.Nos) != b.Recipients {
		return nil, fmt.Errorf("the outcome of chunk %d of message %s is of %d recipients with %d exceptions, and it has %d numbers, %d of them exceptions",
			b.Chunk, b.MessageID, b.Recipients, len(b.Exceptions), len(b.Nos), next)
	}
	return entries, nil
}

func (b AlertOutcome) namesNoOne() bool { return len(b.Exceptions) == 0 }

// HiddenBy implements [Hiding].
func (b AlertOutcome) HiddenBy() *Hidden { return b.Hidden }

func (AlertOutcome) parts() int            { return 4 }
func (b AlertOutcome) version() int        { return versionOfParts(b) }
func (b AlertOutcome) hide(h *Hidden) Body { b.Hidden = h; return b }

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

func (b AlertOutcome) summary(s speaker) string {
	others := map[AlertState]int{}
	for _, x := range b.Exceptions {
		others[x.State]++
	}
	others[b.State] += b.Recipients - len(b.Exceptions)
	var parts []string
	for _, state := range []AlertState{AlertAccepted, AlertFailed, AlertSkipped, AlertUnknown} {
		if n := others[state]; n > 0 {
			parts = append(parts, s.alerts(n, state))
		}
	}
	text := s.Text("recorded alerts: {counts}", "counts", strings.Join(parts, ", ")) + s.placeOf(&ChunkRef{b.Chunk, b.Chunks})
	if others[AlertSkipped] == b.Recipients { // no request was made
		return text
	}
	return text + s.Text(", attempt {attempt}", "attempt", strconv.Itoa(b.Attempt))
}

// alerts counts alerts of a state.
func (s speaker) alerts(n int, state AlertState) string {
	switch state {
	case AlertAccepted:
		return s.Count(n, "{n} accepted", "{n} accepted")
	case AlertFailed:
		return s.Count(n, "{n} failed", "{n} failed")
	case AlertSkipped:
		return s.Count(n, "{n} skipped", "{n} skipped")
	}
	return s.Count(n, "{n} unknown", "{n} unknown")
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
