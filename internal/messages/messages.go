// Package messages reads the status of sent messages: lists of messages, their progress,
// and the state of each delivery.
//
// It reads only the recorder's tables. The exception is a message that was just published
// and is not projected yet, which it reads from its claim. [MaySee], and
// [Reader.Visible], which uses it, are the only functions that check permissions to see a message.
//
// Each page of a list starts where the last one ended and is read along an index. Deliveries
// are read block by block, without the blocks in which none can match: a page of a million
// deliveries costs about as much as a page of a hundred.
//
// A Reader is safe for concurrent use.
//
// # Size
//
// Pages, files, totals and worklists of recipients are one package, because all of them are the
// same walk over the blocks of a message.
package messages

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/access/policy"
	"postern/internal/events"
	"postern/internal/problem"
	"postern/internal/recorder/state"
)

// ErrNotFound is the error if the message does not exist, or the viewer may not see it.
var ErrNotFound = problem.NotFound.New("there is no such message")

// ErrNoPortalUser is the error if the directory has no such portal user.
var ErrNoPortalUser = problem.NotFound.New("there is no such portal user")

// Reader reads the status of messages.
type Reader struct{ pool *pgxpool.Pool }

// New makes a Reader.
func New(pool *pgxpool.Pool) *Reader { return &Reader{pool} }

// Message is a message without its content.
type Message struct {
	ID       uuid.UUID
	SenderID string
	Sender   string // name
	Status   state.Message
	// Hold is the reason for which the message is or was held until ReleaseAt.
	Hold        events.Hold
	SentAt      time.Time
	ReleaseAt   time.Time
	ReleasedAt  *time.Time // nil: it was not held, or is not released yet
	CancelledAt *time.Time
	CompletedAt *time.Time // when the last delivery was made
	// PortalUserIDs are the recipients chosen one by one, in a list only the first ten;
	// PortalUsers is their number.
	PortalUserIDs []string
	PortalUsers   int
	Groups        []string
	// About has the patients whom the message to each of PortalUserIDs concerns, where it states that.
	About        map[string][]string
	RecalledAt   *time.Time
	RecallReason *string
	Progress     Progress
	Role         Role
}

// Role is the viewer's relation to a message.
type Role string

// The roles.
const (
	RoleSender Role = "sender"
	RoleBcc    Role = "bcc"
	RoleNone   Role = "none"
)

// Progress counts deliveries.
type Progress struct {
	Recipients   int `json:"recipients" doc:"how many portal users the message goes to; 0 until the audience is frozen"`
	Delivered    int `json:"delivered" doc:"deliveries that can be read"`
	Alerted      int `json:"alerted" doc:"alerts that SendGrid accepted"`
	AlertFailed  int `json:"alert_failed"`
	AlertSkipped int `json:"alert_skipped"`
	AlertUnknown int `json:"alert_unknown"`
	Opened       int `json:"opened"`
}

// planned makes Postgres plan each query for its arguments. After five executions of a
// prepared query, Postgres may use one plan for all arguments. That plan would expect two
// deliveries of a message that has a million, or expect a fifth of all messages to be
// scheduled, and then read a whole table for a page.
const planned = pgx.QueryExecModeCacheDescribe

// $1 is the viewer. Lists have only the first ten ids of recipients chosen one by one.
const (
	columns = `
	SELECT m.message_id, m.sender_id, coalesce(s.name, m.sender_id), m.status, m.hold, m.sent_at, m.release_at,
	       m.released_at, m.cancelled_at, m.completed_at,
	       %[1]s, jsonb_array_length(m.recipients -> 'portal_user_ids'), m.recipients -> 'groups', %[2]s,
	       m.recalled_at, m.recall_reason,
	       coalesce(m.audience, 0), m.delivered, m.alert_accepted, m.alert_failed, m.alert_skipped, m.alert_unknown, m.opened,
	       CASE WHEN m.sender_id = $1 THEN 'sender'
	            WHEN EXISTS (SELECT FROM record.message_bcc b WHERE b.staff_id = $1 AND b.message_id = m.message_id) THEN 'bcc'
	            ELSE 'none' END
	FROM record.messages m
	LEFT JOIN record.staff s ON s.staff_id = m.sender_id`
	allIDs   = `m.recipients -> 'portal_user_ids'`
	firstIDs = `jsonb_path_query_array(m.recipients, '$.portal_user_ids[0 to 9]')`

	allAbout   = `m.recipients -> 'about'`
	firstAbout = `(SELECT jsonb_object_agg(u, m.recipients -> 'about' -> u) FROM jsonb_array_elements_text(` + firstIDs + `) u WHERE m.recipients -> 'about' ? u)`
)

