// Package emergency lets a person with the permission emergency_access read the content of one
// message, or the disclosures of one patient, for an hour, with a typed reason ("break glass").
//
// # Record first
//
// The opening is an event before anything can be read, and so is each look: at content, at a
// document, at a page of disclosures ([Emergencies.Content] and its neighbours). A crash after
// an event leaves a reading on the record that no one has seen.
//
// An opening belongs to the person, not to their session. It ends after [Lifetime], when they or
// a reviewer end it, and with their permission or account. The projected state counts: what is
// read after that is refused, whichever process published the event.
//
// # Review
//
// Every opening stays on the worklist of reviewers, who may read the record, until one of them
// has reviewed it, with a note. The person who opened it can't; package twopeople says who else
// can't.
//
// Emergencies are safe for concurrent use.
package emergency

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/access/policy"
	"postern/internal/access/twopeople"
	"postern/internal/compose"
	"postern/internal/content/message"
	"postern/internal/content/reader"
	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/problem"
	"postern/internal/record/query"
	"postern/internal/store"
)

// Lifetime is how long an opening can be used.
const Lifetime = time.Hour

var (
	// ErrNotFound is the error if the opening does not exist, or belongs to another person.
	ErrNotFound = problem.NotFound.New("there is no such emergency access")
	// ErrNoPatient is the error if the patient does not exist.
	ErrNoPatient = problem.NotFound.New("there is no such patient")
	// ErrOver is the error if nothing can be read by the opening any more.
	ErrOver = problem.EmergencyOver.New("this emergency access has ended: if you still need it, open it again with a reason")
	// ErrOpen is the error if an opening is reviewed while it can be used.
	ErrOpen = problem.EmergencyOpen.New("this emergency access can still be used: end it first, or review it after its time")
	// ErrReviewed is the error if another reviewer was first.
	ErrReviewed = problem.EmergencyReviewed.New("this emergency access was reviewed before")
	// ErrOther is the error if a patient's opening is used for a message, or the other way round.
	ErrOther = problem.NotFound.New("this emergency access is for something else")
)

// Config has the dependencies of [Emergencies].
type Config struct {
	// Pool connects as postern_api or as the login user.
	Pool *pgxpool.Pool
	// Facts publishes events, and waits until they can be read.
	Facts facts.Publisher
	// Reader opens content, and Record reads disclosures. Listing needs neither.
	Reader *reader.Reader
	Record *query.Reader
	// TwoPeople says who can't review.
	TwoPeople twopeople.Rule
}

// Emergencies open, use and review emergency access.
type Emergencies struct{ cfg Config }

// New makes Emergencies. It does no I/O.
func New(cfg Config) *Emergencies { return &Emergencies{cfg} }

// State is the state of an opening.
type State string

// The states. An opening whose time has passed has ended: the table has it as open.
const (
	Open     State = "open"
	Ended    State = "ended"
	Reviewed State = "reviewed"
)

// An Opening is emergency access of one person to one thing.
type Opening struct {
	ID         uuid.UUID
	Seq        uint64 // of the event that opened it
	State      State
	StaffID    string
	MessageID  *uuid.UUID // nil: the disclosures of a patient
	PatientID  *string
	Reason     string
	OpenedAt   time.Time
	Until      time.Time
	EndedBy    *string // an actor; nil: it has not ended, or its time ended it
	EndedAt    *time.Time
	ReviewedBy *string
	ReviewedAt *time.Time
	Note       *string
	Reads      int // how often something was shown
}

// Actor is the person who opened it, as events name them.
func (o Opening) Actor() string { return string(policy.RealmStaff) + ":" + o.StaffID }

// A Reading is something that was shown by an opening.
type Reading struct {
	Seq          uint64
	What         events.EmergencyWhat
	AttachmentID *uuid.UUID
	At           time.Time
}

// Of is what an opening is for: one message or one patient.
type Of struct {
	MessageID uuid.UUID // Nil: a patient
	PatientID string
}

// Open opens emergency access for who, and returns once it can be used. Nothing is read yet. It
// fails with a [policy.Forbidden], a [compose.Invalid] for the reason, [message.ErrNotFound] or
// [ErrNoPatient].
func (e *Emergencies) Open(ctx context.Context, who policy.Subject, of Of, reason string) (Opening, error) {
	if err := policy.Allow(who, policy.OpenEmergency); err != nil {
		return Opening{}, err
	}
	if err := compose.CheckReason(reason); err != nil {
		return Opening{}, err
	}
	if err := e.exists(ctx, of); err != nil {
		return Opening{}, err
	}
	now := e.cfg.Facts.Time()
	fact := events.EmergencyOpened{Opening: uuid.New(), PatientID: of.PatientID, Reason: reason, Until: now.Add(Lifetime)}
	if of.MessageID != uuid.Nil {
		fact.MessageID = &of.MessageID
	}
	if _, err := e.publish(ctx, who.Actor(), now, fact); err != nil {
		return Opening{}, err
	}
	return e.Find(ctx, fact.Opening)
}

