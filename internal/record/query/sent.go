package query

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/directory/audience/matter"
	"postern/internal/directory/block"
	"postern/internal/directory/roster/cited"
	"postern/internal/events"
	"postern/internal/inbox/delivered"
	"postern/internal/messages"
	"postern/internal/recorder/state"
)

// What was sent to one portal user, and what was not, and why.

// Show chooses among the messages that were or might have been sent to a portal user.
type Show string

// The values of [Show].
const (
	ShowAll       Show = "all"
	ShowSent      Show = "sent"       // delivered to the portal user
	ShowNotOpened Show = "not_opened" // delivered, and not opened by the portal user
	ShowNotSent   Show = "not_sent"   // not delivered: see [NotSent]
)

// Shows are the values of [Show].
var Shows = []Show{ShowAll, ShowSent, ShowNotOpened, ShowNotSent}

// SentFilter selects messages that were or might have been sent to a portal user.
type SentFilter struct {
	PortalUserID string
	Show         Show      // "" is [ShowAll]
	From, To     time.Time // when the message was sent: From is inclusive, To is not; zero: any time
	// Viewer is the id of the staff member who looks, for [Sent.Role]; "" for an operator.
	Viewer string
}

// Sent is a message with what the record says about one portal user. Exactly one of Delivery and
// NotSent is set. It has no content: no subject, no text and no name of a document.
type Sent struct {
	MessageID        uuid.UUID
	SenderID, Sender string // Sender is the name
	Status           state.Message
	SentAt           time.Time
	ReleaseAt        time.Time
	CancelledAt      *time.Time
	RecalledAt       *time.Time
	Groups           []string // to which it was sent
	Documents        []events.AttachmentFact
	Role             messages.Role // of the viewer

	Delivery *SentDelivery
	NotSent  *NotSent

	completed bool // all its deliveries are recorded
}

// SentDelivery is a message in the inbox of the portal user.
type SentDelivery struct {
	Seq         uint64    // of the event that made the message readable
	DeliveredAt time.Time // since when it is in the inbox
	// ReadableAt is since when the portal user could read it; nil: not yet. See [messages.ReadableAt].
	ReadableAt  *time.Time
	AlertState  events.AlertState
	AlertReason string
	AlertAt     *time.Time
	Attempts    int // requests to SendGrid for this alert
	OpenedAt    *time.Time
	Downloads   []Download // the oldest first, at most a hundred, the newest
	// Matter is whom the message to the portal user concerns. Its basis is "" if what the directory
	// said then is lost or damaged.
	Matter matter.Matter
}

// Download is one download of a document by the portal user.
type Download struct {
	Seq          uint64
	AttachmentID uuid.UUID
	// Number is the number of the document in its message, from 1 on.
	Number int
	At     time.Time
}

// NotSent says why a message is not in the inbox of the portal user. Why is set for [LeftOut].
type NotSent struct {
	Because NotSentReason
	Why     *delivered.Why
}

// NotSentReason is a reason for which a message is not in the inbox of a portal user.
type NotSentReason string

// The values of [NotSentReason].
const (
	// LeftOut is a message to a group whose audience does not have the portal user.
	LeftOut NotSentReason = "left_out"
	// NotYet is a message that is held until its time, or that is being sent out.
	NotYet NotSentReason = "not_yet"
	// WasCancelled is a message that was cancelled before it was sent out.
	WasCancelled NotSentReason = "cancelled"
	// WasRecalled is a message that was recalled before it was delivered to all recipients.
	WasRecalled NotSentReason = "recalled"
	// NotExplained is [LeftOut] where what the directory said then is lost or damaged.
	NotExplained NotSentReason = "not_explained"
)

// Words returns the reason, as part of a sentence. The clinic's labels are in braces: see
// labels.Fill.
func (n NotSent) Words() string {
	switch n.Because {
	case NotYet:
		return "it has not been sent out yet"
	case WasCancelled:
		return "it was cancelled before it was sent out"
	case WasRecalled:
		return "it was recalled before it was delivered to all recipients"
	case NotExplained:
		return "not known, because what the directory said then is lost or damaged"
	}
	return n.Why.Words()
}

// Reason is the reason as programs read it: that of the audience for a person who was left out.
func (n NotSent) Reason() string {
	if n.Because == LeftOut {
		return string(n.Why.Reason)
	}
	return string(n.Because)
}