var (
	selectOne  = fmt.Sprintf(columns, allIDs, allAbout)
	selectList = fmt.Sprintf(columns, firstIDs, firstAbout)
)

func scanMessage(row pgx.CollectableRow) (m Message, err error) {
	p := &m.Progress
	err = row.Scan(&m.ID, &m.SenderID, &m.Sender, &m.Status, &m.Hold, &m.SentAt, &m.ReleaseAt,
		&m.ReleasedAt, &m.CancelledAt, &m.CompletedAt,
		&m.PortalUserIDs, &m.PortalUsers, &m.Groups, &m.About, &m.RecalledAt, &m.RecallReason,
		&p.Recipients, &p.Delivered, &p.Alerted, &p.AlertFailed, &p.AlertSkipped, &p.AlertUnknown, &p.Opened, &m.Role)
	m.SentAt, m.ReleaseAt, m.ReleasedAt = m.SentAt.UTC(), m.ReleaseAt.UTC(), utc(m.ReleasedAt)
	m.CancelledAt, m.CompletedAt, m.RecalledAt = utc(m.CancelledAt), utc(m.CompletedAt), utc(m.RecalledAt)
	return m, err
}

// Message returns one message, or [ErrNotFound].
func (rd *Reader) Message(ctx context.Context, viewer string, id uuid.UUID) (Message, error) {
	rows, err := rd.pool.Query(ctx, selectOne+` WHERE m.message_id = $2`, viewer, id)
	if err != nil {
		return Message{}, fmt.Errorf("reading message %s: %w", id, err)
	}
	m, err := pgx.CollectExactlyOneRow(rows, scanMessage)
	if errors.Is(err, pgx.ErrNoRows) {
		return rd.published(ctx, viewer, id)
	}
	if err != nil {
		return Message{}, fmt.Errorf("reading message %s: %w", id, err)
	}
	return m, nil
}

// Visible returns a message that the subject may see: as its sender, as Staff Bcc or as a
// reader of the record. Others get [ErrNotFound].
func (rd *Reader) Visible(ctx context.Context, subject policy.Subject, id uuid.UUID) (Message, error) {
	m, err := rd.Message(ctx, subject.ID, id)
	if err != nil {
		return Message{}, err
	}
	if !MaySee(subject, m.Role) {
		return Message{}, ErrNotFound
	}
	return m, nil
}

// MaySee reports whether the subject may see a message to which they have a role.
func MaySee(subject policy.Subject, role Role) bool {
	needs := map[Role]policy.Action{RoleSender: policy.SeeMessages, RoleBcc: policy.SeeBcc, RoleNone: policy.ReadTheRecord}
	return policy.Allow(subject, needs[role]) == nil || policy.Allow(subject, policy.ReadTheRecord) == nil
}

// published returns a message that is recorded, but not projected yet.
func (rd *Reader) published(ctx context.Context, viewer string, id uuid.UUID) (Message, error) {
	m := Message{ID: id, PortalUserIDs: []string{}, Groups: []string{}, Role: RoleNone}
	err := rd.pool.QueryRow(ctx, `
		SELECT c.staff_id, coalesce(s.name, c.staff_id), c.sent_at, c.release_at,
		       CASE WHEN c.release_at > c.sent_at THEN 'scheduled' ELSE 'sending' END,
		       CASE WHEN c.release_at > c.sent_at + interval '10 minutes' THEN 'scheduled'
		            WHEN c.release_at > c.sent_at THEN 'undo' ELSE 'none' END
		FROM app.sends c LEFT JOIN record.staff s USING (staff_id)
		WHERE c.message_id = $1 AND c.status = 'published'`, id).
		Scan(&m.SenderID, &m.Sender, &m.SentAt, &m.ReleaseAt, &m.Status, &m.Hold)
	if errors.Is(err, pgx.ErrNoRows) {
		return Message{}, ErrNotFound
	}
	if err != nil {
		return Message{}, fmt.Errorf("reading the claim of message %s: %w", id, err)
	}
	m.SentAt, m.ReleaseAt = m.SentAt.UTC(), m.ReleaseAt.UTC()
	if m.SenderID == viewer {
		m.Role = RoleSender
	}
	return m, nil
}
