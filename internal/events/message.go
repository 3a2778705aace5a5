package events

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"postern/internal/text/language"
)

// A message is sent, released, cancelled or recalled.
const (
	TypeMessageSent      Type = "message.sent"
	TypeMessageReleased  Type = "message.released"
	TypeMessageCancelled Type = "message.cancelled"
	TypeMessageRecalled  Type = "message.recalled"
)

var messageTypes = []Descriptor{{
	Type: TypeMessageSent, Version: statesMatter, Label: "Message sent",
	When:       "a staff member sends a message",
	Publishers: []string{API}, Consumers: []string{FanoutWorker}, Rows: []string{"messages", "message_bcc"},
	About: AboutRecipients, OfMessage: OneMessage, summary: summary(MessageSent.summary),
}, {
	Type: TypeMessageReleased, Version: 1, Label: "Message released",
	When:       "a held or scheduled message is due",
	Publishers: []string{Recorder}, Consumers: []string{FanoutWorker}, Rows: []string{"messages"},
	OfMessage: OneMessage, summary: words(language.Mark("released the message, which was due")),
}, {
	Type: TypeMessageCancelled, Version: 1, Label: "Message cancelled",
	When:       "a staff member cancels a held or scheduled message",
	Publishers: []string{API}, Rows: []string{"messages"},
	OfMessage: OneMessage, summary: words(language.Mark("cancelled the message before it went out")),
}, {
	Type: TypeMessageRecalled, Version: 1, Label: "Message recalled",
	When:       "a staff member recalls a message",
	Publishers: []string{API}, Rows: []string{"messages"},
	About: AboutRecipients, OfMessage: OneMessage, summary: summary(MessageRecalled.summary),
}}

// statesMatter is the version of a message.sent that states which patients the message concerns.
const statesMatter = 4

// MessageSent says that a staff member sent a message. It carries digests, never
// content. SubjectDigest and BodyDigest are the SHA-256 of a random salt and the text.
// The salt is kept with the content, so that a short subject can't be guessed from the
// record after its content was destroyed.
type MessageSent struct {
	MessageID     uuid.UUID        `json:"message_id"`
	SenderID      string           `json:"sender_id"`
	SubjectDigest string           `json:"subject_digest"`
	BodyDigest    string           `json:"body_digest"`
	Attachments   []AttachmentFact `json:"attachments"`
	Recipients    Selection        `json:"recipients"`
	StaffBcc      []string         `json:"staff_bcc"`
	// Hold says why the message waits until ReleaseAt; see the values of [Hold].
	Hold      Hold      `json:"hold"`
	ReleaseAt time.Time `json:"release_at"`
	// Confirmed is the preview that the sender confirmed; nil without a preview.
	Confirmed *Confirmed `json:"confirmed,omitempty"`
	// Hidden hides the chosen portal users, each of whom is an entry, the staff who get a copy
	// and what was confirmed. It is nil before version 3.
	Hidden *Hidden `json:"-"`
}

// StatesMatter reports whether the event states which patients the message concerns: see
// [Selection]. Earlier versions do not.
func (b MessageSent) StatesMatter() bool { return b.Hidden != nil && b.Recipients.About != nil }

func (MessageSent) EventType() Type      { return TypeMessageSent }
func (b MessageSent) Key() []string      { return []string{b.MessageID.String()} }
func (b MessageSent) Message() uuid.UUID { return b.MessageID }

// messageSentInParts is the JSON of a MessageSent from version 3 on.
type messageSentInParts = inParts[messageSentPublic, messageSentPrivate]

type messageSentPublic struct {
	MessageID     uuid.UUID        `json:"message_id"`
	SenderID      string           `json:"sender_id"`
	SubjectDigest string           `json:"subject_digest"`
	BodyDigest    string           `json:"body_digest"`
	Attachments   []AttachmentFact `json:"attachments"`
	Groups        []string         `json:"groups"`
	Hold          Hold             `json:"hold"`
	ReleaseAt     time.Time        `json:"release_at"`
	Matter        string           `json:"matter,omitempty"`
	Entries       *entriesOf       `json:"entries,omitempty"`
}

// matterStated is the value of Matter from version 4 on.
const matterStated = "stated"

type messageSentPrivate struct {
	Seed          string     `json:"seed"`
	PortalUserIDs []string   `json:"portal_user_ids,omitzero"` // before version 4
	Chosen        []chosen   `json:"chosen,omitzero"`          // from version 4 on
	StaffBcc      []string   `json:"staff_bcc"`
	Confirmed     *Confirmed `json:"confirmed,omitempty"`
}