// SentTo returns up to limit messages that the filter selects, in the order of their ids, the
// newest first, before a message ([uuid.Max] for the newest), and whether there are more. It fails
// with [ErrNotFound] if there is no such portal user. Before it returns, it records that who read
// them.
//
// A page reads the deliveries to one portal user along an index. With a filter that leaves out
// many of them, as [ShowNotOpened], it may have to read all.
func (r *Reader) SentTo(ctx context.Context, who Actor, f SentFilter, before uuid.UUID, limit int) (found []Sent, more bool, err error) {
	found, no, err := r.sentTo(ctx, f, before, limit+1)
	if err != nil {
		return nil, false, fmt.Errorf("reading what was sent to portal user %s: %w", f.PortalUserID, err)
	}
	if more = len(found) > limit; more {
		found = found[:limit]
	}
	if err := r.explainAll(ctx, f.PortalUserID, found); err != nil {
		return nil, false, fmt.Errorf("reading what was not sent to portal user %s: %w", f.PortalUserID, err)
	}
	if err := r.concernAll(ctx, no, found); err != nil {
		return nil, false, err
	}
	reading := newReading(events.ReadList, Filter{PortalUserID: f.PortalUserID, From: f.From, To: f.To})
	reading.Count = len(found)
	if err := r.recordRead(ctx, who, reading); err != nil {
		return nil, false, err
	}
	return found, more, nil
}

// sentTo also returns the number of the portal user.
func (r *Reader) sentTo(ctx context.Context, f SentFilter, before uuid.UUID, limit int) (found []Sent, no int32, err error) {
	err = pgx.BeginTxFunc(ctx, r.cfg.Pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, oneByOne); err != nil {
			return err
		}
		of, err := Filter{PortalUserID: f.PortalUserID}.people(ctx, tx)
		if err != nil {
			return err
		}
		if len(of.all) == 0 {
			return ErrNotFound
		}
		s := sentSearch{ctx: ctx, tx: tx, filter: f, people: of, to: of.all[0], limit: limit}
		s.oldest, s.before = messages.SentBetween(f.From, f.To)
		if bytes.Compare(before[:], s.before[:]) < 0 {
			s.before = before
		}
		found, err = s.run()
		no = s.to.no
		return err
	})
	return found, no, err
}

// sentSearch looks for messages in one transaction.
type sentSearch struct {
	ctx            context.Context
	tx             pgx.Tx
	filter         SentFilter
	people         people
	to             person
	oldest, before uuid.UUID // ids of the messages: from oldest on, below before
	limit          int
}

// run finds the newest messages of both kinds, up to the limit of each, and keeps the newest.
func (s *sentSearch) run() ([]Sent, error) {
	var found []Sent
	if s.filter.Show != ShowNotSent {
		some, err := s.delivered()
		if err != nil {
			return nil, err
		}
		if found = some; len(found) == s.limit { // messages that are older than the page are not looked for
			s.oldest = found[s.limit-1].MessageID
		}
	}
	if s.filter.Show == ShowNotSent || s.filter.Show == ShowAll || s.filter.Show == "" {
		some, err := s.notDelivered()
		if err != nil {
			return nil, err
		}
		found = append(found, some...)
	}
	slices.SortFunc(found, func(a, b Sent) int { return bytes.Compare(b.MessageID[:], a.MessageID[:]) })
	return found[:min(s.limit, len(found))], nil
}

func (s *sentSearch) delivered() (found []Sent, err error) {
	var batch []delivery
	for before := s.before; ; {
		n := max(s.limit, 100)
		some, last, read, err := s.people.read(s.ctx, s.tx, s.to, s.oldest, before, int32(-1), n)
		if err != nil {
			return nil, err
		}
		batch = append(batch[:0], some...)
		facts, err := s.facts(batch)
		if err != nil {
			return nil, err
		}
		for _, one := range facts {
			if one.Delivery != nil && (s.filter.Show != ShowNotOpened || one.Delivery.OpenedAt == nil) {
				found = append(found, one)
			}
		}
		if read < n || len(found) >= s.limit {
			return found[:min(s.limit, len(found))], nil
		}
		before = last
	}
}

// notDeliveredTo selects messages that are not in the inbox of the portal user $1, who has the id
// $2 and is at place $4 of block $3: those to groups, and those to chosen people with the portal
// user that some of them did not get. $5 and $6 bound their ids. OFFSET 0 keeps Postgres, which may have
// no statistics, from reading the chosen people of all messages.
const notDeliveredTo = `
	SELECT message_id FROM (
	    (SELECT m.message_id FROM record.messages m
	     WHERE m.bulk AND m.message_id >= $5 AND m.message_id < $6` + notInInbox + ` ORDER BY m.message_id DESC LIMIT $7)
	    UNION
	    (SELECT m.message_id FROM (SELECT message_id FROM record.messages WHERE status <> 'sent' AND recipients -> 'portal_user_ids' ? $2 OFFSET 0) m
	     WHERE m.message_id >= $5 AND m.message_id < $6` + notInInbox + `)) found
	WHERE $1::integer > 0
	ORDER BY message_id DESC LIMIT $7`

