package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/inbox"
	"postern/internal/inbox/inboxstore"
	"postern/internal/proof/receipt/issuer"
)

// InboxMessage is a message as a portal user sees it in the list.
type InboxMessage struct {
	MessageID   uuid.UUID  `json:"message_id" format:"uuid"`
	Subject     string     `json:"subject" doc:"Empty if the message was recalled, or its content is not kept."`
	Content     string     `json:"content" enum:"kept,erased,missing" doc:"Whether the content can be read. erased: it was erased, and the record says so. missing: it was not erased but can't be found."`
	From        string     `json:"from" doc:"The name of the staff member who sent it."`
	DeliveredAt time.Time  `json:"delivered_at"`
	OpenedAt    *time.Time `json:"opened_at"`
	Unread      bool       `json:"unread" doc:"I have not opened it, or have marked it as unread."`
	Attachments int        `json:"attachments" doc:"The number of its documents."`
	Recalled    bool       `json:"recalled" doc:"Its sender recalled it: it can't be opened."`
}

// OpenedMessage is a message that a portal user has opened.
type OpenedMessage struct {
	MessageID   uuid.UUID    `json:"message_id" format:"uuid"`
	Subject     string       `json:"subject"`
	From        string       `json:"from"`
	DeliveredAt time.Time    `json:"delivered_at"`
	OpenedAt    *time.Time   `json:"opened_at"`
	Body        string       `json:"body" doc:"Plain text; keep its line breaks."`
	Attachments []Attachment `json:"attachments" nullable:"false"`
}

// PortalOperations are the inbox of a portal user.
type PortalOperations struct {
	Inbox    *inboxstore.Inbox
	Receipts *issuer.Issuer
	Await    Await
}

func (g PortalOperations) register(a *API) {
	mine := []policy.Action{policy.ReadInbox}
	handle(a, operation{
		method: http.MethodGet, path: "/v1/portal/messages", id: "list-inbox", tag: forPortal,
		summary: "My messages, newest first. With a filter, a page may have fewer messages than its limit, or none, and a next_cursor.", actions: mine,
	}, g.listInbox)
	handle(a, operation{
		method: http.MethodPost, path: "/v1/portal/messages/{id}/unread", id: "mark-unread", tag: forPortal,
		summary: "Mark a message that I opened as unread, until I open it again. The record of the first opening stays.", actions: mine,
		problems: []int{http.StatusNotFound, http.StatusGone},
	}, func(ctx context.Context, in *MessagePath) (*struct{}, error) {
		return nil, g.Inbox.MarkUnread(ctx, subjectOf(ctx), in.ID)
	})
	handle(a, operation{
		method: http.MethodGet, path: "/v1/portal/patients", id: "list-my-patients", tag: forPortal,
		summary: "The patients on whose account I get messages: myself, and those whom I represent.", actions: mine,
	}, g.patients)
	handle(a, operation{
		method: http.MethodGet, path: "/v1/portal/messages/{id}", id: "open-message", tag: forPortal,
		summary: "Open a message. The operation returns after the opening is recorded.", actions: mine,
		problems: []int{http.StatusNotFound, http.StatusGone, http.StatusInternalServerError},
	}, g.openMessage)
	const document = "/v1/portal/messages/{id}/attachments/{attachment_id}"
	handle(a, operation{
		method: http.MethodGet, path: document, id: "download-attachment", tag: forPortal,
		summary: "Download a document. The download is recorded before the first byte is sent.", actions: mine,
		problems: []int{http.StatusNotFound, http.StatusGone, http.StatusInternalServerError},
	}, func(ctx context.Context, in *messageAttachmentInput) (*huma.StreamResponse, error) {
		document, data, err := g.Inbox.Download(ctx, subjectOf(ctx), in.ID, in.AttachmentID)
		if err != nil {
			return nil, err
		}
		return download(document, data), nil
	})
	a.describeDownload(document)
	handle(a, operation{
		method: http.MethodGet, path: "/v1/portal/messages/{id}/receipt", id: "get-my-receipt", tag: forPortal,
		summary: "The receipt of my delivery, which `postern receipt verify` checks. Issuing it is recorded. The operation waits for the checkpoint that covers it.",
		actions: mine, problems: []int{http.StatusNotFound, http.StatusConflict},
	}, g.receipt)
}