// chosen is a chosen portal user from version 4 on, also as an entry. About has the patients whom
// the message concerns.
type chosen struct {
	PortalUserID string   `json:"portal_user_id"`
	About        []string `json:"about"`
}

// chosen returns the chosen portal users with their patients.
func (s Selection) chosen() []chosen {
	all := make([]chosen, len(s.PortalUserIDs))
	for i, id := range s.PortalUserIDs {
		all[i] = chosen{id, append([]string{}, s.About[id]...)}
	}
	return all
}

// add is the inverse of [Selection.chosen]. About must not be nil.
func (s *Selection) add(c chosen) {
	s.PortalUserIDs = append(s.PortalUserIDs, c.PortalUserID)
	if len(c.About) > 0 {
		s.About[c.PortalUserID] = c.About
	}
}

// MarshalJSON implements json.Marshaler.
func (b MessageSent) MarshalJSON() ([]byte, error) {
	if b.Hidden == nil {
		type whole MessageSent
		b.Recipients.About = nil // versions without parts can't hide patients
		return json.Marshal(whole(b))
	}
	public := messageSentPublic{b.MessageID, b.SenderID, b.SubjectDigest, b.BodyDigest, b.Attachments, b.Recipients.Groups, b.Hold, b.ReleaseAt, "", b.Hidden.public()}
	private := messageSentPrivate{Seed: b.Hidden.seed(), StaffBcc: b.StaffBcc, Confirmed: b.Confirmed}
	if b.StatesMatter() {
		public.Matter, private.Chosen = matterStated, b.Recipients.chosen()
	} else {
		private.PortalUserIDs = append([]string{}, b.Recipients.PortalUserIDs...)
	}
	return json.Marshal(messageSentInParts{public, private})
}

// UnmarshalJSON implements json.Unmarshaler.
func (b *MessageSent) UnmarshalJSON(data []byte) error {
	if !hasParts(data) {
		type whole MessageSent
		return json.Unmarshal(data, (*whole)(b))
	}
	var in messageSentInParts
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	b.Recipients.PortalUserIDs, b.StaffBcc, b.Confirmed = in.Private.PortalUserIDs, in.Private.StaffBcc, in.Private.Confirmed
	if err := b.read(in.Public, in.Private.Seed); err != nil {
		return err
	}
	if b.StatesMatter() == (in.Private.Chosen == nil) || b.StatesMatter() == (in.Private.PortalUserIDs != nil) {
		return errMatter
	}
	if b.StatesMatter() {
		b.Recipients.PortalUserIDs = []string{}
	}
	for _, c := range in.Private.Chosen {
		b.Recipients.add(c)
	}
	return nil
}

var errMatter = errors.New("its parts disagree about whether it states the patients whom the message concerns")

func (b *MessageSent) read(p messageSentPublic, seed string) (err error) {
	b.MessageID, b.SenderID, b.SubjectDigest, b.BodyDigest, b.Attachments = p.MessageID, p.SenderID, p.SubjectDigest, p.BodyDigest, p.Attachments
	b.Recipients.Groups, b.Hold, b.ReleaseAt = p.Groups, p.Hold, p.ReleaseAt
	switch p.Matter {
	case "":
	case matterStated:
		b.Recipients.About = map[string][]string{}
	default:
		return fmt.Errorf("%w: %q", errMatter, p.Matter)
	}
	b.Hidden, err = p.Entries.hidden(seed)
	return err
}

func (b *MessageSent) readPublic(public []byte) error {
	var p messageSentPublic
	if err := json.Unmarshal(public, &p); err != nil {
		return err
	}
	return b.read(p, "")
}

func (b *MessageSent) show(shown string) error {
	if b.StatesMatter() {
		var c chosen
		if err := json.Unmarshal([]byte(shown), &c); err != nil {
			return err
		}
		b.Recipients.add(c)
		return nil
	}
	var id string
	if err := json.Unmarshal([]byte(shown), &id); err != nil {
		return err
	}
	b.Recipients.PortalUserIDs = append(b.Recipients.PortalUserIDs, id)
	return nil
}

// Entries implements [Hiding]: the chosen portal users, by id or, from version 4 on, each with the
// patients whom the message concerns.
func (b MessageSent) Entries() ([][]byte, error) {
	entries := make([][]byte, len(b.Recipients.PortalUserIDs))
	for i, c := range b.Recipients.chosen() {
		if b.Recipients.About == nil {
			entries[i] = entry(c.PortalUserID)
		} else {
			entries[i] = entry(c)
		}
	}
	return entries, nil
}

// HiddenBy implements [Hiding].
func (b MessageSent) HiddenBy() *Hidden { return b.Hidden }