const notInInbox = ` AND NOT EXISTS (SELECT FROM record.inbox i WHERE i.message_id = m.message_id AND i.block = $3 AND record.has_member(i.members, $4))`

func (s *sentSearch) notDelivered() (found []Sent, err error) {
	of, place := block.Of(s.to.no)
	for before := s.before; ; {
		rows, err := s.tx.Query(s.ctx, notDeliveredTo, s.to.no, s.to.id, int32(of), place, s.oldest, before, s.limit)
		if err != nil {
			return nil, err
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		if err != nil {
			return nil, err
		}
		batch := make([]delivery, len(ids))
		for i, id := range ids {
			batch[i] = delivery{id, noChunk, s.to}
		}
		facts, err := s.facts(batch)
		if err != nil {
			return nil, err
		}
		if found = append(found, facts...); len(ids) < s.limit || len(found) >= s.limit {
			return found[:min(s.limit, len(found))], nil
		}
		before = ids[len(ids)-1]
	}
}

// noChunk stands for the chunk of a message that was not delivered.
const noChunk = -1

// selectSent reads messages $1, each with the chunk $2 that delivered it to the portal user $3,
// and leaves out those that were not sent in the period from $4 to $5. $6 is the viewer.
const selectSent = `
	SELECT d.chunk, m.message_id, m.sender_id, coalesce((SELECT s.name FROM record.staff s WHERE s.staff_id = m.sender_id), m.sender_id),
	       m.status, m.sent_at, m.release_at, m.cancelled_at, m.recalled_at, m.completed_at IS NOT NULL, m.recipients -> 'groups', m.attachments,
	       CASE WHEN m.sender_id = $6 THEN 'sender'
	            WHEN EXISTS (SELECT FROM record.message_bcc b WHERE b.staff_id = $6 AND b.message_id = m.message_id) THEN 'bcc'
	            ELSE 'none' END,
	       coalesce(c.seq, 0), c.delivered_at, coalesce(x.state, c.alert_state, ''), coalesce(x.reason, c.alert_reason, ''),
	       coalesce(x.attempt, c.alert_attempt, 0), coalesce(x.at, c.alert_at),
	       (SELECT o.opened_at FROM record.opens o WHERE o.message_id = d.message_id AND o.portal_user_no = $3 AND d.chunk >= 0), app.signs_in_since($7)
	FROM unnest($1::uuid[], $2::integer[]) WITH ORDINALITY AS d (message_id, chunk, place)
	JOIN record.messages m ON m.message_id = d.message_id
	LEFT JOIN record.chunks c ON c.message_id = d.message_id AND c.chunk = d.chunk
	LEFT JOIN record.alert_exceptions x ON x.message_id = d.message_id AND x.portal_user_no = $3 AND d.chunk >= 0
	WHERE ($4::timestamptz IS NULL OR m.sent_at >= $4) AND ($5::timestamptz IS NULL OR m.sent_at < $5)
	ORDER BY d.place`

// facts reads what the record says about messages.
func (s *sentSearch) facts(batch []delivery) ([]Sent, error) {
	ids, chunks := make([]uuid.UUID, len(batch)), make([]int32, len(batch))
	for i, d := range batch {
		ids[i], chunks[i] = d.message, d.chunk
	}
	rows, err := s.tx.Query(s.ctx, selectSent, ids, chunks, s.to.no, optional(s.filter.From), optional(s.filter.To), s.filter.Viewer, s.to.id)
	if err != nil {
		return nil, err
	}
	found, err := pgx.CollectRows(rows, scanSent)
	if err != nil {
		return nil, err
	}
	return found, s.downloads(found)
}

// optional returns nil for the zero time.
func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func scanSent(row pgx.CollectableRow) (m Sent, err error) {
	var d SentDelivery
	var chunk int32
	var seq int64
	var at, since *time.Time
	err = row.Scan(&chunk, &m.MessageID, &m.SenderID, &m.Sender, &m.Status, &m.SentAt, &m.ReleaseAt, &m.CancelledAt, &m.RecalledAt, &m.completed,
		&m.Groups, &m.Documents, &m.Role, &seq, &at, &d.AlertState, &d.AlertReason, &d.Attempts, &d.AlertAt, &d.OpenedAt, &since)
	if err != nil {
		return m, err
	}
	m.SentAt, m.ReleaseAt, m.CancelledAt, m.RecalledAt = m.SentAt.UTC(), m.ReleaseAt.UTC(), inUTC(m.CancelledAt), inUTC(m.RecalledAt)
	if chunk == noChunk || at == nil {
		m.NotSent = &NotSent{}
		return m, nil
	}
	d.Seq, d.DeliveredAt, d.AlertAt, d.OpenedAt = uint64(seq), at.UTC(), inUTC(d.AlertAt), inUTC(d.OpenedAt) // #nosec G115 -- a sequence
	d.ReadableAt = messages.ReadableAt(d.DeliveredAt, d.AlertState, d.AlertReason, since, d.OpenedAt)
	d.Attempts = messages.Requests(d.AlertState, d.Attempts)
	m.Delivery = &d
	return m, nil
}

func inUTC(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

// selectDownloads reads the newest downloads by the portal user $2 of the documents of each message.
const selectDownloads = `
	SELECT x.seq, x.message_id, x.attachment_id, x.downloaded_at FROM unnest($1::uuid[]) AS m (message_id) CROSS JOIN LATERAL (
	    SELECT d.* FROM record.downloads d WHERE d.message_id = m.message_id AND d.portal_user_no = $2 ORDER BY d.seq DESC LIMIT 100) x
	ORDER BY x.seq`

func (s *sentSearch) downloads(found []Sent) error {
	of := map[uuid.UUID]*Sent{}
	var ids []uuid.UUID
	for i := range found {
		if one := &found[i]; one.Delivery != nil && len(one.Documents) > 0 {
			of[one.MessageID], ids = one, append(ids, one.MessageID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	rows, err := s.tx.Query(s.ctx, selectDownloads, ids, s.to.no)
	if err != nil {
		return err
	}
	var d Download
	var seq int64
	var message uuid.UUID
	_, err = pgx.ForEachRow(rows, []any{&seq, &message, &d.AttachmentID, &d.At}, func() error {
		one := of[message]
		d.Seq, d.At = uint64(seq), d.At.UTC() // #nosec G115 -- a sequence
		d.Number = 1 + slices.IndexFunc(one.Documents, func(f events.AttachmentFact) bool { return f.AttachmentID == d.AttachmentID })
		one.Delivery.Downloads = append(one.Delivery.Downloads, d)
		return nil
	})
	return err
}

// explainAll says of each message that was not delivered why not.
func (r *Reader) explainAll(ctx context.Context, portalUser string, found []Sent) error {
	for i := range found {
		one := &found[i]
		if one.NotSent == nil {
			continue
		}
		switch {
		case one.Status == state.Cancelled:
			one.NotSent.Because = WasCancelled
		case one.completed:
			w, err := delivered.Explain(ctx, r.cfg.Pool, one.MessageID, portalUser)
			if errors.Is(err, cited.ErrDamaged) {
				one.NotSent.Because = NotExplained
				continue
			}
			if err != nil {
				return err
			}
			one.NotSent.Because, one.NotSent.Why = LeftOut, &w
		case one.Status == state.Recalled:
			one.NotSent.Because = WasRecalled
		default:
			one.NotSent.Because = NotYet
		}
	}
	return nil
}

// concernAll says of each message that was delivered to the portal user with a number whom it concerns.
func (r *Reader) concernAll(ctx context.Context, no int32, found []Sent) error {
	for _, one := range found {
		if one.Delivery == nil {
			continue
		}
		of, err := delivered.Matters(ctx, r.cfg.Pool, one.MessageID, []int32{no})
		if errors.Is(err, cited.ErrDamaged) {
			continue
		}
		if err != nil {
			return err
		}
		one.Delivery.Matter = of[no]
	}
	return nil
}

// ReadableLater reports whether the portal user could not read the message when it was delivered.
func (d SentDelivery) ReadableLater() bool {
	return d.ReadableAt == nil || d.ReadableAt.After(d.DeliveredAt)
}

// AlertWords says in words how the e-mail about the message stands, with the reason.
func (d SentDelivery) AlertWords() string {
	words := map[events.AlertState]string{
		events.AlertPending: "Not sent yet", events.AlertAccepted: "Accepted by the e-mail service", events.AlertFailed: "Failed",
		events.AlertSkipped: "Not sent", events.AlertUnknown: "Not known whether it was sent"}[d.AlertState]
	if d.AlertReason != "" {
		words += ": " + d.AlertReason
	}
	return words
}
