package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/content/message"
	"postern/internal/content/reader"
	"postern/internal/inbound"
	"postern/internal/messages"
	"postern/internal/problem"
	"postern/internal/search"
)

// maxMessage is the most bytes of a message as JSON: 100,000 characters are up to 1.2 MB if
// each is written as \uXXXX\uXXXX, and there may be 5,000 ids.
const maxMessage = 2 << 20

// newMessage is a message to be sent.
type newMessage struct {
	Subject        string     `json:"subject" doc:"1 to {Subject} in one line."`
	Body           string     `json:"body" doc:"1 to {Body} of plain text; line breaks are kept."`
	Recipients     Recipients `json:"recipients"`
	StaffBcc       []string   `json:"staff_bcc,omitempty" doc:"Staff ids, at most {StaffBcc}. Portal users never see them."`
	AttachmentIDs  []string   `json:"attachment_ids,omitempty" doc:"Uploads of the sender, at most {Attachments}."`
	AudienceDigest string     `json:"audience_digest,omitempty" maxLength:"100" doc:"The digest of the preview that the sender confirmed."`
	SendAt         *time.Time `json:"send_at,omitempty" doc:"When to send, at most {SendAhead} from now. Overrides undo_seconds."`
	UndoSeconds    *int       `json:"undo_seconds,omitempty" doc:"How long the message can be cancelled before it is sent, 0 to {Undo}; by default 10 for a group and 0 otherwise."`
}

type sendInput struct {
	Key  string `header:"Idempotency-Key" doc:"1 to 255 visible ASCII characters, new for each message. The same key and body again give the same answer." required:"true"`
	Body newMessage
}

// Sent is the answer to a request to send a message.
type Sent struct {
	ID        uuid.UUID         `json:"id" format:"uuid"`
	Status    string            `json:"status" enum:"scheduled,sending"`
	ReleaseAt time.Time         `json:"release_at"`
	Links     map[string]string `json:"links"`
}

// Message is a message as staff see it.
type Message struct {
	ID           uuid.UUID         `json:"id" format:"uuid"`
	Subject      string            `json:"subject" doc:"Empty if the content is not kept."`
	Content      string            `json:"content" enum:"kept,erased,missing" doc:"Whether the content can be read. erased: it was erased, and the record says so. missing: it was not erased but can't be found."`
	Status       string            `json:"status" enum:"scheduled,sending,sent,cancelled,recalled"`
	SentAt       time.Time         `json:"sent_at"`
	ReleaseAt    time.Time         `json:"release_at"`
	SenderID     string            `json:"sender_id"`
	Sender       string            `json:"sender" doc:"The sender's name."`
	Recipients   ChosenRecipients  `json:"recipients"`
	Progress     messages.Progress `json:"progress"`
	RecalledAt   *time.Time        `json:"recalled_at,omitempty"`
	RecallReason *string           `json:"recall_reason,omitempty"`
}

// ChosenRecipients are the recipients as the sender chose them.
type ChosenRecipients struct {
	PortalUserIDs []string `json:"portal_user_ids" nullable:"false" doc:"Portal users chosen one by one; in a list only the first ten."`
	PortalUsers   int      `json:"portal_users" doc:"The number of portal users chosen one by one."`
	Groups        []string `json:"groups" nullable:"false"`
	About         []About  `json:"about" nullable:"false" doc:"Whom the message to each of these portal users concerns, where it states that; in a list only of the first ten."`
}

// MessageInFull is a message with the fields that only its sender and Staff Bcc may read.
type MessageInFull struct {
	Message
	Body        string            `json:"body,omitempty" doc:"For the sender and Staff Bcc."`
	Attachments []Attachment      `json:"attachments,omitempty" doc:"For the sender and Staff Bcc."`
	StaffBcc    []string          `json:"staff_bcc,omitempty" doc:"For the sender and Staff Bcc."`
	Links       map[string]string `json:"links"`
}

func messageOf(m messages.Message, h message.Heading) Message {
	about := []About{}
	for _, id := range m.PortalUserIDs {
		if patients := m.About[id]; len(patients) > 0 {
			about = append(about, About{id, patients})
		}
	}
	return Message{ID: m.ID, Subject: h.Subject, Content: string(h.Condition), Status: string(m.Status), SentAt: m.SentAt, ReleaseAt: m.ReleaseAt,
		SenderID: m.SenderID, Sender: m.Sender, Progress: m.Progress, RecalledAt: m.RecalledAt, RecallReason: m.RecallReason,
		Recipients: ChosenRecipients{PortalUserIDs: m.PortalUserIDs, PortalUsers: m.PortalUsers, Groups: m.Groups, About: about}}
}