func (e *Emergencies) exists(ctx context.Context, of Of) error {
	sql, id, none := `SELECT EXISTS (SELECT FROM record.messages WHERE message_id = $1)`, any(of.MessageID), error(message.ErrNotFound)
	if of.MessageID == uuid.Nil {
		sql, id, none = `SELECT EXISTS (SELECT FROM app.patients WHERE patient_id = $1)`, any(of.PatientID), error(ErrNoPatient)
	}
	var there bool
	err := e.cfg.Pool.QueryRow(ctx, sql, id).Scan(&there)
	switch {
	case store.Code(err) == store.CharacterNotInRepertoire:
		return none
	case err != nil:
		return fmt.Errorf("looking for what is to be opened: %w", err)
	case !there:
		return none
	}
	return nil
}

// Content returns the header and the body of the message of an opening. It records that who reads
// them first. It fails like [reader.Reader.Open], or with [ErrNotFound], [ErrOther] or [ErrOver].
func (e *Emergencies) Content(ctx context.Context, who policy.Subject, id uuid.UUID) (message.Header, string, error) {
	o, err := e.use(ctx, who, id, events.EmergencyRead{What: events.ReadContent}, true)
	if err != nil {
		return message.Header{}, "", err
	}
	return e.cfg.Reader.Open(ctx, *o.MessageID)
}

// Document is [Emergencies.Content] for one document of the message.
func (e *Emergencies) Document(ctx context.Context, who policy.Subject, id, attachment uuid.UUID) (message.Attachment, []byte, error) {
	o, err := e.use(ctx, who, id, events.EmergencyRead{What: events.ReadDocument, AttachmentID: &attachment}, true)
	if err != nil {
		return message.Attachment{}, nil, err
	}
	return e.cfg.Reader.OpenAttachment(ctx, *o.MessageID, attachment)
}

// Disclosures returns a page of the disclosures of the patient of an opening: see
// [query.Reader.Disclosures], which records it as a reading of the record besides.
func (e *Emergencies) Disclosures(ctx context.Context, who policy.Subject, id uuid.UUID, before query.DisclosureCursor, limit int) ([]query.Disclosure, bool, error) {
	o, err := e.use(ctx, who, id, events.EmergencyRead{What: events.ReadDisclosures}, false)
	if err != nil {
		return nil, false, err
	}
	return e.cfg.Record.Disclosures(ctx, query.Actor(who.Actor()), query.Filter{PatientID: *o.PatientID}, before, limit)
}

