// Package labels is how a clinic names things (Custom Labels): some say Client
// where others say Patient. Labels are shown and never stored with data: what is
// called a client on a page is a patient in every event, table and address.
//
// A change goes on the record first. [Book.Current] reads what the recorder made
// of it, so that a change shows at the next request of anybody, in every process.
//
// A Book is safe for concurrent use.
package labels

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/events"
	"postern/internal/problem"
	"postern/internal/store"
)

// Most is how many characters a label may have.
const Most = 40

// Label is how the clinic names one of something, and several.
type Label struct {
	One  string `json:"one" doc:"1 to 40 characters."`
	Many string `json:"many" doc:"1 to 40 characters."`
}

// Labels are the names that a clinic can choose. In a change, those that are nil
// stay as they are; as [Book.Current] gives them, none is.
type Labels struct {
	Patient                  *Label `json:"patient,omitempty"`
	PortalUser               *Label `json:"portal_user,omitempty"`
	AuthorizedRepresentative *Label `json:"authorized_representative,omitempty"`
	Discharged               *Label `json:"discharged,omitempty"`
}

// Each calls f for every label by its key, in a fixed order.
func (l *Labels) Each(f func(key string, label **Label)) {
	f("patient", &l.Patient)
	f("portal_user", &l.PortalUser)
	f("authorized_representative", &l.AuthorizedRepresentative)
	f("discharged", &l.Discharged)
}

// Default is how things are named where the clinic chose nothing.
func Default() Labels {
	return Labels{
		Patient:                  &Label{"Patient", "Patients"},
		PortalUser:               &Label{"Portal User", "Portal Users"},
		AuthorizedRepresentative: &Label{"Authorized Representative", "Authorized Representatives"},
		Discharged:               &Label{"Discharged", "Discharged"},
	}
}

// Group is what a group of recipients is called: "Portal Users - Active Patients". Each
// is named as in a request: active_patients, discharged_patients, all_portal_users.
func (l Labels) Group(name string) string {
	switch name {
	case "active_patients":
		return l.PortalUser.Many + " - Active " + l.Patient.Many
	case "discharged_patients":
		return l.PortalUser.Many + " - " + l.Discharged.One + " " + l.Patient.Many
	default:
		return "All " + l.PortalUser.Many
	}
}

// Faults says what is wrong with the labels that are given: the location is "patient.one".
func (l *Labels) Faults() []problem.Fault {
	var found []problem.Fault
	l.Each(func(key string, label **Label) {
		if *label == nil {
			return
		}
		for _, part := range []struct{ name, text string }{{"one", (*label).One}, {"many", (*label).Many}} {
			hidden := func(r rune) bool { return !unicode.IsGraphic(r) }
			if n := utf8.RuneCountInString(part.text); n > Most || strings.TrimSpace(part.text) == "" || strings.ContainsFunc(part.text, hidden) {
				found = append(found, problem.Fault{Location: key + "." + part.name, Message: fmt.Sprintf("must have 1 to %d visible characters", Most)})
			}
		}
	})
	return found
}

// Book is where the labels of a clinic stand.
type Store struct {
	// Pool connects as postern_api or as the login user.
	Pool *pgxpool.Pool
	// Publish puts events on the record, all or none of them, and returns the
	// sequence of the last once they are durable.
	Publish func(context.Context, ...events.Event) (last uint64, err error)
	// Wait returns once everything up to the sequence can be read in Postgres.
	Wait   func(ctx context.Context, seq uint64) error
	Source string // the process, as events name it: "/api"
	Now    func() time.Time
}

// Current gives the defaults and, over them, what the record says.
func (b *Store) Current(ctx context.Context) (Labels, error) {
	return current(ctx, b.Pool)
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func current(ctx context.Context, q querier) (Labels, error) {
	rows, err := q.Query(ctx, `SELECT label, one, many FROM record.labels`)
	if err != nil {
		return Labels{}, fmt.Errorf("reading the labels: %w", err)
	}
	chosen := map[string]Label{}
	var key string
	var l Label
	_, err = pgx.ForEachRow(rows, []any{&key, &l.One, &l.Many}, func() error {
		chosen[key] = l
		return nil
	})
	if err != nil {
		return Labels{}, fmt.Errorf("reading the labels: %w", err)
	}
	labels := Default()
	labels.Each(func(key string, label **Label) {
		if l, ok := chosen[key]; ok {
			*label = &l
		}
	})
	return labels, nil
}

// Change renames what decide makes of the labels as they are, on the word of actor,
// and gives them as they are from here on and the place of the change on the record: 0
// where nothing changed. It returns once the change can be read. Two at once come one
// after the other, and the second decides by what the first has changed. The error of
// decide, which has looked at [Labels.Faults], is Change's.
func (b *Store) Change(ctx context.Context, actor string, decide func(current Labels) (wanted Labels, err error)) (now Labels, seq uint64, err error) {
	err = store.Alone(ctx, b.Pool, store.LeaseLabels, func(conn *pgxpool.Conn, held func(context.Context) error) error {
		if now, err = current(ctx, conn); err != nil {
			return err
		}
		wanted, err := decide(now)
		if err != nil {
			return err
		}
		batch, err := b.facts(actor, &now, wanted)
		if err != nil || len(batch) == 0 {
			return err
		}
		if err := held(ctx); err != nil {
			return err
		}
		// All or none: a crash here leaves the labels as they were, or as asked for.
		if seq, err = b.Publish(ctx, batch...); err != nil {
			return err
		}
		return b.Wait(ctx, seq)
	})
	if err != nil {
		return Labels{}, 0, fmt.Errorf("changing labels: %w", err)
	}
	return now, seq, nil
}

// To is what decides for the labels that are wanted, whatever they are now.
func To(wanted Labels) func(Labels) (Labels, error) {
	return func(Labels) (Labels, error) { return wanted, nil }
}

// facts makes now what is wanted, and gives the events that say so.
func (b *Store) facts(actor string, now *Labels, wanted Labels) (batch []events.Event, err error) {
	asked := map[string]*Label{}
	wanted.Each(func(key string, label **Label) { asked[key] = *label })
	change := uuid.New()
	now.Each(func(key string, label **Label) {
		want := asked[key]
		if err != nil || want == nil || *want == **label {
			return
		}
		*label = want
		var e events.Event
		e, err = events.New(b.Source, actor, b.Now(), events.LabelChanged{Change: change, Label: key, One: want.One, Many: want.Many})
		batch = append(batch, e)
	})
	return batch, err
}