func linksOf(id uuid.UUID) map[string]string {
	self := "/v1/messages/" + id.String()
	return map[string]string{"self": self, "deliveries": self + "/deliveries", "stream": self + "/stream",
		"cancel": self + "/cancel", "recall": self + "/recall"}
}

// MessagePath is the path of a message.
type MessagePath struct {
	ID uuid.UUID `path:"id" format:"uuid"`
}

type recallInput struct {
	MessagePath
	Body struct {
		Reason string `json:"reason" doc:"The reason, 1 to {Reason}. It is recorded."`
	}
}

// mayTrack are the actions that allow staff to read messages. Each message is checked on
// its own as well.
var mayTrack = []policy.Action{policy.SeeMessages, policy.ReadTheRecord, policy.SeeBcc}

// MessageOperations send, cancel and recall messages, and report their progress.
type MessageOperations struct {
	Composer *compose.Composer
	Reader   *reader.Reader
	Messages *messages.Reader
	Search   *search.Searcher
	Now      func() time.Time
	// Changed returns a channel that is closed when the recorder has recorded more events.
	Changed func() <-chan struct{}
	Await   Await
}

func (g MessageOperations) register(a *API) {
	handle(a, operation{
		method: http.MethodPost, path: "/v1/messages", id: "send-message", tag: forStaff, status: http.StatusAccepted,
		summary: "Send a message. The operation answers 202 after the message is recorded.", takes: inbound.Body{MaxBytes: maxMessage, Memory: 4 * maxMessage},
		actions:  []policy.Action{policy.SendMessage},
		problems: []int{http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity},
	}, g.send)
	handle(a, operation{
		method: http.MethodGet, path: "/v1/messages", id: "list-messages", tag: forStaff,
		summary: "My messages, newest first. With read_record, the messages of all staff. A search by words looks at a thousand messages: its page may be empty and still have a next page.",
		actions: []policy.Action{policy.SeeMessages, policy.ReadTheRecord},
	}, g.listMessages)
	handle(a, operation{
		method: http.MethodGet, path: "/v1/messages/{id}", id: "get-message", tag: forStaff,
		summary: "One message and its progress.", actions: mayTrack, problems: []int{http.StatusNotFound},
	}, g.getMessage)
	handle(a, operation{
		method: http.MethodPost, path: "/v1/messages/{id}/cancel", id: "cancel-message", tag: forStaff,
		summary: "Cancel a message before it is released.", actions: []policy.Action{policy.SendMessage},
		problems: []int{http.StatusNotFound, http.StatusConflict},
	}, func(ctx context.Context, in *MessagePath) (*body[MessageInFull], error) {
		if err := g.Composer.Cancel(ctx, subjectOf(ctx), in.ID); err != nil {
			return nil, err
		}
		return g.getMessage(ctx, in)
	})
	handle(a, operation{
		method: http.MethodPost, path: "/v1/messages/{id}/recall", id: "recall-message", tag: forStaff,
		summary: "Recall a delivered message. Recipients can no longer read it.", actions: []policy.Action{policy.SendMessage},
		problems: []int{http.StatusNotFound, http.StatusConflict},
	}, func(ctx context.Context, in *recallInput) (*body[MessageInFull], error) {
		if err := g.Composer.Recall(ctx, subjectOf(ctx), in.ID, in.Body.Reason); err != nil {
			return nil, err
		}
		return g.getMessage(ctx, &in.MessagePath)
	})
	g.messageAttachments(a)
	g.deliveries(a)
	g.bcc(a)
	g.stream(a)
	g.worklists(a)
}

func (g MessageOperations) send(ctx context.Context, in *sendInput) (*body[Sent], error) {
	m := in.Body
	attachments, err := parseIDs("body.attachment_ids", m.AttachmentIDs)
	if err != nil {
		return nil, err
	}
	sent, err := g.Composer.Send(ctx, subjectOf(ctx), in.Key, compose.Request{
		Subject: m.Subject, Body: m.Body, Recipients: m.Recipients.selection(), StaffBcc: m.StaffBcc,
		AttachmentIDs: attachments, AudienceDigest: m.AudienceDigest, SendAt: m.SendAt, UndoSeconds: m.UndoSeconds,
	})
	if err != nil {
		return nil, err
	}
	g.Await(ctx, sent.Seq)
	return answerWith(Sent{ID: sent.ID, Status: string(sent.Status), ReleaseAt: sent.ReleaseAt, Links: linksOf(sent.ID)}), nil
}

func parseIDs(location string, texts []string) ([]uuid.UUID, error) {
	ids := make([]uuid.UUID, len(texts))
	for i, text := range texts {
		var err error
		if ids[i], err = uuid.Parse(text); err != nil {
			return nil, problem.Invalid(fmt.Sprintf("%s[%d]", location, i), "is not an id, which is a UUID")
		}
	}
	return ids, nil
}

