package api

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/content/message"
	"postern/internal/content/reader"
	"postern/internal/messages"
	"postern/internal/messages/notice"
)

// NoticeOperations tell senders that their messages have ended.
type NoticeOperations struct {
	Notices *notice.Notices
	Reader  *reader.Reader
}

// Notice says that a message of the caller has ended.
type Notice struct {
	MessageID uuid.UUID         `json:"message_id" format:"uuid"`
	Subject   string            `json:"subject" doc:"Empty if the content is not kept."`
	SentAt    time.Time         `json:"sent_at"`
	Status    string            `json:"status" enum:"sending,sent,recalled"`
	EndedAt   time.Time         `json:"ended_at"`
	At        time.Time         `json:"at"`
	Seq       uint64            `json:"seq"`
	Read      bool              `json:"read"`
	Progress  messages.Progress `json:"progress" doc:"The figures of now."`
	Failures  []NoticeFailure   `json:"failures" nullable:"false"`
}

// NoticeFailure counts the failed or unknown alerts of a message for one reason.
type NoticeFailure struct {
	State  string `json:"state" enum:"failed,unknown"`
	Reason string `json:"reason"`
	Count  int    `json:"count"`
}

func noticeOf(n notice.Notice, h message.Heading) Notice {
	m := n.Message
	item := Notice{MessageID: m.ID, Subject: h.Subject, SentAt: m.SentAt, Status: string(m.Status), EndedAt: n.EndedAt, At: n.At, Seq: n.Seq, Read: n.Read,
		Progress: m.Progress, Failures: make([]NoticeFailure, len(n.Failures))}
	for i, f := range n.Failures {
		item.Failures[i] = NoticeFailure{string(f.State), f.Reason, f.Count}
	}
	return item
}

type noticesInput struct {
	Page
	Unread bool `query:"unread" doc:"Only notices that I have not read."`
}

// NoticePath names a notice by its message.
type NoticePath struct {
	ID uuid.UUID `path:"id" format:"uuid" doc:"The id of a message that has ended."`
}

type readNoticeInput struct {
	NoticePath
	ReadNoticesInput
}

// ReadNoticesInput is a request that marks notices as read.
type ReadNoticesInput struct {
	Body NoticesRead
}

// NoticesRead says up to where notices were read.
type NoticesRead struct {
	Seq int64 `json:"seq" minimum:"0" doc:"The seq of the newest notice that was read. Later notices, and those that a replay has renewed since, stay unread."`
}

func (g NoticeOperations) register(a *API) {
	tracks := []policy.Action{policy.SeeMessages}
	handle(a, operation{
		method: http.MethodGet, path: "/v1/notices", id: "list-notices", tag: forStaff,
		summary: "My messages that have ended, the latest end first: all to groups, and those to chosen people of whom not all got their alert.",
		actions: tracks,
	}, g.list)
	handle(a, operation{
		method: http.MethodPost, path: "/v1/notices/read", id: "read-notices", tag: forStaff,
		summary: "Mark my notices as read.", actions: tracks,
	}, func(ctx context.Context, in *ReadNoticesInput) (*struct{}, error) {
		return nil, g.Notices.MarkAllRead(ctx, subjectOf(ctx), uint64(in.Body.Seq)) // #nosec G115 -- at least 0
	})
	handle(a, operation{
		method: http.MethodPost, path: "/v1/notices/{id}/read", id: "read-notice", tag: forStaff,
		summary: "Mark the notice about a message as read.", actions: tracks, problems: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *readNoticeInput) (*struct{}, error) {
		return nil, g.Notices.MarkRead(ctx, subjectOf(ctx), in.ID, uint64(in.Body.Seq)) // #nosec G115 -- at least 0
	})
}

func (g NoticeOperations) list(ctx context.Context, in *noticesInput) (*body[List[Notice]], error) {
	before, err := in.fromSequence()
	if err != nil {
		return nil, err
	}
	found, err := g.Notices.List(ctx, subjectOf(ctx), notice.Query{Unread: in.Unread, Before: before, Limit: in.Limit + 1})
	if err != nil {
		return nil, err
	}
	ids := make([]uuid.UUID, len(found))
	for i, n := range found {
		ids[i] = n.Message.ID
	}
	headers, err := g.Reader.Headers(ctx, ids)
	if err != nil {
		return nil, err
	}
	return answerWith(page(found, in.Limit, func(n notice.Notice) Notice { return noticeOf(n, headers[n.Message.ID]) },
		func(n notice.Notice) string { return cursorOfSequence(n.Seq) })), nil
}