func (MessageSent) parts() int { return 3 }
func (b MessageSent) version() int {
	if b.StatesMatter() {
		return statesMatter
	}
	return versionOfParts(b)
}
func (b MessageSent) hide(h *Hidden) Body { b.Hidden = h; return b }

// Chosen is the number of portal users who were chosen one by one.
func (b MessageSent) Chosen() int {
	if b.Hidden != nil {
		return b.Hidden.Entries // also in a receipt, which shows at most one of them
	}
	return len(b.Recipients.PortalUserIDs)
}

// SelectionDigest is the digest of the recipients, by which deliveries.created cites them: of the
// groups and of the root of the entries or, before version 3, of the ids.
func (b MessageSent) SelectionDigest() string {
	if b.Hidden == nil {
		return b.Recipients.Digest()
	}
	data, _ := json.Marshal(struct { // never fails: strings and numbers
		Groups  []string   `json:"groups"`
		Entries *entriesOf `json:"entries,omitempty"`
	}{b.Recipients.Groups, b.Hidden.public()})
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (b MessageSent) summary(s speaker) string {
	var to []string
	if n := b.Chosen(); n > 0 {
		to = append(to, s.people(n))
	}
	if n := len(b.Recipients.Groups); n > 0 {
		to = append(to, s.Count(n, "{n} group", "{n} groups"))
	}
	text := s.Text("sent a message to {whom}", "whom", s.List(to))
	if n := len(b.Attachments); n > 0 {
		text += s.Count(n, ", with {n} document", ", with {n} documents")
	}
	switch b.Hold {
	case HoldUndo:
		text += s.Text(", held for undo")
	case HoldScheduled:
		text += s.Text(", scheduled for {time}", "time", b.ReleaseAt.UTC().Format("2006-01-02 15:04:05")+" UTC")
	}
	return text
}

// Hold is the reason for which a message waits between sending and fan-out.
type Hold string

// The values of [Hold]: the message does not wait, the sender can still undo sending,
// or the sender chose a later time.
const (
	HoldNone      Hold = "none"
	HoldUndo      Hold = "undo"
	HoldScheduled Hold = "scheduled"
)

// AttachmentFact is the record's data about a document. It never has the document's
// name, which can reveal a diagnosis.
type AttachmentFact struct {
	AttachmentID uuid.UUID `json:"attachment_id"`
	MediaType    string    `json:"media_type"`
	Size         int64     `json:"size"`
	SHA256       string    `json:"sha256"`
}

// Selection is the sender's choice of recipients.
type Selection struct {
	PortalUserIDs []string `json:"portal_user_ids"`
	Groups        []string `json:"groups"`
	// About has the patients whom the message concerns, for each chosen portal user for whom that
	// is stated; package matter says whom it concerns for the others. It is nil in an event that
	// states nothing (before version 4 of message.sent), and empty in one that states it for no
	// portal user.
	About map[string][]string `json:"about,omitzero"`
}

// Confirmed is the count and digest of the preview that the sender confirmed.
type Confirmed struct {
	Count  int    `json:"count"`
	Digest string `json:"digest"`
}

// MessageReleased says that a held message was due and was released.
type MessageReleased struct {
	MessageID uuid.UUID `json:"message_id"`
}

func (MessageReleased) EventType() Type      { return TypeMessageReleased }
func (b MessageReleased) Key() []string      { return []string{b.MessageID.String()} }
func (b MessageReleased) Message() uuid.UUID { return b.MessageID }

// MessageCancelled says that a held message was cancelled. If the release of the
// message comes before it on the record, it is too late and changes nothing.
type MessageCancelled struct {
	MessageID uuid.UUID `json:"message_id"`
	StaffID   string    `json:"staff_id"`
}

func (MessageCancelled) EventType() Type      { return TypeMessageCancelled }
func (b MessageCancelled) Key() []string      { return []string{b.MessageID.String()} }
func (b MessageCancelled) Message() uuid.UUID { return b.MessageID }

// MessageRecalled says that a staff member recalled a message, and how many portal
// users had opened it before.
type MessageRecalled struct {
	MessageID uuid.UUID `json:"message_id"`
	StaffID   string    `json:"staff_id"`
	Reason    string    `json:"reason"`
	Opened    int       `json:"opened"`
}

func (MessageRecalled) EventType() Type      { return TypeMessageRecalled }
func (b MessageRecalled) Key() []string      { return []string{b.MessageID.String()} }
func (b MessageRecalled) Message() uuid.UUID { return b.MessageID }

func (b MessageRecalled) summary(s speaker) string {
	return s.Count(b.Opened, "recalled the message after {n} portal user had opened it", "recalled the message after {n} portal users had opened it")
}