// use records a reading, and returns the opening if the record has it as one that was permitted.
func (e *Emergencies) use(ctx context.Context, who policy.Subject, id uuid.UUID, fact events.EmergencyRead, ofMessage bool) (Opening, error) {
	if err := policy.Allow(who, policy.OpenEmergency); err != nil {
		return Opening{}, err
	}
	o, err := e.Find(ctx, id)
	switch {
	case err != nil:
		return o, err
	case o.Actor() != who.Actor():
		return o, ErrNotFound
	case (o.MessageID != nil) != ofMessage:
		return o, ErrOther
	case o.State != Open:
		return o, ErrOver
	}
	fact.Reading, fact.Opening, fact.MessageID = uuid.New(), o.ID, o.MessageID
	if o.PatientID != nil {
		fact.PatientID = *o.PatientID
	}
	seq, err := e.publish(ctx, who.Actor(), e.cfg.Facts.Now(), fact)
	if err != nil {
		return o, err
	}
	// The opening may have ended on the record before the reading.
	var there bool
	err = e.cfg.Pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM record.emergency_reads WHERE seq = $1 AND opening_id = $2)`, int64(seq), o.ID).Scan(&there) // #nosec G115 -- a sequence
	if err != nil {
		return o, fmt.Errorf("reading what was read: %w", err)
	}
	if !there {
		return o, ErrOver
	}
	return o, nil
}

// End ends an opening before its time: that of who, or of another person if who reviews. Ending
// one that has ended does nothing.
func (e *Emergencies) End(ctx context.Context, who policy.Subject, id uuid.UUID) (Opening, error) {
	o, err := e.Visible(ctx, who, id)
	if err != nil || o.State != Open {
		return o, err
	}
	if err := e.record(ctx, who.Actor(), events.EmergencyEnded{Opening: id}); err != nil {
		return o, err
	}
	return e.Find(ctx, id)
}

// Review records that who has looked at an opening, with a note. It fails with [ErrOpen],
// [ErrReviewed], a [compose.Invalid] for the note, or a [twopeople.NotTwo] for the person who
// opened it and an account that counts as theirs.
func (e *Emergencies) Review(ctx context.Context, who policy.Subject, id uuid.UUID, note string) (Opening, error) {
	if err := policy.Allow(who, policy.ReviewEmergency); err != nil {
		return Opening{}, err
	}
	if err := compose.CheckReason(note); err != nil {
		return Opening{}, err
	}
	err := store.Alone(ctx, e.cfg.Pool, store.LeasePermissions, func(conn *pgxpool.Conn, held func(context.Context) error) error {
		o, err := e.Find(ctx, id)
		switch {
		case err != nil:
			return err
		case o.State == Open:
			return ErrOpen
		case o.State == Reviewed:
			return ErrReviewed
		}
		act := twopeople.Act{Permission: policy.ReadRecord, First: o.Actor(), Second: who.Actor(), Done: true}
		if err := e.cfg.TwoPeople.Check(ctx, conn, e.cfg.Facts.Now(), act); err != nil {
			return err
		}
		if err := held(ctx); err != nil {
			return err
		}
		return e.record(ctx, who.Actor(), events.EmergencyReviewed{Opening: id, ReviewedBy: who.Actor(), Note: note})
	})
	if err != nil {
		return Opening{}, err
	}
	o, err := e.Find(ctx, id)
	if err == nil && (o.State != Reviewed || *o.ReviewedBy != who.Actor()) {
		err = ErrReviewed
	}
	return o, err
}

// record publishes an event, and waits until it is projected.
func (e *Emergencies) record(ctx context.Context, actor string, fact events.Body) error {
	_, err := e.publish(ctx, actor, e.cfg.Facts.Now(), fact)
	return err
}

func (e *Emergencies) publish(ctx context.Context, actor string, at time.Time, fact events.Body) (uint64, error) {
	seq, err := e.cfg.Facts.Record(ctx, actor, at, fact)
	if err != nil {
		return 0, err
	}
	return seq, e.cfg.Facts.WaitToRead(ctx, seq)
}

// selectOpenings reads openings. $1 is the present.
const selectOpenings = `SELECT opening_id, seq, CASE WHEN state = 'open' AND until <= $1 THEN 'ended' ELSE state END, staff_id, message_id, patient_id, reason, opened_at, until,
	ended_by, ended_at, reviewed_by, reviewed_at, note, (SELECT count(*) FROM record.emergency_reads r WHERE r.opening_id = e.opening_id)
	FROM record.emergencies e `

func (e *Emergencies) openings(ctx context.Context, where string, args ...any) ([]Opening, error) {
	rows, err := e.cfg.Pool.Query(ctx, selectOpenings+where, append([]any{e.cfg.Facts.Now()}, args...)...)
	if err == nil {
		var found []Opening
		if found, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Opening]); err == nil {
			return found, nil
		}
	}
	return nil, fmt.Errorf("reading emergency access: %w", err)
}

// Find returns one opening, or [ErrNotFound].
func (e *Emergencies) Find(ctx context.Context, id uuid.UUID) (Opening, error) {
	found, err := e.openings(ctx, `WHERE opening_id = $2`, id)
	if err == nil && len(found) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Opening{}, err
	}
	return found[0], nil
}

// Visible is [Emergencies.Find] for a person: reviewers see all openings, others their own.
func (e *Emergencies) Visible(ctx context.Context, who policy.Subject, id uuid.UUID) (Opening, error) {
	o, err := e.Find(ctx, id)
	if err == nil && o.Actor() != who.Actor() && !Reviews(who) {
		err = ErrNotFound
	}
	if err != nil {
		return Opening{}, err
	}
	return o, nil
}

// Reviews reports whether a person sees the openings of others. A token of theirs may list them.
func Reviews(who policy.Subject) bool {
	err := policy.Allow(who, policy.ReviewEmergency)
	return err == nil || errors.Is(err, policy.ErrSessionNeeded) && policy.Allow(who, policy.ReadTheRecord) == nil
}

// Unreviewed returns the openings that no one has reviewed yet, those that can still be used
// first, then the oldest.
func (e *Emergencies) Unreviewed(ctx context.Context) ([]Opening, error) {
	return e.openings(ctx, `WHERE state <> 'reviewed' ORDER BY state = 'open' AND until > $1 DESC, seq`)
}

// List returns up to limit openings, of one person or, for "", of all, that were made before the
// event with the sequence before, the newest first; 0 means from the newest.
func (e *Emergencies) List(ctx context.Context, staffID string, before uint64, limit int) ([]Opening, error) {
	return e.openings(ctx, `WHERE ($2::bigint = 0 OR seq < $2) AND ($3::text = '' OR staff_id = $3) ORDER BY seq DESC LIMIT $4`, int64(before), staffID, limit) // #nosec G115 -- a sequence
}

// Readings returns what was shown by an opening, in order.
func (e *Emergencies) Readings(ctx context.Context, id uuid.UUID) ([]Reading, error) {
	rows, err := e.cfg.Pool.Query(ctx, `SELECT seq, what, attachment_id, read_at FROM record.emergency_reads WHERE opening_id = $1 ORDER BY seq`, id)
	if err == nil {
		var found []Reading
		if found, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Reading]); err == nil {
			return found, nil
		}
	}
	return nil, fmt.Errorf("reading what was shown: %w", err)
}
