package query

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/events"
	"postern/internal/problem"
	"postern/internal/proof/merkle"
)

// An Accounting has what the accounting of one patient's disclosures is made of: everything
// by which information about the patient went to a person, in a period.
type Accounting struct {
	Deliveries  []Disclosure
	Disclosed   []Recorded[events.DeliveryDisclosed]
	Exported    []Recorded[events.RecordExported]
	Emergencies []EmergencyUse
}

// Recorded is the body of an event, with its place, time and actor.
type Recorded[T any] struct {
	Seq   uint64
	Time  time.Time
	Actor string
	Body  T
}

// An EmergencyUse is something that a staff member read by emergency access.
type EmergencyUse struct {
	Seq       uint64
	Time      time.Time
	StaffID   string
	What      events.EmergencyWhat
	MessageID *uuid.UUID // nil: the disclosures of the patient
	Reason    string
}

// mostAccounted is how many messages about one patient an accounting can have.
const mostAccounted = 20_000

// ErrTooMany is the error if there are more messages about a patient than an accounting can have.
var ErrTooMany = problem.InvalidRequest.New("there are too many messages about this patient for one accounting: export the patient's events")

// Accounting returns the disclosures of a patient from one time up to, and without, another.
// Before it returns, it records that who read them.
func (r *Reader) Accounting(ctx context.Context, who Actor, patient string, from, to time.Time) (a Accounting, err error) {
	f := Filter{PatientID: patient, From: from, To: to}
	got, err := f.deliveries(ctx, r.cfg.Pool, DisclosureCursor{MessageID: uuid.Max}, mostAccounted+1)
	if err != nil {
		return a, fmt.Errorf("accounting for disclosures: %w", err)
	}
	if len(got) > mostAccounted {
		return a, ErrTooMany
	}
	about := concerns{patient: patient, messages: map[uuid.UUID]bool{}, people: map[string]bool{}}
	for _, d := range got {
		about.messages[d.message], about.people[d.to.id] = true, true
	}
	if a.Deliveries, err = r.readDeliveries(ctx, got); err == nil {
		a.Deliveries = slices.DeleteFunc(a.Deliveries, func(d Disclosure) bool { return d.DeliveredAt.Before(from) || !d.DeliveredAt.Before(to) })
		err = r.readAuthority(ctx, patient, a.Deliveries)
	}
	if err == nil {
		a.Disclosed, err = recorded(ctx, r, events.TypeDeliveryDisclosed, from, to, about.disclosed)
	}
	if err == nil {
		a.Exported, err = recorded(ctx, r, events.TypeRecordExported, from, to, about.exported)
	}
	if err == nil {
		a.Emergencies, err = r.emergencies(ctx, about, from, to)
	}
	if err != nil {
		return Accounting{}, fmt.Errorf("accounting for disclosures: %w", err)
	}
	reading := newReading(events.ReadList, f)
	reading.Count = len(a.Deliveries) + len(a.Disclosed) + len(a.Exported) + len(a.Emergencies)
	if err := r.recordRead(ctx, who, reading); err != nil {
		return Accounting{}, err
	}
	return a, nil
}

// concerns says what information is about a patient: the messages that were delivered on their
// account, and the portal users who got them.
type concerns struct {
	patient  string
	messages map[uuid.UUID]bool
	people   map[string]bool
}

func (c concerns) disclosed(b events.DeliveryDisclosed) bool {
	return slices.Contains(b.PatientIDs, c.patient)
}

// exported reports whether the filter of an export names the patient, one of their messages or one
// of their recipients.
func (c concerns) exported(b events.RecordExported) bool {
	return b.Filter.PatientID == c.patient || b.Filter.MessageID != nil && c.messages[*b.Filter.MessageID] ||
		b.Filter.PatientID == "" && c.people[b.Filter.PortalUserID]
}

// recorded reads the events of a type in a period, and returns those whose body is about the
// patient.
func recorded[T any, P interface {
	*T
	events.Body
}](ctx context.Context, r *Reader, kind events.Type, from, to time.Time, about func(T) bool) (found []Recorded[T], err error) {
	rows, err := r.cfg.Pool.Query(ctx, `SELECT seq, stored FROM record.events
		WHERE type = $1 AND time >= $2 AND time < $3 AND repeats IS NULL AND projected ORDER BY seq`, string(kind), from, to)
	if err != nil {
		return nil, err
	}
	var seq int64
	var stored []byte
	_, err = pgx.ForEachRow(rows, []any{&seq, &stored}, func() error {
		s, err := merkle.Unpack(uint64(seq), stored) // #nosec G115 -- a sequence
		if err != nil {
			return err
		}
		e, err := events.Parse(s.Header, s.Data)
		if err != nil {
			return fmt.Errorf("event %d: %w", seq, err)
		}
		body, err := events.Decode[T, P](e)
		if err == nil && about(body) {
			found = append(found, Recorded[T]{s.Seq, e.Time, e.Actor, body})
		}
		return err
	})
	return found, err
}

func (r *Reader) emergencies(ctx context.Context, about concerns, from, to time.Time) ([]EmergencyUse, error) {
	rows, err := r.cfg.Pool.Query(ctx, `SELECT r.seq, r.read_at, e.staff_id, r.what, e.message_id, e.reason
		FROM record.emergency_reads r JOIN record.emergencies e USING (opening_id)
		WHERE r.read_at >= $1 AND r.read_at < $2 AND (e.patient_id = $3 OR e.message_id IS NOT NULL) ORDER BY r.seq`, from, to, about.patient)
	if err != nil {
		return nil, err
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (u EmergencyUse, err error) {
		var seq int64
		err = row.Scan(&seq, &u.Time, &u.StaffID, &u.What, &u.MessageID, &u.Reason)
		u.Seq = uint64(seq) // #nosec G115 -- a sequence
		return u, err
	})
	return slices.DeleteFunc(all, func(u EmergencyUse) bool { return u.MessageID != nil && !about.messages[*u.MessageID] }), err
}