// MessageFilter has the query parameters that select messages of a list.
type MessageFilter struct {
	Q    string `query:"q" maxLength:"200" doc:"Only messages whose subject has these words."`
	From string `query:"from" format:"date-time" doc:"Only messages sent at or after this time."`
	To   string `query:"to" format:"date-time" doc:"Only messages sent before this time."`
}

// query returns the query of a list of messages.
func (f MessageFilter) query(which messages.Which) (messages.Query, error) {
	q := messages.Query{Which: which}
	for _, limit := range []struct {
		name, text string
		to         *time.Time
	}{{"query.from", f.From, &q.From}, {"query.to", f.To, &q.Until}} {
		if limit.text == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339, limit.text)
		if err != nil {
			return q, problem.Invalid(limit.name, "is not a time such as 2026-01-31T09:30:00Z")
		}
		*limit.to = at
	}
	return q, nil
}

type messagesInput struct {
	Page
	MessageFilter
	Status string `query:"status" enum:"scheduled,sending,sent,cancelled,recalled" doc:"Only messages with this status."`
	Mine   bool   `query:"mine" doc:"Only messages that I sent, also for readers of the record."`
}

func (g MessageOperations) listMessages(ctx context.Context, in *messagesInput) (*body[List[Message]], error) {
	which := messages.Sent
	if policy.Allow(subjectOf(ctx), policy.ReadTheRecord) == nil && !in.Mine {
		which = messages.All
	}
	query, err := in.query(which)
	if err != nil {
		return nil, err
	}
	query.Status = in.Status
	return g.listOf(ctx, query, in.Q, in.Page)
}

// listOf returns a page of one of the lists of messages whose subject has the words of q.
func (g MessageOperations) listOf(ctx context.Context, query messages.Query, q string, in Page) (*body[List[Message]], error) {
	var err error
	if query.Before, err = in.fromID(); err != nil {
		return nil, err
	}
	query.Limit = in.Limit
	found, err := g.Search.List(ctx, subjectOf(ctx), query, q)
	if err != nil {
		return nil, err
	}
	l := List[Message]{Items: make([]Message, len(found.Messages))}
	for i, m := range found.Messages {
		l.Items[i] = messageOf(m, found.Headers[m.ID])
	}
	if found.Next != uuid.Nil {
		next := cursorOfID(found.Next)
		l.NextCursor = &next
	}
	return answerWith(l), nil
}

func (g MessageOperations) getMessage(ctx context.Context, in *MessagePath) (*body[MessageInFull], error) {
	m, err := g.Messages.Visible(ctx, subjectOf(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	if m.Role == messages.RoleNone {
		headers, err := g.Reader.Headers(ctx, []uuid.UUID{m.ID})
		if err != nil {
			return nil, err
		}
		return answerWith(MessageInFull{Message: messageOf(m, headers[m.ID]), Links: linksOf(m.ID)}), nil
	}
	h, text, err := g.Reader.Read(ctx, m.ID)
	if err != nil {
		return nil, err
	}
	full := MessageInFull{Message: messageOf(m, h), Body: text, StaffBcc: h.StaffBcc, Links: linksOf(m.ID)}
	for _, d := range h.Attachments {
		full.Attachments = append(full.Attachments, attachmentOf(d))
	}
	return answerWith(full), nil
}

type messageAttachmentInput struct {
	MessagePath
	AttachmentID uuid.UUID `path:"attachment_id" format:"uuid"`
}

// messageAttachments registers the attachments of a sent message, for its sender and Staff
// Bcc.
func (g MessageOperations) messageAttachments(a *API) {
	const path = "/v1/messages/{id}/attachments/{attachment_id}"
	handle(a, operation{
		method: http.MethodGet, path: path, id: "get-message-attachment", tag: forStaff,
		summary: "A document of a message, for its sender and Staff Bcc.",
		actions: mayTrack, problems: []int{http.StatusNotFound, http.StatusGone, http.StatusInternalServerError},
	}, func(ctx context.Context, in *messageAttachmentInput) (*huma.StreamResponse, error) {
		m, err := g.Messages.Visible(ctx, subjectOf(ctx), in.ID)
		if err != nil {
			return nil, err
		}
		if m.Role == messages.RoleNone {
			return nil, messages.ErrNotFound
		}
		document, data, err := g.Reader.OpenAttachment(ctx, in.ID, in.AttachmentID)
		if err != nil {
			return nil, err
		}
		return download(document, data), nil
	})
	a.describeDownload(path)
}