// receipt issues a receipt for a message in the inbox. It does not open the message.
func (g PortalOperations) receipt(ctx context.Context, in *MessagePath) (*plainText, error) {
	subject := subjectOf(ctx)
	list, err := g.Inbox.List(ctx, subject, inbox.Filter{}, inbox.After(in.ID), 1)
	if err != nil {
		return nil, err
	}
	found := list.Messages
	if len(found) == 0 || found[0].ID != in.ID {
		return nil, issuer.ErrNotFound
	}
	r, err := g.Receipts.Issue(ctx, issuer.Request{MessageID: in.ID, PortalUserID: subject.ID, Actor: subject.Actor(), Names: !found[0].Recalled, Alone: true})
	if err != nil {
		return nil, err
	}
	file, err := r.Encode()
	return &plainText{"application/json", file}, err
}

// inboxQuery is the page and the filter of an inbox.
type inboxQuery struct {
	Page
	Unread  bool   `query:"unread" doc:"Only messages that I have not opened, or have marked as unread."`
	Patient int32  `query:"patient" minimum:"0" doc:"Only messages about this patient: a number of GET /v1/portal/patients."`
	Q       string `query:"q" maxLength:"200" doc:"Only messages with these words in the subject, the sender, a patient or the name of a document."`
}

func (g PortalOperations) listInbox(ctx context.Context, in *inboxQuery) (*body[List[InboxMessage]], error) {
	before, err := in.fromID()
	if err != nil {
		return nil, err
	}
	found, err := g.Inbox.List(ctx, subjectOf(ctx), inbox.Filter{Unread: in.Unread, Patient: in.Patient, Words: in.Q}, before, in.Limit)
	if err != nil {
		return nil, err
	}
	list := List[InboxMessage]{Items: make([]InboxMessage, len(found.Messages))}
	for i, m := range found.Messages {
		list.Items[i] = InboxMessage{MessageID: m.ID, Subject: m.Subject, Content: string(m.Condition), From: m.From, DeliveredAt: m.DeliveredAt,
			OpenedAt: m.OpenedAt, Unread: m.Unread(), Attachments: m.Attachments, Recalled: m.Recalled}
	}
	if found.Next != uuid.Nil {
		next := cursorOfID(found.Next)
		list.NextCursor = &next
	}
	return answerWith(list), nil
}

// MyPatient is a patient on whose account a portal user gets messages.
type MyPatient struct {
	No   int32  `json:"no" doc:"The number of the patient, for the filter of the list of messages."`
	Name string `json:"name" doc:"Empty if the directory has none."`
	Own  bool   `json:"own" doc:"I am the patient."`
}

func (g PortalOperations) patients(ctx context.Context, _ *struct{}) (*body[List[MyPatient]], error) {
	found, err := g.Inbox.Patients(ctx, subjectOf(ctx))
	if err != nil {
		return nil, err
	}
	list := List[MyPatient]{Items: make([]MyPatient, len(found))}
	for i, p := range found {
		list.Items[i] = MyPatient(p)
	}
	return answerWith(list), nil
}

func (g PortalOperations) openMessage(ctx context.Context, in *MessagePath) (*body[OpenedMessage], error) {
	m, err := g.Inbox.Open(ctx, subjectOf(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	g.Await(ctx, m.Seq)
	opened := OpenedMessage{MessageID: m.ID, Subject: m.Subject, From: m.From, DeliveredAt: m.DeliveredAt,
		OpenedAt: m.OpenedAt, Body: m.Body, Attachments: make([]Attachment, len(m.Documents))}
	for i, d := range m.Documents {
		opened.Attachments[i] = attachmentOf(d)
	}
	return answerWith(opened), nil
}
